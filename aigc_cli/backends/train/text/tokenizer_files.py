"""A tokenizer's files, as readers of today and of yesterday know them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

OF_LOADING = ("backend", "is_local", "local_files_only")  # how it was read, which transformers 5 writes down along with the rest


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """As transformers saves it; where it writes the names that came with version 5, those that both versions read.

    vLLM, TGI and whatever else still stands on transformers 4 know no TokenizersBackend, and fail at a list of
    extra_special_tokens.
    Raises: OSError.
    """
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text("utf-8"))
    if config.get("tokenizer_class") != "TokenizersBackend":
        return
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    for name in OF_LOADING:
        config.pop(name, None)
    if isinstance(extra := config.get("extra_special_tokens"), list):
        del config["extra_special_tokens"]
        config["additional_special_tokens"] = extra
    file.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")
