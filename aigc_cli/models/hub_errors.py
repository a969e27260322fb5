"""The Hub's failures, each as a message of its own. No message holds a token, a header or a signed address."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub import constants, errors

from aigc_cli.core.errors import ModelError
from aigc_cli.core.nearest import nearest
from aigc_cli.models.catalogue import catalogue
from aigc_cli.models.names import HubId

NOT_A_HUB = "check HF_ENDPOINT, and whether a proxy stands in between"
CONTINUE = "run this again: it goes on where it stopped"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def translated(hub_id: HubId) -> Iterator[None]:
    """Turns what huggingface_hub, its HTTP client and the disk raise into a ModelError."""
    try:
        yield
    except (httpx2.HTTPError, OSError, errors.HFValidationError) as error:
        raise to_model_error(error, hub_id) from error


def to_model_error(error: BaseException, hub_id: HubId) -> ModelError:
    match error:
        case errors.OfflineModeIsEnabled():
            return ModelError(f"{hub_id} cannot be downloaded: HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE")
        case errors.LocalEntryNotFoundError() if error.__cause__:
            return to_model_error(error.__cause__, hub_id)  # the library's wrapping of what went wrong on the way
        case errors.GatedRepoError():
            page = f"{constants.ENDPOINT}/{hub_id.repo}"
            hint = f"accept it at {page}, then set HF_TOKEN to a token of yours"
            return ModelError(f"{hub_id} is gated: its owner wants the licence accepted first", hint)
        case errors.RevisionNotFoundError():
            return ModelError(f"{hub_id.repo} has no revision {hub_id.revision!r}", "a revision is a branch, a tag or a commit")
        case errors.RepositoryNotFoundError():
            return not_found(hub_id)
        case errors.HfHubHTTPError():
            return refused(error.response.status_code, hub_id)
        case errors.FileMetadataError():
            return ModelError(f"{constants.ENDPOINT} does not answer as the Hub does", NOT_A_HUB)
        case httpx2.TimeoutException():
            return ModelError(f"{constants.ENDPOINT} did not answer in time", f"{CONTINUE}; HF_ENDPOINT can name a mirror")
        case httpx2.ConnectError() | httpx2.UnsupportedProtocol():
            return ModelError(f"{constants.ENDPOINT} cannot be reached", "check the network; HF_ENDPOINT can name a mirror")
        case httpx2.HTTPError():
            return ModelError(f"the connection broke while downloading {hub_id}", CONTINUE)
        case OSError() if error.errno in DISK_FULL:
            return ModelError(f"the disk is full: {hub_id} is not complete", f"make room, then {CONTINUE}")
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return ModelError(f"{hub_id} cannot be stored: {where}{error.strerror or error}", "set HF_HOME to a folder of your own")
        case _:
            return ModelError(f"{hub_id.repo!r} is no Hub id", "a Hub id has the form org/name")


def not_found(hub_id: HubId) -> ModelError:
    known = [entry.id for entry in catalogue().values()]
    hint = nearest(hub_id.repo, known) or "check the name; a private one needs HF_TOKEN"
    return ModelError(f"the Hub has no model {hub_id.repo}, and there is no such folder here", hint)


def refused(status: int, hub_id: HubId) -> ModelError:
    """An answer with an error status and no word on which error it is."""
    if status in (401, 403):
        return ModelError(f"the Hub refuses access to {hub_id} (HTTP {status})", "check that HF_TOKEN is valid and may read it")
    if status == 404:
        return not_found(hub_id)
    if status == 429:
        return ModelError("the Hub has had too many requests from here (HTTP 429)", "wait a few minutes; with HF_TOKEN set it allows more")
    return ModelError(f"the Hub failed (HTTP {status}) while {hub_id} was fetched", CONTINUE)
