"""The result of a run, as a folder that transformers or peft reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from aigc_cli.backends.train.master_weights import MasterWeights
from aigc_cli.backends.train.text.tokenizer_files import save_tokenizer
from aigc_cli.backends.train.trainable import Trainable
from aigc_cli.core.engine import ModelSource


def write_result(
    folder: Path, trainable: Trainable, masters: MasterWeights, tokenizer: Any, source: ModelSource, *, mode: str, dtype: str
) -> None:
    """An adapter as peft stores it, in float32; or the whole model, in the dtype that its base is stored in.

    mode: "chat" or "raw", how its prompts are to be written from now on; aigc.json says so.
    Raises: OSError, as from a full disk.
    """
    if trainable.peft:
        config = trainable.peft.peft_config["default"]
        config.base_model_name_or_path = base_name(source)
        config.target_modules = sorted(config.target_modules)  # peft keeps a set, whose order changes from start to start
        trainable.peft.save_pretrained(folder, save_embedding_layers=False)  # they are never trained; to find out, peft asks the Hub
        (folder / "README.md").unlink(missing_ok=True)  # peft's card, which says nothing
    else:
        write_model(folder, trainable.model, masters, getattr(torch, dtype))
    save_tokenizer(tokenizer, folder)
    (folder / "aigc.json").write_text(json.dumps({"mode": mode, "base": source.name, "revision": source.revision}), "utf-8")


def base_name(source: ModelSource) -> str:
    """As another program will look for it: a Hub id stays what it is, a folder gets its whole path."""
    if source.repo:
        return source.repo
    return source.name if source.path is None or source.name.startswith("builtin:") else str(source.path.absolute())


def write_model(folder: Path, model: Any, masters: MasterWeights, dtype: torch.dtype) -> None:
    stored = model.state_dict(keep_vars=True)
    first_names = {id(weight): name for name, weight in reversed(stored.items())}  # a tied head is its embedding: stored once
    weights = {
        name: masters.weights.get(name, weight).detach().to(dtype) for name, weight in stored.items() if first_names[id(weight)] == name
    }
    shown = model.config.dtype
    try:
        model.save_pretrained(folder, state_dict=weights)
        model.config.dtype = dtype  # save_pretrained names the one that was computed in
        model.config.save_pretrained(folder)
    finally:
        model.config.dtype = shown
