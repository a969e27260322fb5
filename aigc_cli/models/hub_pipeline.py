"""What the Hub says of an image model, its files' headers included, without its weights."""

from __future__ import annotations

from collections import Counter

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import SafetensorsParsingError

from aigc_cli.core.errors import ModelError
from aigc_cli.models.check import CONFIG, FETCH_AGAIN, PIPELINE_INDEX
from aigc_cli.models.headers import Header
from aigc_cli.models.hub_api import TIMEOUT, RemoteFile, RemoteModel, remote_json
from aigc_cli.models.hub_errors import NOT_A_HUB, translated
from aigc_cli.models.pipeline_facts import Config, PartWeights, PipelineFacts, collect


def is_pipeline(model: RemoteModel) -> bool:
    return any(file.name == PIPELINE_INDEX for file in model.files)


def remote_pipeline(model: RemoteModel, with_weights: bool = True) -> PipelineFacts:
    """Of a repository with a pipeline: a small request for each of its configs and weight files. Raises: ModelError."""

    def read_config(part: str) -> Config:
        return remote_json(model.id, model.commit, f"{part}/{CONFIG}")

    def read_weights(part: str) -> PartWeights:
        parameters: Counter[str] = Counter()
        if not with_weights:
            return PartWeights(parameters, 0)
        files = [file for file in model.files if file.name.startswith(f"{part}/") and file.name.endswith(".safetensors")]
        for file in files:
            parameters.update(remote_header(model, file).parameters)
        return PartWeights(parameters, sum(file.size for file in files))

    return collect(remote_json(model.id, model.commit, PIPELINE_INDEX), str(model.id), read_config, read_weights)


def remote_header(model: RemoteModel, file: RemoteFile) -> Header:
    """Of a safetensors file. Raises: ModelError."""
    with translated(model.id):
        try:
            found = HfApi().parse_safetensors_file_metadata(model.id.repo, file.name, revision=model.commit, timeout=TIMEOUT)
        except SafetensorsParsingError as error:
            raise ModelError(f"{file.name} of {model.id} is damaged: its header is not what safetensors prescribes", FETCH_AGAIN) from error
        except (ValueError, TypeError, KeyError) as error:
            raise ModelError(f"{constants.ENDPOINT} does not answer as the Hub does", NOT_A_HUB) from error
    shapes = {name: tuple(tensor.shape) for name, tensor in found.tensors.items()}
    return Header(Counter(found.parameter_count), {}, shapes)
