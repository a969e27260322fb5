"""What a language model learns: the next token, where a row says that it is to be learnt."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from aigc_cli.backends.train.objective import Unit
from aigc_cli.backends.train.text.collate import Padding, collate
from aigc_cli.backends.train.text.loss import SupervisedLoss
from aigc_cli.backends.train.text.token_store import Row

TO_SAVE_MEMORY = "try --gradient-checkpointing, a shorter --max-length, --method lora or a smaller model"
PackedRow = Sequence[Row]  # what stands in one sequence: one sample, or several when packed


class NextTokens:
    """Each trained token weighs the same. padding: of batches."""

    unit: Unit = "tokens"
    to_save_memory = TO_SAVE_MEMORY
    learning_rate_option = "--learning-rate"

    def __init__(self, module: SupervisedLoss, padding: Padding, device: str) -> None:
        self.module, self.padding, self.device = module, padding, device

    def weight(self, rows: Sequence[PackedRow]) -> float:
        return sum(int(row.trained[1:].sum()) for packed in rows for row in packed)

    def loss(self, rows: Sequence[PackedRow]) -> Tensor:
        batch = collate(rows, self.padding, self.device)
        loss: Tensor = self.module(batch.inputs, batch.labels)
        return loss

    def size(self, rows: Sequence[PackedRow]) -> int:
        return sum(len(row.ids) for packed in rows for row in packed)
