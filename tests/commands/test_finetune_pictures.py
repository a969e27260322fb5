"""`aigc finetune --image`, the command: its options, its records, and what it says, over a trainer that only pretends."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tensorboardX.proto.event_pb2 import Event as TensorBoardEvent

from aigc_cli.store.run_record import write_record
from tests.backends.tiny_models import build_model
from tests.commands.finetuning import finetune, logged
from tests.conftest import Result
from tests.fake_pictures import LORA, FakeImageTrainer, install
from tests.store.records import record

Run = Callable[..., Result]
BEGUN = ("pictures", "--image", "-m", "小画", "-o", "mine", "--max-steps", "4", "--eval-steps", "2", "--val-split", "0.3")


@pytest.fixture(autouse=True)
def trainer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeImageTrainer]:
    return install(monkeypatch, tmp_path / "model")


@pytest.fixture(autouse=True)
def pictures(own_home: Path) -> Path:
    """Twelve with captions, in the working folder."""
    folder = Path("pictures")
    folder.mkdir()
    for number in range(12):
        Image.new("RGB", (40 + number, 40), (20 * number, 0, 99)).save(folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text(f"第{number}只 cat", "utf-8")
    return folder


def test_options_become_the_request(trainer: type[FakeImageTrainer]) -> None:
    pictures = ("--resolution", "128", "--flip", "--caption-dropout", "0.2", "--min-snr-gamma", "5", "--average", "0.99")
    samples = ("--sample-prompt", "一只猫", "--sample-prompt", "a dog", "--sample-steps", "7", "--sample-seed", "3")
    finetune(*BEGUN, *pictures, *samples, "--method", "full", "--train-text-encoder", "--batch-size", "2", "--seed", "9")
    [request] = trainer.requests
    assert (request.model, request.seed, request.pace.batch_size) == ("小画", 9, 2)
    assert (request.data.resolution, request.data.flip, request.data.caption_dropout) == (128, True, 0.2)
    assert (request.diffusion.min_snr_gamma, request.diffusion.average) == (5.0, 0.99)
    assert (request.tuning.method, request.tuning.train_text_encoder) == ("full", True)
    assert request.proof.sample_prompts == ("一只猫", "a dog")
    assert (request.proof.sample_steps, request.proof.sample_seed) == (7, 3)


def test_what_a_run_leaves_behind(run: Run) -> None:
    said = finetune(*BEGUN, "--html", "--tensorboard").stdout
    folder = Path("mine")
    assert {"samples", LORA, "report.json", "report.html", "README.md", "log.jsonl", "run.json"} <= {path.name for path in folder.iterdir()}
    assert not (folder / "data").exists()
    record = json.loads((folder / "run.json").read_text("utf-8"))
    assert (record["status"], record["request"]["kind"], "diffusers" in record["versions"]) == ("complete", "image", True)
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert [(sheet["step"], sheet["path"]) for sheet in report["sheets"]][-1] == (4, "samples/step-00000004.png")
    assert (report["training"]["pictures"], report["training"]["pictures_per_second"]) == (8, 3.25)
    for words in (
        "小画, tuned with LoRA",
        "3.2 pictures/s",
        "before: mine/samples/step-00000000.png",
        "after: mine/samples/step-00000004.png",
    ):
        assert words in said
    assert "1. a cat (seed 0)" in said
    assert re.search(r"Pictures with the highest loss, of 5 pictures drawn from 9\n  pictures/\d\d\.png, loss 0\.75\n    第\d+只 cat", said)
    assert "aigc image -m '小画' --adapter mine/" in said
    assert run("report", "mine").stdout == said


def test_the_card_and_the_page_show_the_pictures_before_and_after() -> None:
    finetune(*BEGUN, "--html")
    card, page = (Path("mine", name).read_text("utf-8") for name in ("README.md", "report.html"))
    assert "![Before training](samples/step-00000000.png)" in card
    assert "![After 4 steps](samples/step-00000004.png)" in card
    assert 'pipeline_tag: "text-to-image"' in card
    assert "pipeline.load_lora_weights" in card
    assert "label-smoothing" not in card
    assert page.count("data:image/png;base64,") == 6  # two sheets, and two curves in two colours
    assert '<img src="data:image/png;base64,' in page.partition("Samples side by side")[2].partition("<h2>")[0]
    assert re.search(r"64 x 64: \d", page)


def test_tensorboard_gets_the_sheets() -> None:
    finetune(*BEGUN, "--tensorboard")
    [path] = Path("mine/tensorboard").iterdir()
    shown = [value.tag for event in tensorboard_events(path.read_bytes()) for value in event.summary.value]
    assert shown.count("samples") == 3
    assert "train/pictures_per_second" in shown
    assert "train/tokens_per_second" not in shown


def tensorboard_events(data: bytes) -> list[TensorBoardEvent]:
    """Records of TFRecord files: a length of 8 bytes, 4 of a checksum, the event, 4 of its checksum."""
    events = []
    while data:
        length = int.from_bytes(data[:8], "little")
        events.append(TensorBoardEvent.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return events


def test_what_is_said_on_the_way() -> None:
    said = finetune(*BEGUN).stderr
    for words in (
        "lora: 1K of 50K parameters on ",
        " pictures; 4 steps",
        "before: samples in mine/samples/step-00000000.png",
        "step 4/4  epoch 2.00  loss",
        "3.2 pictures/s",
        "step 4: samples in mine/samples/step-00000004.png",
    ):
        assert words in said
    assert "tokens" not in said


def test_events_as_json() -> None:
    events = finetune(*BEGUN, "--json").events
    kinds = [event["event"] for event in events if event["event"] not in ("progress", "warning")]
    measured = ["train_step"] * 2 + ["eval", "samples", "checkpoint"]
    assert kinds == ["planned", "loaded", "eval", "samples", *measured, *measured, "done"]
    sheet = next(event for event in events if event["event"] == "samples")
    assert (sheet["step"], sheet["prompts"], sheet["seeds"]) == (0, ["a cat"], [0])
    planned = next(event for event in events if event["event"] == "planned")
    assert planned["rows"] < 12
    assert "tokens" not in planned


def test_a_run_that_was_interrupted_goes_on_by_its_folder_alone(run: Run, trainer: type[FakeImageTrainer]) -> None:
    trainer.stop_at = 3
    assert run("finetune", *BEGUN).status == 130
    assert "mine holds a run that has no result yet" in run("chat", "--adapter", "mine", "hi").stderr
    finetune("--resume", "-o", "mine")
    assert [step["step"] for step in logged("mine", "train_step")] == [1, 2, 3, 4]
    assert [sheet["step"] for sheet in logged("mine", "samples")] == [0, 2, 4]
    assert trainer.requests[0] == trainer.requests[1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--resolution", "32"), "--resolution was not given, is 32"),
        (("--min-snr-gamma", "5"), "--min-snr-gamma was not given, is 5"),
        (("--sample-prompt", "x"), "--sample-prompt was not given, is x"),
        (("--packing",), "--packing is for texts, and --image trains on pictures"),
    ],
)
def test_a_resume_with_other_options_is_refused(run: Run, trainer: type[FakeImageTrainer], given: tuple[str, ...], words: str) -> None:
    trainer.stop_at = 3
    run("finetune", *BEGUN)
    result = run("finetune", "--resume", "-o", "mine", *given)
    assert (result.status, words in result.stderr) == (2, True), result.stderr


def test_a_resume_with_another_caption_is_refused(run: Run, trainer: type[FakeImageTrainer], pictures: Path) -> None:
    trainer.stop_at = 3
    run("finetune", *BEGUN)
    (pictures / "03.txt").write_text("a dog", "utf-8")
    result = run("finetune", "--resume", "-o", "mine")
    assert (result.status, "pictures has changed since" in result.stderr) == (2, True), result.stderr
    (pictures / "03.txt").write_text("第3只 cat", "utf-8")
    finetune("--resume", "-o", "mine")


def test_a_run_on_texts_does_not_become_one_on_pictures(run: Run) -> None:
    Path("texts").mkdir()
    write_record(Path("texts"), record(status="stopped"))
    refused = run("finetune", "--resume", "-o", "texts", "--image")
    assert (refused.status, "learns from texts" in refused.stderr) == (2, True), refused.stderr
    refused = run("finetune", "--image", "data.jsonl", "--continue", "mine", "-m", "x", "-o", "y")
    assert (refused.status, "--continue is for texts" in refused.stderr) == (2, True)
    finetune(*BEGUN)
    refused = run("finetune", "data.jsonl", "--continue", "mine", "-o", "y")
    assert (refused.status, "learnt from pictures" in refused.stderr, "-m 小画 --image" in refused.stderr) == (2, True, True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--packing",), "--packing is for texts"),
        (("--raw",), "--raw is for texts"),
        (("--instruct",), "--instruct is for texts"),
        (("--metric", "bleu"), "--metric is for texts"),
        (("--label-smoothing", "0.1"), "--label-smoothing is for texts"),
        (("--test", "pictures"), "--test is for texts"),
        (("--method", "dora"), "--method dora is for texts: pictures are learnt with lora or full"),
        (("--method", "full", "--lora-rank", "4"), "--lora-rank belongs to --method lora"),
        (("--samples", "0", "--sample-steps", "4"), "--sample-steps belongs to --sample-prompt or --samples"),
        (("--samples", "2", "--sample-prompt", "x"), "--samples and --sample-prompt contradict each other"),
        (("--val-split", "0"), "--eval-steps belongs to --val-split or --validation"),
        (("--caption-dropout", "2"), "--caption-dropout must be"),
    ],
)
def test_what_does_not_go_with_pictures_is_refused_by_name(run: Run, options: tuple[str, ...], words: str) -> None:
    result = run("finetune", *BEGUN, *options)
    assert (result.status, words in result.stderr, Path("mine").exists()) == (2, True, False), result.stderr


@pytest.mark.parametrize(
    "options", [("--flip",), ("--resolution", "64"), ("--average", "0.9"), ("--sample-prompt", "x"), ("--train-text-encoder",)]
)
def test_what_goes_with_pictures_alone_is_refused_for_texts(run: Run, options: tuple[str, ...]) -> None:
    result = run("finetune", "data.jsonl", "-o", "mine", *options)
    assert (result.status, f"{options[0]} is for pictures" in result.stderr, "add --image" in result.stderr) == (2, True, True)


def test_a_model_of_the_other_kind_is_refused_with_the_right_command(run: Run, tmp_path: Path) -> None:
    text = build_model(tmp_path / "text", "llama")
    for name in ("builtin:text", str(text)):
        refused = run("finetune", "pictures", "--image", "-m", name, "-o", "mine")
        assert (refused.status, f"aigc finetune DATA -m {name} -o mine/" in refused.stderr) == (3, True), refused.stderr
    refused = run("finetune", "pictures", "-m", tmp_path / "model", "-o", "mine")
    assert (refused.status, f"aigc finetune PICTURES --image -m {tmp_path / 'model'}" in refused.stderr) == (3, True), refused.stderr


def test_the_model_that_is_set_counts_where_none_is_named(
    run: Run, trainer: type[FakeImageTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = run("finetune", "pictures", "--image", "-o", "mine")
    assert (refused.status, "aigc config set image_model NAME" in refused.stderr) == (2, True)
    monkeypatch.setenv("AIGC_IMAGE_MODEL", "大画")
    finetune("pictures", "--image", "-o", "mine")
    assert trainer.requests[0].model == "大画"


def test_a_bad_picture_is_named_before_any_model_is_loaded(run: Run, trainer: type[FakeImageTrainer], pictures: Path) -> None:
    (pictures / "03.png").write_bytes(b"no picture")
    (pictures / "04.txt").unlink()
    result = run("finetune", *BEGUN)
    assert (result.status, "03.png" in result.stderr, "04.png" in result.stderr, trainer.requests) == (2, True, True, [])
    finetune(*BEGUN, "--skip-bad")
    assert len(Path("mine/rejects.jsonl").read_text("utf-8").splitlines()) == 2


def test_pictures_do_not_come_from_stdin(run: Run) -> None:
    result = run("finetune", "-", "--image", "-m", "x", "-o", "mine", input="x")
    assert (result.status, "pictures cannot come from stdin" in result.stderr) == (2, True)


def test_a_dry_run_shows_a_picture_and_leaves_nothing_behind(run: Run) -> None:
    result = run("finetune", "pictures", "--image", "-m", "小画", "--dry-run")
    assert (result.status, Path("mine").exists()) == (0, False)
    for pattern in (
        r"method +lora, 1K of 50K parameters",
        r"pictures +captions +wordless\n +train +\d+ +\d+ +0",
        r"2 +enlarged",
        r"1 +captions longer than what the text encoder reads",
        r"as they come, 4\d x 40 to 5\d x 40 pixels",
        r"64 x 64 +\d+ +━",
        r"file +pictures/\d\d\.png\n +caption +第\d+只 cat\n +learnt at +64 x 64",
        r"it fits",
        r"about +50 s of training",
    ):
        assert re.search(pattern, result.stdout), pattern
    found = run("finetune", "pictures", "--image", "-m", "小画", "--dry-run", "--json").events[-1]
    assert (found["event"], found["sample_size"], found["data"]["buckets"][0]["width"]) == ("preflight", [64, 64], 64)


def test_options_from_a_file(run: Run, trainer: type[FakeImageTrainer]) -> None:
    Path("run.toml").write_text(
        'image = true\ndata = "pictures"\nmodel = "小画"\noutput = "mine"\nflip = true\nsample-prompt = "一只猫"\nmax-steps = 4\n', "utf-8"
    )
    finetune("--config", "run.toml", "--resolution", "64")
    [request] = trainer.requests
    assert (request.data.flip, request.data.resolution, request.proof.sample_prompts) == (True, 64, ("一只猫",))


def test_a_recipe_holds_the_whole_pipeline(run: Run, trainer: type[FakeImageTrainer]) -> None:
    Path("recipes").mkdir()
    recipe = Path("recipes/new.toml")
    options = 'image = true\ndata = "pictures"\noutput = "mine"\n'
    recipe.write_text(f'{options}from-scratch = "new.toml"\n[unet]\nclass = "UNet2DConditionModel"\n')
    finetune("--config", recipe)
    assert (trainer.requests[0].tuning.from_scratch, trainer.requests[0].tuning.method) == (str(recipe), "full")
    for text, words in (
        (f'{options}[unet]\nclass = "x"\n', "no from-scratch says to begin with one"),
        (f'{options}from-scratch = "other.toml"\n[unet]\nclass = "x"\n', "from-scratch names other.toml, and this file has tables"),
        ('data = "x"\n[unet]\nclass = "x"\n', "there are no sections such as [unet] here"),
    ):
        recipe.write_text(text)
        result = run("finetune", "--config", recipe)
        assert (result.status, words in result.stderr) == (2, True), result.stderr


def test_a_finished_run_can_be_replaced_but_not_by_one_that_reads_it(run: Run) -> None:
    finetune(*BEGUN)
    finetune(*BEGUN, "--overwrite", "--seed", "5")
    assert json.loads(Path("mine/run.json").read_text("utf-8"))["request"]["seed"] == 5
    Path("pictures").rename("mine/pictures")
    refused = run("finetune", "mine/pictures", *BEGUN[1:], "--overwrite")
    assert (refused.status, "--overwrite would remove mine" in refused.stderr) == (2, True), refused.stderr


def test_what_models_show_and_export_say_of_it(run: Run) -> None:
    finetune(*BEGUN)
    assert re.search(r"modality\timage adapter", run("models", "show", "mine").stdout)
    refused = run("export", "mine", "--to", "merged", "-o", "out")
    assert (refused.status, "needs no export" in refused.stderr) == (2, True)
    refused = run("chat", "--adapter", "mine", "hi")
    assert (refused.status, "aigc image -m MODEL --adapter mine" in refused.stderr) == (3, True)
