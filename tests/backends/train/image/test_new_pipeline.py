"""A pipeline from nothing: from the TOML to something that draws, killed and resumed on the way."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from transformers import CLIPTokenizer

from aigc_cli.backends.device import Placement
from aigc_cli.backends.train.image import autoencoder_run
from aigc_cli.backends.train.image.blueprint import read_blueprint
from aigc_cli.backends.train.image.new_pipeline import build_pipeline, open_autoencoder_run
from aigc_cli.backends.train.image.reconstruction import Reconstruction
from aigc_cli.core.events import Caution, Checkpoint, Evaluation, Event, TrainStep
from aigc_cli.store.checkpoints import newest
from aigc_cli.training.report import AUTOENCODER
from tests.backends.train.image.tiny_blueprint import checked, draw_pictures, finished, write_blueprint

CPU = Placement("cpu", "float32", "")
KL = (
    (
        """class = "AutoencoderTiny"
in_channels = 4
out_channels = 4
latent_channels = 4
encoder_block_out_channels = [8, 8, 8]
decoder_block_out_channels = [8, 8, 8]
num_encoder_blocks = [1, 1, 1]
num_decoder_blocks = [1, 1, 1]""",
        """class = "AutoencoderKL"
block_out_channels = [8, 8, 8]
down_block_types = ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"]
up_block_types = ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"]
norm_num_groups = 4""",
    ),
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("data") / "pictures")


def built(folder: Path, pictures: Path, *changes: tuple[str, str], seed: int = 0) -> tuple[list[Event], Any]:
    """The autoencoder trained, as far as it was not by an earlier call, and the pipeline made."""
    events, outcome = trained_first(folder, pictures, *changes, seed=seed)
    assert outcome in (None, "max_steps")
    blueprint = read_blueprint(folder / "pipeline.toml")
    more, pipeline = finished(build_pipeline(blueprint, checked(pictures), folder / "data", seed))
    return [*events, *more], pipeline


def trained_first(
    folder: Path, pictures: Path, *changes: tuple[str, str], seed: int = 0, stop_at: int | None = None
) -> tuple[list[Event], str | None]:
    """How it ended; None where nothing was to be trained. stop_at: a step after which it is as if Ctrl-C had been pressed."""
    folder.mkdir(exist_ok=True)
    blueprint = read_blueprint(write_blueprint(folder, *changes))
    events, run = finished(open_autoencoder_run(blueprint, checked(pictures), folder / "data", seed, CPU))
    if run is None:
        return events, None
    stream = run.train(newest(run.checkpoints), lambda: stop_at in steps_of(events))
    while True:
        try:
            events.append(next(stream))
        except StopIteration as end:
            return events, end.value.finish_reason


def steps_of(events: list[Event]) -> list[int]:
    return [event.step for event in events if isinstance(event, TrainStep) and event.split == AUTOENCODER]


def weights(part: torch.nn.Module) -> torch.Tensor:
    return torch.cat([weight.flatten() for weight in part.state_dict().values()])


@pytest.mark.parametrize("changes", [(), KL], ids=["AutoencoderTiny", "AutoencoderKL"])
def test_what_is_built_is_saved_and_drawn_with_by_plain_diffusers(
    tmp_path: Path, pictures: Path, changes: tuple[tuple[str, str], ...]
) -> None:
    _, pipeline = built(tmp_path / "run", pictures, *changes)
    pipeline.save_pretrained(tmp_path / "model")
    loaded = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "model", local_files_only=True)  # type: ignore[no-untyped-call]
    loaded.set_progress_bar_config(disable=True)
    picture = loaded("一个圆，扁平", num_inference_steps=2, generator=torch.Generator().manual_seed(0)).images[0]
    assert picture.size == (16, 16)
    assert picture.mode == ("RGB" if changes else "RGBA")
    assert loaded.scheduler.config.prediction_type == "v_prediction"


def test_the_autoencoder_is_measured_and_its_latents_come_to_unit_deviation(tmp_path: Path, pictures: Path) -> None:
    events, pipeline = built(tmp_path, pictures)
    assert steps_of(events) == [1, 2, 3]
    figures = {(event.split, event.name) for event in events if isinstance(event, Evaluation)}
    assert figures == {(AUTOENCODER, name) for name in ("loss", "psnr_black", "psnr_white", "psnr_alpha")}
    assert {event.split for event in events if isinstance(event, Checkpoint)} == {AUTOENCODER}
    assert pipeline.vae.config.scaling_factor != 1.0


def test_the_same_seed_gives_the_same_pipeline_and_leaves_torchs_generator_alone(tmp_path: Path, pictures: Path) -> None:
    before = torch.get_rng_state()
    first, again, other = (built(tmp_path / name, pictures, seed=seed)[1] for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert torch.equal(before, torch.get_rng_state())
    for part in ("text_encoder", "unet", "vae"):
        assert torch.equal(weights(getattr(first, part)), weights(getattr(again, part)))
        assert not torch.equal(weights(getattr(first, part)), weights(getattr(other, part)))


class Killed(BaseException):
    """Nothing that anybody catches."""


@pytest.mark.parametrize("steps_before", [1, 2, 3])
def test_a_killed_autoencoder_goes_on_to_the_same_weights(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, steps_before: int
) -> None:
    each_step = ("steps = 3", "steps = 3\neval_steps = 1")
    _, undisturbed = built(tmp_path / "undisturbed", pictures, each_step)
    loss, calls = Reconstruction.loss, 0

    def dying(self: Any, rows: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > steps_before:
            raise Killed
        return loss(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Reconstruction, "loss", dying)
        if steps_before < 3:
            with pytest.raises(Killed):
                built(tmp_path / "killed", pictures, each_step)
        else:  # all steps made, but nothing of it published
            patch.setattr(autoencoder_run, "publish", lambda *arguments: (_ for _ in ()).throw(Killed()))
            with pytest.raises(Killed):
                built(tmp_path / "killed", pictures, each_step)
    events, resumed = built(tmp_path / "killed", pictures, each_step)
    assert steps_of(events) == list(range(steps_before + 1, 4))
    assert torch.equal(weights(resumed.vae), weights(undisturbed.vae))
    assert resumed.vae.config.scaling_factor == undisturbed.vae.config.scaling_factor


def test_stopped_between_two_evaluations_it_loses_no_step(tmp_path: Path, pictures: Path) -> None:
    seldom = ("steps = 3", "steps = 5\neval_steps = 4")
    _, undisturbed = built(tmp_path / "undisturbed", pictures, seldom)
    for stop_at, made in ((1, [1]), (3, [2, 3])):
        events, outcome = trained_first(tmp_path / "stopped", pictures, seldom, stop_at=stop_at)
        assert (outcome, steps_of(events)) == ("interrupted", made)
        assert isinstance(events[-1], Checkpoint)
    events, resumed = built(tmp_path / "stopped", pictures, seldom)
    assert steps_of(events) == [4, 5]
    assert torch.equal(weights(resumed.vae), weights(undisturbed.vae))


def test_stopped_while_it_is_measured_it_is_measured_again(tmp_path: Path, pictures: Path) -> None:
    each_step = ("steps = 3", "steps = 3\neval_steps = 1")
    undisturbed, _ = trained_first(tmp_path / "undisturbed", pictures, each_step)
    stopped = trained_first(tmp_path / "stopped", pictures, each_step, stop_at=2)
    gone_on = trained_first(tmp_path / "stopped", pictures, each_step)
    assert [stopped[1], gone_on[1]] == ["interrupted", "max_steps"]
    figures = [[event for event in events if isinstance(event, Evaluation)] for events in (undisturbed, [*stopped[0], *gone_on[0]])]
    assert figures[0] == figures[1]


def test_without_its_training_the_autoencoder_is_random_and_that_is_said(tmp_path: Path, pictures: Path) -> None:
    blueprint = read_blueprint(write_blueprint(tmp_path))
    events, pipeline = finished(build_pipeline(blueprint, checked(pictures), tmp_path / "data", 0))
    *_, said = (event.message for event in events if isinstance(event, Caution))
    assert said.startswith("3 steps of training the autoencoder come before")
    assert pipeline.vae.config.scaling_factor == 1.0


@pytest.mark.parametrize("scheduler", ["DDPMScheduler", "EulerDiscreteScheduler", "PNDMScheduler", "UniPCMultistepScheduler"])
def test_diffusers_finds_no_fault_with_its_scheduler(tmp_path: Path, pictures: Path, scheduler: str) -> None:
    """Of a scheduler that has other defaults than the pipeline wants it warns, and changes them."""
    change = ('class = "DDIMScheduler"\nprediction_type = "v_prediction"', f'class = "{scheduler}"')
    blueprint = read_blueprint(write_blueprint(tmp_path, change))
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        _, pipeline = finished(build_pipeline(blueprint, checked(pictures), tmp_path / "data", 0))
        pipeline.save_pretrained(tmp_path / "model")
        diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "model", local_files_only=True)  # type: ignore[no-untyped-call]


def test_a_finished_autoencoder_is_read_not_trained(tmp_path: Path, pictures: Path) -> None:
    _, first = built(tmp_path, pictures)
    events, second = built(tmp_path, pictures)
    assert [event for event in events if not isinstance(event, Caution)] == []
    assert torch.equal(weights(first.vae), weights(second.vae))


def test_an_autoencoder_that_is_there_is_taken_as_it_is(tmp_path: Path, pictures: Path) -> None:
    _, first = built(tmp_path / "first", pictures)
    first.vae.save_pretrained(tmp_path / "vae")
    start, end = 'class = "AutoencoderTiny"', "[unet]"
    text = write_blueprint(tmp_path).read_text("utf-8")
    own = text[text.index(start) : text.index(end)]
    training = text[text.index("[autoencoder_training]") :]
    changes = ((own, f'path = "{(tmp_path / "vae").as_posix()}"\n\n'), (training, ""))
    events, second = built(tmp_path / "second", pictures, *changes)
    assert torch.equal(weights(first.vae), weights(second.vae))
    assert not any(isinstance(event, Evaluation) for event in events)


def test_the_tokenizer_knows_every_script_and_says_how_small_it_is(tmp_path: Path, pictures: Path) -> None:
    events, pipeline = built(tmp_path, pictures, ("vocab_size = 560", "vocab_size = 4096"))
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path / "data" / "tokenizer", local_files_only=True)
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    for caption in ("一个圆，扁平", "鼹鼠", "ÅÉ 3d", "🦊"):
        ids = tokenizer(caption).input_ids
        assert (ids[0], ids[-1]) == (begin, end)
        assert end not in ids[1:-1]  # what stands for the unknown
    assert [tokenizer.decode(token) for token in tokenizer("一个圆，扁平").input_ids[1:-1]] == list("一个圆，扁平")
    assert len(tokenizer("disk").input_ids) == 3  # learnt as one
    assert tokenizer.model_max_length == 16
    assert pipeline.text_encoder.config.eos_token_id == end
    assert any("not 4,096" in event.message for event in events if isinstance(event, Caution))


def test_the_vocabulary_has_at_most_the_tokens_asked_for(tmp_path: Path, pictures: Path) -> None:
    _, pipeline = built(tmp_path, pictures, ("vocab_size = 560", "vocab_size = 520"))
    assert len(pipeline.tokenizer) == pipeline.text_encoder.config.vocab_size == 520
