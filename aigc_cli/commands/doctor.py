"""`aigc doctor`: what this machine has, and what is amiss."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from aigc_cli.commands.output import open_output
from aigc_cli.core.errors import AigcError, ExitStatus
from aigc_cli.core.events import Progress
from aigc_cli.core.units import format_size
from aigc_cli.options import OutputOptions
from aigc_cli.signals import leaving_at_once

if TYPE_CHECKING:
    from aigc_cli.backends.device import Placement
    from aigc_cli.backends.machine import Device, Speed
    from aigc_cli.installation import FolderUse, Package, Problem
    from aigc_cli.render.output import Output
    from aigc_cli.render.table import Section
    from aigc_cli.settings import Setting


@dataclass
class Report:
    """Everything that was found."""

    packages: list[Package] = field(default_factory=list)
    placement: Placement | None = None  # what a model would get
    devices: list[Device] = field(default_factory=list)
    speeds: list[Speed] = field(default_factory=list)
    folders: list[FolderUse] = field(default_factory=list)
    settings: dict[str, Setting] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def doctor(options: OutputOptions) -> None:
    """Show versions, devices, their speed, folders, settings, and what is amiss (status 1 if anything is)."""
    from aigc_cli.render.table import write_sections

    output = open_output(options)
    try:
        with leaving_at_once():
            report = examine(output)
    finally:
        output.clear_progress()
    if options.json:
        output.write_json(to_json(report))
    else:
        write_sections(output, list(sections(report)))
    if report.problems:
        raise typer.Exit(ExitStatus.FAILED)


def examine(output: Output) -> Report:
    """Looks at everything; whatever fails becomes a problem of the report."""
    from aigc_cli.installation import environment, folder_uses, package_problems, packages

    report = Report()
    add_settings(report)
    key_variable = report.settings["api_key_env"].value if report.settings else "OPENAI_API_KEY"
    report.environment = environment(key_variable)
    report.folders = folder_uses()
    output.progress(Progress(phase="importing packages", done=0, unit=""))
    report.packages = packages()
    report.problems += package_problems(report.packages)
    report.problems += [problem for use in report.folders if (problem := use.problem())]
    if any(package.name == "torch" and package.works for package in report.packages):
        add_devices(report, output)
    return report


def add_settings(report: Report) -> None:
    from aigc_cli.installation import Problem
    from aigc_cli.settings import KEYS, load_settings

    try:
        settings = load_settings()
    except AigcError as error:
        report.problems.append(Problem(error.message, error.hint))
        return
    for path in settings.unreadable:
        report.problems.append(Problem(f"{path} cannot be read, so nothing in it counts", "give yourself the right to read it"))
    report.settings = {key: setting for key in KEYS if (setting := settings.lookup(key)).value is not None}


def add_devices(report: Report, output: Output) -> None:
    """torch is known to import; a driver may still not fit its GPU."""
    from aigc_cli.installation import Problem

    try:
        measure_devices(report, output)
    except AigcError as error:
        report.problems.append(Problem(error.message, error.hint))
    except (ImportError, RuntimeError) as error:
        report.problems.append(Problem(f"the devices cannot be used: {str(error).splitlines()[0]}", "look at the driver of the GPU"))


def measure_devices(report: Report, output: Output) -> None:
    from aigc_cli.backends import machine
    from aigc_cli.backends.device import choose
    from aigc_cli.installation import Problem

    if shutil.which("nvidia-smi") and not machine.can_drive("cuda"):
        message = "there is an NVIDIA GPU, but this build of torch cannot drive it"
        report.problems.append(Problem(message, "see pytorch.org/get-started for one with CUDA"))
    report.devices = machine.devices()
    for device in report.devices:
        for done, speed in enumerate(machine.measure(device.device), start=1):
            output.progress(Progress(phase=f"measuring {device.device}", done=done, total=machine.FIGURES, unit=""))
            report.speeds.append(speed)
    report.placement = choose(*(report.settings[key].value for key in ("device", "dtype") if key in report.settings))


def sections(report: Report) -> Iterator[Section]:
    """The report for people."""
    from aigc_cli import __version__
    from aigc_cli.installation import without_password
    from aigc_cli.render.table import Section
    from aigc_cli.render.width import one_line

    own = (("aigc", __version__), ("python", f"{platform.python_version()}  {sys.executable}"), ("system", platform.platform()))
    yield Section("Versions", (*own, *((package.name, package.version or "-") for package in report.packages)))
    yield Section("Devices", (*((device.device, device.name, memory(device)) for device in report.devices), *in_use(report)))
    yield Section("Speed", tuple((speed.device, speed.name, figure(speed)) for speed in report.speeds))
    sizes = ((use, "-" if use.size is None else format_size(use.size)) for use in report.folders)
    yield Section("Folders", tuple((use.name, size, f"{format_size(use.free)} free", str(use.path)) for use, size in sizes))
    settings = report.settings.items()
    yield Section("Settings", tuple((key, one_line(without_password(str(setting.value))), setting.origin) for key, setting in settings))
    yield Section("Environment", tuple(report.environment.items()))
    problems = tuple((line,) for problem in report.problems for line in (problem.message, f"  {problem.hint}") if line.strip())
    yield Section("Problems", problems or (("none found",),))


def memory(device: Device) -> str:
    return f"{format_size(device.memory_free)} of {format_size(device.memory)} free"


def in_use(report: Report) -> Iterator[tuple[str, ...]]:
    """The device and number format that a model would get."""
    if report.placement:
        yield "in use", f"{report.placement.device}, {report.placement.dtype}", report.placement.reason


def figure(speed: Speed) -> str:
    return speed.problem if speed.value is None else f"{speed.value:8.1f} {speed.unit}"


def to_json(report: Report) -> dict[str, Any]:
    """The report for machines: sizes in bytes, speeds in operations or bytes a second times 1e-9."""
    from aigc_cli import __version__
    from aigc_cli.installation import without_password

    own = {"aigc": __version__, "python": platform.python_version(), "system": platform.platform()}
    return {
        "versions": own | {package.name: package.version for package in report.packages},
        "placement": asdict(report.placement) if report.placement else None,
        "devices": [asdict(device) for device in report.devices],
        "speeds": [asdict(speed) for speed in report.speeds],
        "folders": [asdict(use) | {"path": str(use.path)} for use in report.folders],
        "settings": {
            key: {"value": without_password(setting.value) if isinstance(setting.value, str) else setting.value, "origin": setting.origin}
            for key, setting in report.settings.items()
        },
        "environment": report.environment,
        "problems": [asdict(problem) for problem in report.problems],
    }
