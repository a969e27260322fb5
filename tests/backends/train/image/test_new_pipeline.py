"""A pipeline from nothing: from the TOML to something that draws, killed and resumed on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from transformers import CLIPTokenizer

from aigc_cli.backends.device import Placement
from aigc_cli.backends.train.image import autoencoder
from aigc_cli.backends.train.image.blueprint import read_blueprint
from aigc_cli.backends.train.image.new_pipeline import build_pipeline
from aigc_cli.core.events import Caution, Evaluation, Event, Progress
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
    folder.mkdir(exist_ok=True)
    blueprint = read_blueprint(write_blueprint(folder, *changes))
    return finished(build_pipeline(blueprint, checked(pictures), folder / "data", seed, CPU))


def weights(part: torch.nn.Module) -> torch.Tensor:
    return torch.cat([weight.flatten() for weight in part.state_dict().values()])


@pytest.mark.parametrize("changes", [(), KL], ids=["AutoencoderTiny", "AutoencoderKL"])
def test_what_is_built_is_saved_and_drawn_with_by_plain_diffusers(
    tmp_path: Path, pictures: Path, changes: tuple[tuple[str, str], ...]
) -> None:
    _, pipeline = built(tmp_path / "run", pictures, *changes)
    pipeline.save_pretrained(tmp_path / "model")
    loaded = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "model", local_files_only=True)
    loaded.set_progress_bar_config(disable=True)
    picture = loaded("一个圆，扁平", num_inference_steps=2, generator=torch.Generator().manual_seed(0)).images[0]
    assert picture.size == (16, 16)
    assert picture.mode == ("RGB" if changes else "RGBA")
    assert loaded.scheduler.config.prediction_type == "v_prediction"


def test_the_autoencoder_is_measured_and_its_latents_come_to_unit_deviation(tmp_path: Path, pictures: Path) -> None:
    events, pipeline = built(tmp_path, pictures)
    steps = [event.done for event in events if isinstance(event, Progress) and event.phase == "training the autoencoder"]
    assert steps == [1, 2, 3]
    figures = {event.name for event in events if isinstance(event, Evaluation)}
    assert figures == {"loss", "psnr_black", "psnr_white", "psnr_alpha"}
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
    loss, calls = autoencoder.Reconstruction.loss, 0

    def dying(self: Any, rows: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > steps_before:
            raise Killed
        return loss(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(autoencoder.Reconstruction, "loss", dying)
        if steps_before < 3:
            with pytest.raises(Killed):
                built(tmp_path / "killed", pictures, each_step)
        else:  # all steps made, but nothing of it published
            patch.setattr(autoencoder, "publish", lambda *arguments: (_ for _ in ()).throw(Killed()))
            with pytest.raises(Killed):
                built(tmp_path / "killed", pictures, each_step)
    events, resumed = built(tmp_path / "killed", pictures, each_step)
    made_again = [event.done for event in events if isinstance(event, Progress) and event.phase == "training the autoencoder"]
    assert made_again == list(range(steps_before + 1, 4))
    assert torch.equal(weights(resumed.vae), weights(undisturbed.vae))
    assert resumed.vae.config.scaling_factor == undisturbed.vae.config.scaling_factor


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
