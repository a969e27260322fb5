"""The facts of a model by its name: from its files where they are here, else from the Hub, without its weights."""

from __future__ import annotations

from pathlib import Path

from aigc_cli.core.errors import ModelError, UsageError
from aigc_cli.models.catalogue import Builtin
from aigc_cli.models.check import PIPELINE_INDEX, read_header
from aigc_cli.models.check_image import check_image_model
from aigc_cli.models.checkpoints import identify_checkpoint
from aigc_cli.models.facts import Facts, model_facts
from aigc_cli.models.headers import Header
from aigc_cli.models.hub_cache import cached_model, snapshot_folder
from aigc_cli.models.kinds import check_any, modality
from aigc_cli.models.names import HubId, identify
from aigc_cli.models.pipeline_facts import PipelineFacts, folder_pipeline, with_file
from aigc_cli.models.resolve_image import folder_beside

# of GGUF files with denoisers, as the tools that make them name them (github.com/city96/ComfyUI-GGUF)
IMAGE_ARCHITECTURES = ("flux", "sd1", "sdxl", "sd3", "aura", "hidream", "cosmos", "lumina2", "qwen_image")


def gather_facts(name: str) -> Facts | PipelineFacts:
    """Raises: ModelError, UsageError for a model that runs elsewhere."""
    match identify(name):
        case Builtin() as builtin:
            return facts_at(check_any(builtin.folder()))
        case Path() as path:
            return facts_at(check_any(path))
        case HubId() as hub_id:
            cached = cached_model(hub_id, check_any)
            return facts_at(check_any(cached)) if cached else facts_on_hub(hub_id)
        case _:
            raise UsageError(f"{name} runs on another machine", "fit is for models that run here")


def facts_at(path: Path) -> Facts | PipelineFacts:
    """Of a folder or file that passed its check."""
    if modality(path) != "image":
        return model_facts(path)
    if path.is_dir():
        return folder_pipeline(path)
    header = read_header(path)
    return with_file(base_facts(header, folder_beside(path)), header, path.stat().st_size)


def facts_on_hub(hub_id: HubId) -> Facts | PipelineFacts:
    from aigc_cli.models.hub_api import inspect, remote_facts
    from aigc_cli.models.hub_pipeline import is_pipeline, remote_header, remote_pipeline

    model = inspect(hub_id)
    if is_pipeline(model):
        return remote_pipeline(model)
    if hub_id.file and hub_id.file.endswith(".safetensors"):
        header = remote_header(model, model.files[0])
        return with_file(base_facts(header), header, model.size)
    facts = remote_facts(model)
    if facts.architecture in IMAGE_ARCHITECTURES:
        raise ModelError(f"{hub_id} is part of an image model: what it takes is told from the file itself", f"aigc models pull {hub_id}")
    return facts


def base_facts(header: Header, beside: Path | None = None) -> PipelineFacts:
    """What a single file lacks, of the folder beside it, of one in the cache, or of the Hub. Raises: ModelError."""
    checkpoint = identify_checkpoint(header.shapes)
    if checkpoint is None:
        raise ModelError("the file holds no image model that is known by its tensors", "use the model's diffusers folder, if there is one")
    base = HubId(checkpoint.repo)
    if checkpoint.is_whole:
        cached = snapshot_folder(base)
        folder = beside or (cached if cached and (cached / PIPELINE_INDEX).exists() else None)
    else:
        folder = beside or cached_model(base, check_image_model)
    if folder:
        return folder_pipeline(folder, with_weights=not checkpoint.is_whole)
    from aigc_cli.models.hub_api import inspect
    from aigc_cli.models.hub_pipeline import remote_pipeline

    return remote_pipeline(inspect(base), with_weights=not checkpoint.is_whole)
