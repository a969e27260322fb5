"""What a checkpoint holds, written and read: weights, optimizer, random states, position."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from aigc_cli.backends.train import random_states
from aigc_cli.backends.train.learner import Learner
from aigc_cli.training.position import Position

WEIGHTS, AVERAGE, OPTIMIZER, RANDOM, POSITION = "trained.safetensors", "average.safetensors", "optimizer.pt", "random.pt", "position.json"


def write_state(folder: Path, learner: Learner[Any], position: Position) -> None:
    """Raises: OSError, as from a full disk."""
    scaler = learner.accelerator.scaler
    save_file({name: weight.detach().contiguous() for name, weight in learner.masters.weights.items()}, folder / WEIGHTS)
    if learner.average:
        save_file({name: weight.contiguous() for name, weight in learner.average.weights.items()}, folder / AVERAGE)
    torch.save({"optimizer": learner.optimizer.state_dict(), "scaler": scaler.state_dict() if scaler else None}, folder / OPTIMIZER)
    torch.save(random_states.capture(learner.placement.device), folder / RANDOM)
    (folder / POSITION).write_text(json.dumps(position.to_json(), indent=2), "utf-8")
    if learner.trainable.peft:  # so that a checkpoint, too, is an adapter that can be used
        learner.trainable.peft.save_pretrained(folder, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # peft's card, which says nothing


def read_weights(folder: Path, learner: Learner[Any]) -> None:
    """Raises: KeyError for a checkpoint of another model or method."""
    learner.masters.hold(load_file(folder / WEIGHTS))
    if learner.average:
        learner.average.load(load_file(folder / AVERAGE))


def read_state(folder: Path, learner: Learner[Any]) -> Position:
    """Puts everything back where it was when `write_state` was called."""
    read_weights(folder, learner)
    states = torch.load(folder / OPTIMIZER, map_location="cpu", weights_only=True)
    learner.optimizer.load_state_dict(states["optimizer"])
    if learner.accelerator.scaler and states["scaler"]:
        learner.accelerator.scaler.load_state_dict(states["scaler"])
    random_states.restore(torch.load(folder / RANDOM, weights_only=True), learner.placement.device)
    return Position(**json.loads((folder / POSITION).read_text("utf-8")))
