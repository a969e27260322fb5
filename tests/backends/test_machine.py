"""The measuring of a machine."""

from __future__ import annotations

import pytest
import torch

from aigc_cli.backends import machine
from aigc_cli.backends.device import TorchProbe


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SECONDS", 0.02)
    monkeypatch.setattr(machine, "READ_BYTES", 2**24)


def test_every_number_format_and_the_memory_are_measured() -> None:
    speeds = list(machine.measure("cpu"))
    assert [(speed.name, speed.unit) for speed in speeds] == [
        ("float32", "GFLOP/s"),
        ("bfloat16", "GFLOP/s"),
        ("float16", "GFLOP/s"),
        ("memory read", "GB/s"),
    ]
    assert len(speeds) == machine.FIGURES
    assert all(speed.value and 0.01 < speed.value < 1e6 for speed in speeds)


def test_a_format_that_the_device_cannot_do_is_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_kernel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        raise RuntimeError('"addmm" not implemented for Half\nand much more')

    monkeypatch.setattr(torch, "mm", no_kernel)
    speeds = list(machine.measure("cpu"))
    assert [(speed.value, speed.problem) for speed in speeds[:3]] == [(None, '"addmm" not implemented for Half')] * 3
    assert speeds[3].value


def test_the_cpu_is_a_device() -> None:
    cpu = machine.devices()[0]
    assert (cpu.device, cpu.threads) == ("cpu", torch.get_num_threads())
    assert 0 < cpu.memory_free <= cpu.memory


@pytest.mark.gpu
def test_a_real_gpu_is_measured() -> None:
    gpus = TorchProbe().gpus()
    if not gpus:
        pytest.skip("no GPU here")
    for gpu in gpus:
        assert any(device.device == gpu.device for device in machine.devices())
        assert all(speed.value for speed in machine.measure(gpu.device))
