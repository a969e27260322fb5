"""The sides of image.py, each in a process of its own: it loads the model, and then draws as orders come in, a line of JSON each."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

GUIDANCE = 7.5
LIBRARIES = ("torch", "diffusers", "stable-diffusion-cpp-python")


@dataclass(frozen=True)
class Order:
    """What a side is to draw, and the PNG it is to write."""

    prompt: str
    seed: int
    size: int
    steps: int
    target: str


@dataclass(frozen=True)
class Figures:
    """seconds: of a step after the first, on average; of the whole picture; of the CPU for it, on all threads.

    peak_memory: bytes, of the process so far.
    """

    step: float
    picture: float
    cpu: float
    peak_memory: int


Stamps = list[float]
Draw = Callable[[Order], Stamps]  # the time at the end of every step; writes the picture


def open_aigc(args: argparse.Namespace) -> tuple[str, Draw]:
    from PIL import Image

    from aigc_cli.backends import open_image_engine
    from aigc_cli.core.engine import ModelSource
    from aigc_cli.core.events import ImageStep
    from aigc_cli.core.image import Drawn, ImageEngineOptions, ImageRequest

    options = ImageEngineOptions(device="cpu", cache=args.side == "aigc-cache")
    engine = open_image_engine(ModelSource(args.model.name, "diffusers", args.model), options)

    def draw(order: Order) -> Stamps:
        asked = ImageRequest(
            prompt=order.prompt, seed=order.seed, width=order.size, height=order.size, steps=order.steps, guidance_scale=GUIDANCE
        )
        request, _ = engine.complete(asked)
        stamps = []
        for event in engine.stream([request]):
            if isinstance(event, ImageStep):
                stamps.append(time.perf_counter())
            elif isinstance(event, Drawn):
                pixels = event.pixels
        Image.frombytes("RGB", (pixels.width, pixels.height), pixels.data).save(order.target)
        return stamps

    return engine.loaded.dtype, draw


def open_diffusers(args: argparse.Namespace) -> tuple[str, Draw]:
    import diffusers
    import torch
    import transformers
    from diffusers import StableDiffusionPipeline

    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
    pipe = StableDiffusionPipeline.from_pretrained(args.model)
    pipe.set_progress_bar_config(disable=True)

    def draw(order: Order) -> Stamps:
        stamps = []

        def note(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            stamps.append(time.perf_counter())
            return tensors

        size = {"width": order.size, "height": order.size}
        noise = torch.Generator("cpu").manual_seed(order.seed)
        output = pipe(
            order.prompt, num_inference_steps=order.steps, guidance_scale=GUIDANCE, generator=noise, callback_on_step_end=note, **size
        )
        output.images[0].save(order.target)
        return stamps

    return str(pipe.dtype).removeprefix("torch."), draw


def open_sdcpp(args: argparse.Namespace) -> tuple[str, Draw]:
    from stable_diffusion_cpp import StableDiffusion

    generators = {"rng_type": "cpu", "sampler_rng_type": "cpu"}  # numbers as torch draws them on a CPU
    model = StableDiffusion(
        model_path=str(args.model), wtype=args.sdcpp_type, n_threads=args.threads, vae_decode_only=True, verbose=False, **generators
    )

    def draw(order: Order) -> Stamps:
        stamps = []

        def note(step: int, steps: int, seconds: float) -> None:
            if step and steps == order.steps:  # it tells of the beginning, and of other work, too
                stamps.append(time.perf_counter())

        images = model.generate_image(
            prompt=order.prompt,
            width=order.size,
            height=order.size,
            cfg_scale=GUIDANCE,
            sample_steps=order.steps,
            sample_method="euler",
            scheduler="discrete",
            seed=order.seed,
            progress_callback=note,
        )
        images[0].save(order.target)
        return stamps

    return args.sdcpp_type, draw


OPENERS = {"aigc": open_aigc, "aigc-cache": open_aigc, "diffusers": open_diffusers, "sd.cpp": open_sdcpp}


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def serve(args: argparse.Namespace) -> None:
    """A side's process: orders come in, a line of JSON each, and figures go out."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    dtype, draw = OPENERS[args.side](args)
    print(json.dumps({"dtype": dtype, "versions": versions()}), file=answers, flush=True)
    for line in sys.stdin:
        order = Order(**json.loads(line))
        began, cpu = time.perf_counter(), cpu_seconds()
        stamps = draw(order)
        picture, cpu = time.perf_counter() - began, cpu_seconds() - cpu
        step = (stamps[-1] - stamps[0]) / (len(stamps) - 1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        print(json.dumps(asdict(Figures(step, picture, cpu, peak))), file=answers, flush=True)


def versions() -> dict[str, str]:
    found = {distribution.name: distribution.version for distribution in importlib.metadata.distributions()}
    return {name: found[name] for name in LIBRARIES if name in found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=OPENERS)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--sdcpp-type", required=True)
    serve(parser.parse_args())


if __name__ == "__main__":
    main()
