"""`aigc doctor` on healthy machines and on broken ones."""

from __future__ import annotations

import builtins
import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aigc_cli.backends import machine
from aigc_cli.backends.device import Gpu, TorchProbe
from aigc_cli.backends.machine import Speed
from aigc_cli.installation import Package, folder_size, hub_cache, without_password
from tests.conftest import Result

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measuring itself has a test of its own."""

    def measure(device: str) -> Iterator[Speed]:
        yield Speed(device, "float32", "GFLOP/s", 81.25)
        yield Speed(device, "float16", "GFLOP/s", None, "no such kernel")

    monkeypatch.setattr(machine, "measure", measure)


def section(text: str, title: str) -> list[str]:
    """The lines below a heading, without their indentation."""
    block = next(block for block in text.split("\n\n") if block.startswith(title + "\n"))
    return [line.strip() for line in block.splitlines()[1:]]


def test_a_healthy_machine(run: Run, own_home: Path) -> None:
    result = run("doctor")
    assert (result.status, result.stderr) == (0, "")
    assert any(line.split()[0] == "torch" for line in section(result.stdout, "Versions"))
    assert section(result.stdout, "Devices")[0].startswith("cpu")
    assert section(result.stdout, "Devices")[-1].startswith("in use")
    assert section(result.stdout, "Speed")[:2] == ["cpu  float32      81.2 GFLOP/s", "cpu  float16  no such kernel"]
    assert str(own_home / "hf" / "hub") in section(result.stdout, "Folders")[-1]
    assert section(result.stdout, "Problems") == ["none found"]
    assert not (own_home / "aigc").exists()


def test_json_holds_the_same_in_bytes_and_names(run: Run, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIGC_DEVICE", "cpu")
    cached = own_home / "hf" / "hub" / "models--org--name"
    cached.mkdir(parents=True)
    (cached / "weights").write_bytes(b"x" * 1000)
    [report] = run("doctor", "--json").events
    assert report["speeds"][0] == {"device": "cpu", "name": "float32", "unit": "GFLOP/s", "value": 81.25, "problem": ""}
    assert report["placement"]["device"] == "cpu"
    assert report["settings"]["device"] == {"value": "cpu", "origin": "AIGC_DEVICE"}
    folders = {folder["name"]: folder for folder in report["folders"]}
    assert folders["Hugging Face cache"]["size"] == 1000
    assert folders["config"]["size"] is None
    assert report["devices"][0]["memory_free"] > 0
    assert report["problems"] == []


def test_secrets_are_never_shown(run: Run, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"HF_TOKEN": "hf_abc", "OPENAI_API_KEY": "sk-abc", "MY_KEY": "mine", "HTTPS_PROXY": "http://me:pw@proxy:1"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIGC_API_KEY_ENV", "MY_KEY")
    monkeypatch.setenv("AIGC_BASE_URL", "https://me:pw@host/v1")
    monkeypatch.setenv("HF_ENDPOINT", "https://me:pw@mirror")
    for flags in ((), ("--json",)):
        shown = run("doctor", *flags).stdout
        for secret in (*secrets.values(), "pw"):
            assert secret not in shown.replace("MY_KEY", "")
        for name in secrets:
            assert name in shown
        assert "https://***@host/v1" in shown


def test_a_broken_package_is_a_problem_and_not_the_end(run: Run, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = own_home / "packages"
    packages.mkdir()
    (packages / "diffusers.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.delitem(sys.modules, "diffusers", raising=False)  # a sound one that another test imported
    result = run("doctor")
    assert result.status == 1
    problem, remedy = section(result.stdout, "Problems")
    assert problem.startswith("diffusers ")  # and its version, where one is installed
    assert problem.endswith("cannot be imported: RuntimeError: operator torchvision::nms does not exist")
    assert remedy == "pip install --force-reinstall --no-deps diffusers"


@pytest.fixture
def bad_torchvision(own_home: Path) -> dict[str, str]:
    """The environment of a process in which torchvision was built for another torch."""
    packages = own_home / "packages"
    (packages / "torchvision").mkdir(parents=True)
    (packages / "torchvision" / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    metadata = packages / "torchvision-0.28.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(packages), str(Path(__file__).parents[2])])}


def test_a_torchvision_for_another_torch_is_the_one_that_is_blamed(
    aigc: Callable[..., subprocess.CompletedProcess[bytes]], bad_torchvision: dict[str, str]
) -> None:
    result = aigc("doctor", "--json", env=bad_torchvision)
    report = json.loads(result.stdout)
    assert result.returncode == 1
    assert report["versions"]["torchvision"] == "0.28.0"
    assert "spandrel" in report["versions"]
    [problem] = report["problems"]  # none for peft, which transformers leaves in the lurch
    assert problem["message"].startswith("torchvision 0.28.0 does not fit torch 2.")
    assert problem["hint"].startswith("pip uninstall torchvision")
    assert "--no-deps -c constraints.txt" in problem["hint"]


def test_a_model_that_fails_for_torchvision_says_so(
    aigc: Callable[..., subprocess.CompletedProcess[bytes]], bad_torchvision: dict[str, str], tiny: Path
) -> None:
    result = aigc("complete", "-m", str(tiny), "hi", env=bad_torchvision)
    assert result.returncode == 3
    assert b"aigc: torchvision 0.28.0 does not fit torch" in result.stderr
    assert b"pip uninstall torchvision" in result.stderr


def test_without_torch_the_rest_is_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from aigc_cli import installation

    def import_module(name: str) -> Any:
        if name == "torch":
            raise OSError("libcudart.so.13: cannot open shared object file")
        return builtins.__import__(name)

    monkeypatch.setattr(installation.importlib, "import_module", import_module)
    result = run("doctor")
    assert result.status == 1
    assert "cannot be imported: OSError: libcudart.so.13" in section(result.stdout, "Problems")[0]
    assert section(result.stdout, "Folders")
    assert "Devices\n" not in result.stdout


def test_versions_with_known_holes_are_problems() -> None:
    problem = Package("torch", "2.9.1+cu128").problem()
    assert problem
    assert (problem.message, problem.hint) == ("torch 2.9.1+cu128 has known security holes", "pip install 'torch>=2.10'")
    assert Package("torch", "2.10.0").problem() is None
    assert Package("transformers", "5.2.4").problem()
    assert Package("transformers", "5.3.0.dev0").problem() is None
    assert Package("diffusers", None, is_required=False).problem() is None
    missing = Package("prompt_toolkit", None).problem()
    assert missing
    assert missing.hint == "pip install prompt-toolkit"


def test_a_package_with_damaged_metadata(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str | None:
        return None if name == "gguf" else real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    result = run("doctor")
    assert (result.status, section(result.stdout, "Problems")[0]) == (1, "gguf is not installed")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("aigc.toml", "base_url = 'http://x'", "a project file may not set 'base_url'"),
        ("aigc.toml", "model = ", "aigc.toml: "),
        ("aigc.toml", 'device = "cuda:99"', "there is no device 'cuda:99' here"),
    ],
)
def test_bad_settings_are_a_problem(run: Run, name: str, text: str, words: str) -> None:
    Path(name).write_text(text)
    result = run("doctor")
    assert result.status == 1
    assert words in section(result.stdout, "Problems")[0]


def test_a_home_that_cannot_be_written(run: Run, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own_home / "file").write_text("in the way")
    monkeypatch.setenv("AIGC_HOME", str(own_home / "file" / "aigc"))
    result = run("doctor")
    assert result.status == 1
    assert section(result.stdout, "Problems")[0] == f"{own_home}/file/aigc/config cannot be written to (config)"


def test_a_gpu_that_torch_was_not_built_for(run: Run, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own_home / "nvidia-smi").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(own_home))
    monkeypatch.setattr(TorchProbe, "built_for", lambda self: ())
    assert section(run("doctor").stdout, "Problems")[0] == "there is an NVIDIA GPU, but this build of torch cannot drive it"


def test_a_gpu_whose_driver_does_not_fit(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def gpus(self: TorchProbe) -> tuple[Gpu, ...]:
        raise RuntimeError("CUDA error: no kernel image is available\nand much more")

    monkeypatch.setattr(TorchProbe, "gpus", gpus)
    result = run("doctor")
    assert (result.status, section(result.stdout, "Folders") != []) == (1, True)
    assert section(result.stdout, "Problems")[0] == "the devices cannot be used: CUDA error: no kernel image is available"


def test_the_hubs_cache_is_found_by_the_hubs_rules() -> None:
    assert hub_cache({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}) == Path("/a")
    assert hub_cache({"HF_HOME": "/b"}) == Path("/b/hub")
    assert hub_cache({"XDG_CACHE_HOME": "/c"}) == Path("/c/huggingface/hub")
    assert hub_cache({}) == Path.home() / ".cache/huggingface/hub"


def test_a_folders_size_counts_files_once(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "权重").write_bytes(b"x" * 500)
    (tmp_path / "snapshot").symlink_to(tmp_path / "blobs")
    assert folder_size(tmp_path) == 500


def test_addresses_lose_their_password() -> None:
    assert without_password("https://me:secret@host/a@b") == "https://***@host/a@b"
    assert without_password("http://localhost:8080/v1") == "http://localhost:8080/v1"
