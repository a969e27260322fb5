"""How fast this machine computes and reads its memory: quick measurements of what bounds a model's speed."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psutil
import torch

from aigc_cli.backends.device import DTYPES, TorchProbe, memory_free, synchronize

SECONDS = 0.3  # spent on each figure, after a warm-up
LARGEST_SIDE = 8192  # of a square matrix; a large GPU needs it to reach its speed
FIGURES = len(DTYPES) + 1  # for each device
READ_BYTES = 256 * 2**20  # beyond any CPU cache


@dataclass(frozen=True)
class Speed:
    """A figure for one device. value: None where the device cannot do it, with the reason in `problem`."""

    device: str
    name: str
    unit: str
    value: float | None
    problem: str = ""


@dataclass(frozen=True)
class Device:
    """name: as people call it.  memory, memory_free: bytes.  threads: that torch uses; 0 on a GPU."""

    device: str
    name: str
    memory: int
    memory_free: int
    threads: int = 0


def devices() -> list[Device]:
    """Every device that --device takes, the CPU first."""
    return [cpu_device(), *(Device(gpu.device, gpu.name, gpu.memory, memory_free(gpu.device)) for gpu in TorchProbe().gpus())]


def cpu_device() -> Device:
    threads = torch.get_num_threads()
    name = f"{torch.backends.cpu.get_cpu_capability()}, {threads} threads"
    return Device("cpu", name, psutil.virtual_memory().total, memory_free("cpu"), threads)


def can_drive(kind: str) -> bool:
    """Whether this build of torch knows that kind of GPU."""
    return kind in TorchProbe().built_for()


def figures(device: str) -> list[tuple[str, str, Callable[[], float]]]:
    """Name, unit and measurement of everything worth knowing of a device."""
    products = [(dtype, "GFLOP/s", functools.partial(matrix_product, device, getattr(torch, dtype))) for dtype in DTYPES]
    return [*products, ("memory read", "GB/s", functools.partial(memory_read, device))]


def measure(device: str) -> Iterator[Speed]:
    """One Speed for each number format, then one for reading memory."""
    for name, unit, run in figures(device):
        try:
            yield Speed(device, name, unit, run() / 1e9)
        except (RuntimeError, TypeError) as error:  # no such kernel, or no room: worth a line, not the end
            yield Speed(device, name, unit, None, str(error).splitlines()[0])


@torch.inference_mode()
def matrix_product(device: str, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a square product, a multiplication and an addition each counted."""
    side, seconds = 512, SECONDS / 10
    while seconds_per_call(product(side, dtype, device), device, seconds) < seconds and side < LARGEST_SIDE:
        side *= 2
    return 2 * side**3 / seconds_per_call(product(side, dtype, device), device, SECONDS)


def product(side: int, dtype: torch.dtype, device: str) -> Callable[[], torch.Tensor]:
    a, b = (torch.ones(side, side, dtype=dtype, device=device) for _ in range(2))
    return functools.partial(torch.mm, a, b)


@torch.inference_mode()
def memory_read(device: str) -> float:
    """Bytes per second of a sum over a block that no cache holds."""
    size = min(READ_BYTES if device == "cpu" else 4 * READ_BYTES, memory_free(device) // 4)
    block = torch.ones(size // 4, dtype=torch.float32, device=device)
    return block.nbytes / seconds_per_call(block.sum, device, SECONDS)


def seconds_per_call(call: Callable[[], object], device: str, seconds: float) -> float:
    """The shortest of the calls that fit in about that many seconds: what else runs here can only lengthen one."""
    call()
    synchronize(device)
    shortest, begin = float("inf"), time.perf_counter()
    while (start := time.perf_counter()) - begin < seconds:
        call()
        synchronize(device)
        shortest = min(shortest, time.perf_counter() - start)
    return shortest
