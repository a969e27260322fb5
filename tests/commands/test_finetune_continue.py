"""Going on from an earlier result with --continue, and beginning from nothing with --from-scratch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.backends.tiny_models import build_model
from tests.commands.finetuning import BRIEF, FLOAT32, exchanges, finetune, logged, losses, write_rows
from tests.commands.moments import MOMENTS, copied_when_called
from tests.conftest import Result

Run = Callable[..., Result]
CORPUS = ["床前明月光，疑是地上霜。", "举头望明月，低头思故乡。", "The quick brown fox jumps over the lazy dog.", "Once upon a time."]


@pytest.fixture
def more() -> Path:
    return write_rows("more.jsonl", exchanges(30, first=500))


def test_an_adapter_is_trained_further(tiny: Path, lora_run: Path, more: Path) -> None:
    finetune(more, "--continue", lora_run, "-o", "mine", *BRIEF)
    before, after = (load_file(Path(folder, "adapter_model.safetensors")) for folder in (lora_run, "mine"))
    assert before.keys() == after.keys()
    assert json.loads(Path("mine/adapter_config.json").read_text())["base_model_name_or_path"] == str(tiny)
    assert losses("mine")[6] < losses("mine")[0]


def test_what_was_learnt_before_is_measured_before_and_after(tiny: Path, lora_run: Path, more: Path) -> None:
    finetune(more, "--continue", lora_run, "-o", "two", *BRIEF)
    earlier = losses("two", "earlier")
    assert earlier[0] == pytest.approx(losses(lora_run)[6], rel=1e-5)  # begun where that run ended
    assert sorted(earlier) == [0, 6]
    finetune(write_rows("third.jsonl", exchanges(20, first=800)), "--continue", "two", "-o", "three", *BRIEF)
    assert losses("three", "earlier")[0] == pytest.approx(losses("two")[6], rel=1e-5)
    assert losses("three", "earlier-2")[0] == pytest.approx(losses("two", "earlier")[6], rel=1e-5)


def test_an_adapter_goes_on_in_the_mode_it_was_trained_in(tiny: Path, rows: Path, more: Path) -> None:
    """The model has a chat template, which would decide."""
    finetune(rows, "-m", tiny, "--raw", "-o", "one", *BRIEF)
    finetune(more, "--continue", "one", "-o", "two", *BRIEF)
    assert json.loads(Path("two/aigc.json").read_text())["mode"] == "raw"
    finetune(more, "--continue", "one", "--instruct", "-o", "three", *BRIEF)
    assert json.loads(Path("three/aigc.json").read_text())["mode"] == "chat"


def test_going_on_upon_another_model_is_said(tiny: Path, lora_run: Path, more: Path, tmp_path: Path) -> None:
    other = build_model(tmp_path / "other", "llama", seed=1)
    said = finetune(more, "--continue", lora_run, "-m", other, "-o", "mine", *BRIEF).stderr
    assert f"the adapter {lora_run} says that it was trained on {tiny}, not on {other}" in said


def test_rows_are_carried_on_through_a_run_that_kept_none_back(lora_run: Path, more: Path) -> None:
    unmeasured = (*FLOAT32, "--max-steps", "1", "--val-split", "0", "--samples", "0")
    finetune(more, "--continue", lora_run, "-o", "two", *unmeasured)
    result = finetune(write_rows("third.jsonl", exchanges(20, first=800)), "--continue", "two", "-o", "three", *unmeasured)
    assert losses("three", "earlier-2")[0] == pytest.approx(losses("two", "earlier")[1], rel=1e-5)
    assert "two kept no rows of its own back" in result.stderr


def test_a_whole_model_is_trained_further(full_run: Path, more: Path) -> None:
    finetune(more, "--continue", full_run, "--method", "full", "-o", "mine", *BRIEF)
    assert losses("mine", "earlier")[0] == pytest.approx(losses(full_run)[6], rel=1e-5)
    assert losses("mine")[6] < losses("mine")[0]
    assert AutoModelForCausalLM.from_pretrained("mine").config.model_type == "llama"


def test_the_method_of_the_earlier_result_holds(full_run: Path, more: Path) -> None:
    finetune(more, "--continue", full_run, "-o", "mine", *BRIEF)
    assert losses("mine", "earlier")[0] == pytest.approx(losses(full_run)[6], rel=1e-5)


def test_a_continued_run_can_be_resumed(lora_run: Path, more: Path) -> None:
    options = (more, "--continue", lora_run, "-o", Path.cwd() / "mine", *BRIEF, "--save-steps", "2")
    with pytest.MonkeyPatch.context() as patch:
        hardest = "aigc_cli.backends.train.text.measure.TextMeasurer.hardest"
        patch.setattr(hardest, lambda self: (_ for _ in ()).throw(OSError("pulled plug")))
        with pytest.raises(AssertionError, match="pulled plug"):
            finetune(*options)
    finetune("--resume", "-o", "mine")
    assert sorted(losses("mine", "earlier")) == [0, 6]


def test_an_earlier_result_that_is_none(run: Run, tiny: Path, more: Path) -> None:
    for folder in ("absent", tiny):
        result = run("finetune", more, "--continue", folder, "-o", "mine", *BRIEF)
        assert (result.status, str(folder) in result.stderr) == (2, True)
        assert not Path("mine").exists()


@pytest.fixture
def config() -> Path:
    """A transformers config for a model of two layers."""
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    path = Path("config.json")
    path.write_text(json.dumps({"model_type": "llama", "max_position_embeddings": 64, **sizes}))
    return path


def test_from_a_corpus_alone(run: Run, config: Path) -> None:
    for name, lines in (("corpus.txt", CORPUS), ("held-out.txt", CORPUS[::-1])):
        Path(name).write_text("\n\n".join(line * 3 for line in lines * 10), "utf-8")
    named = ("corpus.txt", "--validation", "held-out.txt", "--from-scratch", config, "--vocab-size", "300", "-o", "new")
    finetune(*named, *FLOAT32, "--max-steps", "20", "--eval-steps", "10", "--learning-rate", "0.01")
    assert losses("new")[20] < losses("new")[0] - 1
    tokenizer = AutoTokenizer.from_pretrained("new")
    assert len(tokenizer) == 300
    assert all(tokenizer.decode(tokenizer(line, add_special_tokens=False).input_ids) == line for line in [*CORPUS, "😀 é"])
    model = AutoModelForCausalLM.from_pretrained("new")
    assert model.get_input_embeddings().weight.shape == (300, 32)
    result = run("complete", "The quick", "-m", "new", "--max-new-tokens", "8", "--temperature", "0", *FLOAT32, input="")
    assert (result.status, len(result.stdout) > 3) == (0, True)
    assert json.loads(Path("new/aigc.json").read_text())["mode"] == "raw"


RECIPE = """
from-scratch = "recipe.toml"
data = ["talks.jsonl", "texts.jsonl"]
mix = true
train-on = "all"
packing = true
max-length = 32
vocab-size = 300
output = "new"
[config]
model_type = "llama"
max_position_embeddings = 64
hidden_size = 32
intermediate_size = 64
num_hidden_layers = 2
num_attention_heads = 4
dtype = "bfloat16"
[tokenizer]
chat_template = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|stop|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
end_of_turn = "<|stop|>"
special_tokens = ["<|user|>", "<|assistant|>"]
[generation_config]
do_sample = true
temperature = 0.5
"""  # noqa: E501


def test_a_recipe_describes_data_run_and_model_in_one_file(run: Run) -> None:
    write_rows("texts.jsonl", [{"text": line * 3} for line in CORPUS * 3])
    turns = [{"role": "user", "content": "你好 <|user|>"}, {"role": "assistant", "content": "Hello!"}]
    write_rows("talks.jsonl", [{"messages": turns} for _ in range(6)])
    Path("recipe.toml").write_text(RECIPE, "utf-8")
    finetune("--config", "recipe.toml", *FLOAT32, "--max-steps", "2", "--samples", "0")
    facts = json.loads(Path("new/report.json").read_text("utf-8"))["data"]
    assert facts["row_format"] == "text and chat"
    assert sum(split["rows"] for split in facts["splits"].values()) == 18
    tokenizer, model = AutoTokenizer.from_pretrained("new"), AutoModelForCausalLM.from_pretrained("new")
    assert tokenizer.apply_chat_template(turns[1:], tokenize=False) == "<|assistant|>Hello!<|stop|>"
    assert {"<|user|>", "<|assistant|>", "<|stop|>"} <= set(tokenizer.all_special_tokens)
    assert (model.generation_config.temperature, model.generation_config.eos_token_id) == (0.5, tokenizer.convert_tokens_to_ids("<|stop|>"))
    assert str(model.dtype) == "torch.bfloat16"
    assert json.loads(Path("new/aigc.json").read_text())["mode"] == "chat"
    result = run("chat", "你好", "-m", "new", "--max-new-tokens", "4", "--seed", "1", *FLOAT32)
    assert result.status == 0, result.stderr
    finetune("talks.jsonl", "-m", "new", "--method", "full", "-o", "second", *FLOAT32, "--max-steps", "1", "--samples", "0")
    second = AutoModelForCausalLM.from_pretrained("second")
    assert (second.generation_config.temperature, str(second.dtype)) == (0.5, "torch.bfloat16")


def test_a_run_from_scratch_can_be_resumed_without_its_tokenizer_being_made_again(config: Path) -> None:
    write_rows("data.jsonl", [{"text": line} for line in CORPUS * 6])
    whole = Path.cwd() / "whole"
    begun = ("data.jsonl", "--from-scratch", config, *FLOAT32, "--max-steps", "4", "--save-steps", "2", "--batch-size", "4")
    with copied_when_called({"early": MOMENTS["after the first checkpoint"]}, whole):
        finetune(*begun, "-o", whole)
    shutil.copytree("early", "again")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aigc_cli.backends.train.text.corpus.train_tokenizer", None)
        finetune("--resume", "-o", "again")
    assert logged("again", "train_step") == logged(whole, "train_step")
    assert Path("again/model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "lama"}, "model_type 'lama' is unknown to transformers"),
        ({"model_type": "t5"}, "model_type 't5' is no causal language model"),
        ({"num_attention_heads": 5}, "config.json: "),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"hiden_size": 32}, "did you mean hidden_size?"),
    ],
)
def test_a_config_that_no_model_can_be_built_from(change: dict[str, object], words: str, run: Run, config: Path, rows: Path) -> None:
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    result = run("finetune", rows, "--from-scratch", config, "-o", "new", *BRIEF)
    assert (result.status, words in result.stderr) == (2, True), result.stderr
    assert not Path("new").exists()


def test_adapters_need_weights_to_begin_with(run: Run, config: Path, rows: Path) -> None:
    result = run("finetune", rows, "--from-scratch", config, "--method", "lora", "-o", "new", *BRIEF)
    assert (result.status, "--from-scratch trains every weight" in result.stderr) == (2, True)
