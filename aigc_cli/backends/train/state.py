"""What a checkpoint holds, written and read: weights, optimizer, random states, position."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from aigc_cli.backends.train import random_states
from aigc_cli.backends.train.master_weights import MasterWeights
from aigc_cli.backends.train.methods import Trainable
from aigc_cli.training.position import Position

WEIGHTS, OPTIMIZER, RANDOM, POSITION = "trained.safetensors", "optimizer.pt", "random.pt", "position.json"


def write_state(folder: Path, trainable: Trainable, masters: MasterWeights, optimizer: Any, scaler: Any | None, position: Position) -> None:
    """Raises: OSError, as from a full disk."""
    save_file({name: weight.detach().contiguous() for name, weight in masters.weights.items()}, folder / WEIGHTS)
    torch.save({"optimizer": optimizer.state_dict(), "scaler": scaler.state_dict() if scaler else None}, folder / OPTIMIZER)
    torch.save(random_states.capture(), folder / RANDOM)
    (folder / POSITION).write_text(json.dumps(position.to_json(), indent=2), "utf-8")
    if trainable.peft:  # so that a checkpoint, too, is an adapter that can be used
        trainable.peft.save_pretrained(folder)


def read_weights(folder: Path, masters: MasterWeights) -> None:
    """Raises: KeyError for a checkpoint of another model or method."""
    stored = load_file(folder / WEIGHTS)
    with torch.no_grad():
        for name, weight in masters.weights.items():
            weight.copy_(stored[name])
    masters.write_back()


def read_state(folder: Path, masters: MasterWeights, optimizer: Any, scaler: Any | None) -> Position:
    """Puts everything back where it was when `write_state` was called."""
    read_weights(folder, masters)
    states = torch.load(folder / OPTIMIZER, map_location="cpu", weights_only=True)
    optimizer.load_state_dict(states["optimizer"])
    if scaler and states["scaler"]:
        scaler.load_state_dict(states["scaler"])
    random_states.restore(torch.load(folder / RANDOM, weights_only=True))
    return Position(**json.loads((folder / POSITION).read_text("utf-8")))
