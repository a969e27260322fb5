"""A run's record to begin with."""

from __future__ import annotations

import os
from typing import Any

from aigc_cli.core.finetune import DataChoice, FinetuneRequest
from aigc_cli.store.run_record import DataFile, RunRecord

REQUEST = FinetuneRequest(model="models/小模型", data=DataChoice(paths=("数据.jsonl",)))


def record(**fields: Any) -> RunRecord:
    standard: dict[str, Any] = {
        "aigc": "0.3.0",
        "created": "2026-11-22T22:00:00Z",
        "status": "running",
        "working_folder": os.getcwd(),
        "request": REQUEST,
        "files": (DataFile("数据.jsonl", "ab" * 32, "train"),),
        "fingerprint": "cd" * 32,
        "device": "cpu",
        "dtype": "float32",
        "versions": {"torch": "2.13.0", "peft": "0.21.0"},
    }
    return RunRecord(**(standard | fields))
