"""run.json: what a run was asked to do and with what, so that it can be gone on with, or refused when that has changed."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aigc_cli.atomic_file import replace_file
from aigc_cli.core.errors import AigcError, UsageError
from aigc_cli.core.finetune_image import ImageFinetuneRequest
from aigc_cli.core.sample import Split
from aigc_cli.core.training_request import TrainingRequest, request_from_json
from aigc_cli.store.blueprint import Tables, existing_autoencoder, table_changes

NAME = "run.json"
FORMAT = 1
Status = Literal["running", "stopped", "complete"]

SAME_RESULT = {"pace.keep", "pace.save_steps"}  # they say what is saved and when, not what is learnt
MODELS = {"model": "-m", "tuning.from_scratch": "--from-scratch", "tuning.continue_from": "--continue"}
FLAGS = {  # where it is not the field's name
    "data.mode": "the mode (--raw, --instruct)",
    "proof.metrics": "--metric",
    "proof.sample_prompts": "--sample-prompt",
}
DATA = {"data.paths", "data.validation", "data.test"}
READ = {"data": ("paths", "validation", "test"), "tuning": ("from_scratch", "continue_from")}  # fields that name files, besides the model


@dataclass(frozen=True)
class DataFile:
    """What rows came from, as it was then: a file, or a folder of pictures."""

    path: str
    sha256: str
    split: Split


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What was asked for, and what it was done with.

    created: UTC, ISO 8601.  status: "running" is also what a killed run leaves.
    working_folder: what relative paths in the request are relative to.
    files: in the order in which their rows are numbered.
    revision: the Hub commit of the model.  fingerprint: of its files, and of an earlier result it goes on from.
    device, dtype: what was chosen, not "auto".  versions: of the packages that compute.
    tensorboard, html: what else was asked to be written.
    made: names of the result's files in the run's folder.  blueprint: what the tables of a new pipeline say.
    """

    aigc: str
    created: str
    status: Status
    working_folder: str
    request: TrainingRequest
    files: tuple[DataFile, ...]
    revision: str | None = None
    fingerprint: str
    device: str
    dtype: str
    versions: dict[str, str]
    tensorboard: bool = False
    html: bool = False
    made: tuple[str, ...] = ()
    blueprint: Tables = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **dataclasses.asdict(self), "request": self.request.to_json()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> RunRecord:
        """Raises: UsageError, TypeError, KeyError or AttributeError for what `to_json` did not make."""
        fields = {name: value[name] for name in value if name != "format"}
        fields["request"] = request_from_json(fields["request"])
        fields["files"] = tuple(DataFile(**file) for file in fields["files"])
        fields["made"] = tuple(fields["made"])
        return cls(**fields)


def write_record(folder: Path, record: RunRecord) -> None:
    replace_file(folder / NAME, (json.dumps(record.to_json(), ensure_ascii=False, indent=1) + "\n").encode("utf-8", "backslashreplace"))


def read_record(folder: Path) -> RunRecord:
    """Raises: UsageError where there is none; AigcError for one that is broken or from a newer aigc."""
    path = folder / NAME
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"there is no run in {folder}", "check the name, or begin one: aigc finetune DATA -m MODEL -o FOLDER") from None
    except ValueError:
        raise broken(path) from None
    if isinstance(value, dict) and isinstance(value.get("format"), int) and value["format"] > FORMAT:
        raise AigcError(f"{path} was written by a newer aigc ({value.get('aigc')})", "update aigc, or choose another -o")
    try:
        return RunRecord.from_json(value)
    except (UsageError, TypeError, KeyError, AttributeError, ValueError):
        raise broken(path) from None


def broken(path: Path) -> AigcError:
    return AigcError(f"{path} is broken: what this run was cannot be told", "choose another -o, or remove the folder yourself")


def set_status(folder: Path, status: Status) -> None:
    write_record(folder, dataclasses.replace(read_record(folder), status=status))


def recorded_request(folder: Path) -> TrainingRequest:
    """What `--resume` alone goes on with. Raises: as `read_record`."""
    return request_here(read_record(folder))


def request_here(record: RunRecord) -> TrainingRequest:
    """The request of a run, its paths good in today's working folder."""
    request = record.request
    if record.working_folder == os.getcwd():
        return request

    def anchored(path: str) -> str:
        return path if path == "-" else os.path.join(record.working_folder, path)

    def anchored_fields(group: Any, names: tuple[str, ...]) -> dict[str, Any]:
        values = {name: value for name in names if (value := getattr(group, name, None))}
        return {name: anchored(value) if isinstance(value, str) else tuple(map(anchored, value)) for name, value in values.items()}

    groups = {name: getattr(request, name) for name in READ}
    return dataclasses.replace(
        request,
        model=anchored(request.model) if os.path.exists(anchored(request.model)) else request.model,
        **{name: dataclasses.replace(group, **anchored_fields(group, READ[name])) for name, group in groups.items()},
    )


def named_files(request: TrainingRequest) -> list[str]:
    """All that a request reads: data, the model, where it is a name of the Hub too, an earlier result."""
    values = [getattr(getattr(request, group), name, None) for group, names in READ.items() for name in names]
    several = [name for value in values if isinstance(value, tuple) for name in value]
    return [*several, request.model, *(value for value in values if isinstance(value, str))]


def changes(old: RunRecord, new: RunRecord) -> list[str]:
    """What would make the rest of a run another than the one begun, each in words; empty when nothing would.

    Data are compared by their rows' order and content, models by their files, wherever they lie now. --keep and
    --save-steps may change, and so may versions of packages (see `version_changes`) and the number of a GPU.
    """
    if type(old.request) is not type(new.request):
        return [f"--image was {worded(is_of_pictures(old))}, is {worded(is_of_pictures(new))}"]
    settings = setting_changes(old.request, new.request)
    return model_changes(old, new) + settings + placement_changes(old, new) + file_changes(old.files, new.files)


def is_of_pictures(record: RunRecord) -> bool:
    return isinstance(record.request, ImageFinetuneRequest)


def refuse_changes(old: RunRecord, new: RunRecord) -> None:
    """Raises: UsageError listing all that `changes` finds."""
    if found := changes(old, new):
        message = "this is not the run that was begun:\n" + "\n".join(f"  {change}" for change in found)
        raise UsageError(message, "undo that and --resume again, or begin a new run with another -o")


def version_changes(old: RunRecord, new: RunRecord) -> list[str]:
    """Packages that are others now: the run can go on, but perhaps not to the same last digit."""
    names = sorted(old.versions.keys() | new.versions.keys())
    pairs = [(name, old.versions.get(name, "missing"), new.versions.get(name, "missing")) for name in names]
    return [f"{name} was {before}, is {now}" for name, before, now in pairs if before != now]


def model_changes(old: RunRecord, new: RunRecord) -> list[str]:
    """Empty where the files are the same, whatever they are called."""
    if old.fingerprint == new.fingerprint:
        return []
    if old.blueprint and new.blueprint:
        return table_changes(old.blueprint, new.blueprint) or [f"the files of {existing_autoencoder(new.blueprint)} have changed"]
    before, now = flat(old.request.to_json()), flat(new.request.to_json())
    renamed = [name for name in MODELS if before.get(name) != now.get(name)]
    if renamed:
        return [f"{MODELS[name]} was {worded(before[name])}, is {worded(now[name])}" for name in renamed]
    if old.revision != new.revision:
        return [f"the revision of {new.request.model} was {old.revision}, is {new.revision}"]
    return [f"the files of {now.get('tuning.continue_from') or new.request.model} have changed"]


def setting_changes(old: TrainingRequest, new: TrainingRequest) -> list[str]:
    before, now = flat(old.to_json()), flat(new.to_json())
    names = [name for name in now if name not in {*SAME_RESULT, *MODELS, *DATA} and before[name] != now[name]]
    return [f"{flag_of(name)} was {worded(before[name])}, is {worded(now[name])}" for name in names]


def placement_changes(old: RunRecord, new: RunRecord) -> list[str]:
    kinds = [record.device.partition(":")[0] for record in (old, new)]
    pairs = {"--device": kinds, "--dtype": [old.dtype, new.dtype]}
    return [f"{flag} was {before}, is {now}" for flag, (before, now) in pairs.items() if before != now]


def flat(groups: dict[str, Any]) -> dict[str, Any]:
    """{"seed": 0, "pace": {"keep": 2}} as {"seed": 0, "pace.keep": 2}."""
    values: dict[str, Any] = {}
    for name, value in groups.items():
        values |= {f"{name}.{field}": inner for field, inner in value.items()} if isinstance(value, dict) else {name: value}
    return values


def flag_of(name: str) -> str:
    return FLAGS.get(name) or "--" + name.rpartition(".")[2].replace("_", "-")


def worded(value: Any) -> str:
    """A setting's value as the command line has it."""
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (list, tuple)):
        return ",".join(value) or "not given"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def file_changes(old: tuple[DataFile, ...], new: tuple[DataFile, ...]) -> list[str]:
    if [(file.sha256, file.split) for file in old] == [(file.sha256, file.split) for file in new]:
        return []
    before, now = {(file.path, file.split): file.sha256 for file in old}, {(file.path, file.split): file.sha256 for file in new}
    changed = [
        f"{path} has changed since (sha256 {sha256[:12]}, was {before[path, split][:12]})"
        for (path, split), sha256 in now.items()
        if before.get((path, split), sha256) != sha256
    ]
    added = [f"{path} was added to the {split} data" for path, split in now if (path, split) not in before]
    gone = [f"{path} is no longer among the {split} data" for path, split in before if (path, split) not in now]
    return changed + added + gone or ["the files are read in another order"]
