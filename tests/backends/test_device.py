"""The choice of device and number format, on machines that a fake probe makes up; real GPUs under the gpu marker."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from aigc_cli.backends.device import Gpu, Placement, TorchProbe, cgroup_room, choose, memory_free, peak_memory, synchronize
from aigc_cli.core.errors import ExitStatus, UsageError

GIB = 2**30
H100 = Gpu("cuda:0", "NVIDIA H100", 80 * GIB, bfloat16=True)
SECOND = Gpu("cuda:1", "NVIDIA H100", 80 * GIB, bfloat16=True)
T4 = Gpu("cuda:0", "Tesla T4", 15 * GIB, bfloat16=False)
M3 = Gpu("mps", "Apple GPU", 24 * GIB, bfloat16=True)
OLD_MAC = Gpu("mps", "Apple GPU", 11 * GIB, bfloat16=False)


@dataclass(frozen=True)
class Machine:
    """A probe that answers as told."""

    found: tuple[Gpu, ...] = ()
    bfloat16: str = ""
    float16: str = ""
    kinds: tuple[str, ...] = ("cuda",)

    def gpus(self) -> tuple[Gpu, ...]:
        return self.found

    def cpu_bfloat16(self) -> str:
        return self.bfloat16

    def cpu_float16(self) -> str:
        return self.float16

    def built_for(self) -> tuple[str, ...]:
        return self.kinds


class NoLooking(Machine):
    def gpus(self) -> tuple[Gpu, ...]:
        raise AssertionError("--device cpu looked for a GPU")


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (Machine(), Placement("cpu", "float32", "no GPU; float32, for the CPU has no bfloat16 in hardware")),
        (Machine(bfloat16="avx512_bf16"), Placement("cpu", "bfloat16", "no GPU; bfloat16 in hardware (avx512_bf16)")),
        (Machine((H100, SECOND)), Placement("cuda:0", "bfloat16", "NVIDIA H100, 80 GiB; bfloat16 in hardware")),
        (Machine((T4,), bfloat16="amx_bf16"), Placement("cuda:0", "float16", "Tesla T4, 15 GiB; float16, for it has no bfloat16")),
        (Machine((M3,)), Placement("mps", "bfloat16", "Apple GPU, 24 GiB; bfloat16 in hardware")),
        (Machine((OLD_MAC,)), Placement("mps", "float16", "Apple GPU, 11 GiB; float16, for it has no bfloat16")),
        (Machine((H100, M3)), Placement("cuda:0", "bfloat16", "NVIDIA H100, 80 GiB; bfloat16 in hardware")),
    ],
)
def test_auto_takes_the_best_there_is_and_says_why(machine: Machine, expected: Placement) -> None:
    assert choose("auto", "auto", machine) == expected


@pytest.mark.parametrize(("device", "expected"), [("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu")])
def test_a_named_device_is_taken(device: str, expected: str) -> None:
    assert choose(device, "auto", Machine((H100, SECOND))).device == expected


def test_the_cpu_as_asked_does_not_wake_a_gpu() -> None:
    placement = choose("cpu", "auto", NoLooking((H100,), bfloat16="bf16"))
    assert placement == Placement("cpu", "bfloat16", "CPU as asked; bfloat16 in hardware (bf16)")


@pytest.mark.parametrize("device", ["cuda:7", "cuda:2", "mps"])
def test_a_device_that_is_not_there_is_refused_with_what_is(device: str) -> None:
    with pytest.raises(UsageError) as error:
        choose(device, "auto", Machine((H100, SECOND), kinds=("cuda", "mps")))
    assert error.value.status == ExitStatus.USAGE
    assert error.value.message == f"there is no device {device!r} here"
    assert error.value.hint == "there is: cpu, cuda:0 (NVIDIA H100, 80 GiB), cuda:1 (NVIDIA H100, 80 GiB)"


def test_a_build_of_torch_without_cuda_is_named_as_the_cause() -> None:
    with pytest.raises(UsageError) as error:
        choose("cuda", "auto", Machine(kinds=()))
    assert error.value.hint == "there is: cpu; this build of torch cannot drive cuda: see pytorch.org/get-started"


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "cuda:x", "CUDA", "cpu:0", "mps:0", "", "显卡"])
def test_a_malformed_device_is_refused(device: str) -> None:
    with pytest.raises(UsageError, match="--device must be auto, cpu, cuda, cuda:N or mps"):
        choose(device, "auto", Machine((H100,)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("gpu", [H100, T4, M3, OLD_MAC])
def test_a_named_dtype_is_kept_on_a_gpu(gpu: Gpu, dtype: str) -> None:
    placement = choose(gpu.device, dtype, Machine((gpu,)))
    assert placement.dtype == dtype
    assert ("emulates" in placement.reason) == (dtype == "bfloat16" and not gpu.bfloat16)


def test_a_named_dtype_on_the_cpu_says_when_it_is_slow() -> None:
    assert choose("cpu", "float32", Machine()).reason == "CPU as asked; float32 as asked"
    assert choose("cpu", "bfloat16", Machine()).reason == "CPU as asked; bfloat16 as asked, not in hardware: slow"
    assert choose("cpu", "bfloat16", Machine(bfloat16="amx_bf16")).reason == "CPU as asked; bfloat16 as asked (amx_bf16)"
    assert choose("cpu", "float16", Machine(float16="amx_fp16")) == Placement("cpu", "float16", "CPU as asked; float16 as asked (amx_fp16)")


@pytest.mark.parametrize(("bfloat16", "hint"), [("avx512_bf16", "use --dtype bfloat16 or float32"), ("", "use --dtype float32")])
def test_float16_without_hardware_is_refused_on_the_cpu(bfloat16: str, hint: str) -> None:
    with pytest.raises(UsageError, match="no float16 in hardware") as error:
        choose("auto", "float16", Machine(bfloat16=bfloat16))
    assert error.value.hint == hint


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(UsageError, match="--dtype must be one of auto, float32, bfloat16, float16, not 'half'"):
        choose("cpu", "half", Machine())


def test_this_machine_can_be_used() -> None:
    placement = choose()
    ones = torch.ones(4, 4, dtype=getattr(torch, placement.dtype), device=placement.device)
    synchronize(placement.device)
    assert (ones @ ones).sum().item() == 64
    assert placement.dtype == "float32" or "hardware" in placement.reason or placement.device != "cpu"


def test_memory_of_the_process_is_in_bytes() -> None:
    before = peak_memory("cpu")
    assert 50 * 2**20 < before < 2**40
    block = torch.ones(before // 4 + 16 * 2**20)  # float32: more than the peak so far
    assert peak_memory("cpu") >= before + block.nbytes // 8
    assert 0 < memory_free("cpu") < 2**50


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    for name, text in (("memory.max", "1000\n"), ("memory.current", "900\n"), ("memory.stat", "anon 1\ninactive_file 50\n")):
        (tmp_path / name).write_text(text)
    assert cgroup_room(tmp_path) == 150
    (tmp_path / "memory.max").write_text("max\n")
    assert cgroup_room(tmp_path) == sys.maxsize
    assert cgroup_room(tmp_path / "absent") == sys.maxsize


@pytest.mark.gpu
def test_a_real_gpu_computes_and_counts_its_memory() -> None:
    gpus = TorchProbe().gpus()
    if not gpus:
        pytest.skip("no GPU here")
    for gpu in gpus:
        placement = choose(gpu.device)
        free = memory_free(gpu.device)
        block = torch.ones(64 * 2**20, dtype=getattr(torch, placement.dtype), device=gpu.device)
        synchronize(gpu.device)
        assert block.sum(dtype=torch.float32).item() == 64 * 2**20
        assert peak_memory(gpu.device) >= block.nbytes
        assert 0 < memory_free(gpu.device) <= free <= gpu.memory
        assert placement.dtype == ("bfloat16" if gpu.bfloat16 else "float16")
    with pytest.raises(UsageError, match="there is no device 'cuda:99'"):
        choose("cuda:99")
