"""Where a model runs and in which number format, and why. The only code that asks torch what is there."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil
import torch

from aigc_cli.core.engine import Dtype
from aigc_cli.core.errors import UsageError

DTYPES = tuple(dtype.value for dtype in Dtype if dtype is not Dtype.AUTO)
DEVICE_NAMES = re.compile(r"cpu|mps|cuda(:\d+)?")
CPU_BFLOAT16 = ("amx_bf16", "avx512_bf16", "sve_bf16", "bf16")  # as torch.cpu.get_capabilities calls them
CPU_FLOAT16 = ("amx_fp16", "avx512_fp16", "fp16_arith")


@dataclass(frozen=True)
class Placement:
    """A device as torch spells it ("cpu", "cuda:0", "mps"), a number format, and the reason for both in one line."""

    device: str
    dtype: str
    reason: str


@dataclass(frozen=True)
class Gpu:
    """memory: bytes in all.  bfloat16: whether it computes in it without emulation."""

    device: str
    name: str
    memory: int
    bfloat16: bool


class Probe(Protocol):
    """What this machine has. Asked only as far as a choice needs it: to look for a GPU takes time."""

    def gpus(self) -> tuple[Gpu, ...]:
        """The best first."""
        ...

    def cpu_bfloat16(self) -> str:
        """The instructions that compute in bfloat16; empty where there are none."""
        ...

    def cpu_float16(self) -> str: ...

    def built_for(self) -> tuple[str, ...]:
        """The kinds of GPU that this build of torch can drive, there or not."""
        ...


class TorchProbe:
    """The machine as torch sees it."""

    def gpus(self) -> tuple[Gpu, ...]:
        return (*cuda_gpus(), *mps_gpus())

    def cpu_bfloat16(self) -> str:
        return cpu_instructions(CPU_BFLOAT16)

    def cpu_float16(self) -> str:
        return cpu_instructions(CPU_FLOAT16)

    def built_for(self) -> tuple[str, ...]:
        backends = {"cuda": torch.backends.cuda, "mps": torch.backends.mps}
        return tuple(name for name, backend in backends.items() if backend.is_built())


def cuda_gpus() -> list[Gpu]:
    if not torch.cuda.is_available():
        return []
    found = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        bfloat16 = bool(torch.version.hip) or properties.major >= 8  # Ampere brought it to NVIDIA's, ROCm has it throughout
        found.append(Gpu(f"cuda:{index}", properties.name, properties.total_memory, bfloat16))
    return found


def mps_gpus() -> list[Gpu]:
    if not torch.backends.mps.is_available():
        return []
    bfloat16 = torch.backends.mps.is_macos_or_newer(14, 0)  # Metal 3.1 brought the type
    return [Gpu("mps", "Apple GPU", torch.mps.recommended_max_memory(), bfloat16)]


def cpu_instructions(names: tuple[str, ...]) -> str:
    """The first of these that the CPU has, where torch was built with the library that uses them."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return ""
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.11 up; before: none known
    return next((name for name in names if capabilities.get(name)), "")


def choose(device: str = "auto", dtype: str = "auto", probe: Probe | None = None) -> Placement:
    """The device and number format for a request.

    device: auto takes the best there is.  dtype: auto takes 16 bits where the hardware computes in them.

    Raises: UsageError for a device that is malformed or not there, and for a format that is unknown or that the
        device has no hardware for and would be some hundred times slower in. Nothing falls back.
    """
    probe = TorchProbe() if probe is None else probe
    if dtype not in ("auto", *DTYPES):
        raise UsageError(f"--dtype must be one of auto, {', '.join(DTYPES)}, not {dtype!r}")
    gpu, where = find_device(device, probe)
    if gpu:
        chosen, why = gpu_dtype(gpu, dtype)
        return Placement(gpu.device, chosen, f"{where}; {why}")
    chosen, why = cpu_dtype(dtype, probe)
    return Placement("cpu", chosen, f"{where}; {why}")


def find_device(device: str, probe: Probe) -> tuple[Gpu | None, str]:
    """The GPU, or None for the CPU, and why."""
    if device == "cpu":
        return None, "CPU as asked"
    if device == "auto":
        gpu = next(iter(probe.gpus()), None)
        return gpu, describe(gpu) if gpu else "no GPU"
    if not DEVICE_NAMES.fullmatch(device):
        raise UsageError(f"--device must be auto, cpu, cuda, cuda:N or mps, not {device!r}", available(probe))
    wanted = "cuda:0" if device == "cuda" else device
    for gpu in probe.gpus():
        if gpu.device == wanted:
            return gpu, f"{describe(gpu)}, as asked"
    kind = device.partition(":")[0]
    unbuilt = "" if kind in probe.built_for() else f"; this build of torch cannot drive {kind}: see pytorch.org/get-started"
    raise UsageError(f"there is no device {device!r} here", available(probe) + unbuilt)


def describe(gpu: Gpu) -> str:
    return f"{gpu.name}, {gpu.memory / 2**30:.0f} GiB"


def available(probe: Probe) -> str:
    return "there is: " + ", ".join(["cpu", *(f"{gpu.device} ({describe(gpu)})" for gpu in probe.gpus())])


def gpu_dtype(gpu: Gpu, dtype: str) -> tuple[str, str]:
    if dtype == "auto":
        # bfloat16 before float16: it has float32's range, so a model trained in it cannot overflow
        return ("bfloat16", "bfloat16 in hardware") if gpu.bfloat16 else ("float16", "float16, for it has no bfloat16")
    emulated = dtype == "bfloat16" and not gpu.bfloat16
    return dtype, f"{dtype} as asked" + (", which it emulates" if emulated else "")


def cpu_dtype(dtype: str, probe: Probe) -> tuple[str, str]:
    instructions = probe.cpu_float16() if dtype == "float16" else probe.cpu_bfloat16()
    match dtype:
        case "float32":
            return "float32", "float32 as asked"
        case "float16" if not instructions:
            faster = "bfloat16 or float32" if probe.cpu_bfloat16() else "float32"
            raise UsageError("this CPU has no float16 in hardware and would be some hundred times slower in it", f"use --dtype {faster}")
        case "auto" if not instructions:
            return "float32", "float32, for the CPU has no bfloat16 in hardware"
        case "auto":
            return "bfloat16", f"bfloat16 in hardware ({instructions})"
    return dtype, f"{dtype} as asked" + (f" ({instructions})" if instructions else ", not in hardware: slow")


def synchronize(device: str) -> None:
    """Waits until the device has done all it was given, so that a time read afterwards is honest."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device == "mps":
        torch.mps.synchronize()


def peak_memory(device: str) -> int:
    """Bytes: on CUDA the most that tensors took; on MPS what the driver holds; on the CPU the most the process took."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    if device == "mps":
        return torch.mps.driver_allocated_memory()
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux KiB


def memory_free(device: str) -> int:
    """Bytes that a model may still take there."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    if device == "mps":
        return max(0, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return min(int(psutil.virtual_memory().available), cgroup_room())


def cgroup_room(folder: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes left below a container's limit (cgroup v2), which the machine's own figures do not show."""
    try:
        limit = int((folder / "memory.max").read_text())
        used = int((folder / "memory.current").read_text())
        reclaimable = int(dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())["inactive_file"])
    except (OSError, ValueError, KeyError):  # no cgroup, another version, or "max": no limit
        return sys.maxsize
    return max(0, limit - used + reclaimable)
