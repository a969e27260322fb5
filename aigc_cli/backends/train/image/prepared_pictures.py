"""Pictures as a run uses them: brought to their shapes, encoded on disk, and what there is to say about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aigc_cli.backends.train.image.buckets import Fit, fit, remarks, shapes
from aigc_cli.backends.train.image.family import Family
from aigc_cli.backends.train.image.mirroring import can_be_mirrored
from aigc_cli.backends.train.image.picture_store import PictureStore, Wanted, make_store
from aigc_cli.core.events import Caution, Event
from aigc_cli.core.finetune_image import ImageFinetuneRequest
from aigc_cli.core.sample import Split
from aigc_cli.picture_data.dataset import PictureDataset, PictureRow

ON_WHITE, ENLARGED, CUT = "laid on white", "enlarged", "cut off on both sides"


@dataclass(frozen=True)
class PictureStatistics:
    """buckets: width and height that training pictures are brought to, with how many, the fullest first.

    changes: how many pictures are changed on their way to the autoencoder, by what is done to them.
    cut_captions: different captions of which the text encoders do not see the end.
    mirrored: training pictures whose mirror images are learnt, too.
    """

    buckets: tuple[tuple[tuple[int, int], int], ...]
    changes: dict[str, int]
    cut_captions: int
    mirrored: int


@dataclass(frozen=True)
class PreparedPictures:
    """training, kept_back: numbers of the rows in the store."""

    store: PictureStore
    training: Sequence[int]
    kept_back: Sequence[int]
    statistics: PictureStatistics

    @property
    def rows(self) -> Sequence[PictureRow]:
        return self.store.wanted.rows

    @property
    def fits(self) -> Sequence[Fit]:
        return self.store.wanted.fits

    def close(self) -> None:
        self.store.close()


def prepare_pictures(
    dataset: PictureDataset, family: Family, request: ImageFinetuneRequest, resolution: int, folder: Path, device: str
) -> Generator[Event, None, PreparedPictures]:
    """Raises: as `make_store`."""
    rows, among = dataset.rows, shapes(resolution, family.multiple)
    fits = [fit(row.width, row.height, among) for row in rows]
    is_mirrored = [request.data.flip and row.split == "train" and can_be_mirrored(row.captions) for row in rows]
    training = numbers_of(rows, "train")
    yield from remarks(rows, fits)
    changed = changes(rows, fits, family.channels)
    yield from said_of_alpha(changed, len(rows))
    yield from said_of_mirrors(request, len(training), sum(is_mirrored))
    wanted = Wanted(rows, fits, is_mirrored, makes_embeddings=not request.tuning.train_text_encoder)
    cut = yield from cut_captions(wanted.captions, family)
    store = yield from make_store(wanted, family, folder, device)
    buckets = Counter(fits[row].shape for row in training).most_common()
    statistics = PictureStatistics(
        buckets=tuple((shape.size, count) for shape, count in buckets), changes=changed, cut_captions=cut, mirrored=sum(is_mirrored)
    )
    return PreparedPictures(store, training, numbers_of(rows, "validation"), statistics)


def numbers_of(rows: Sequence[PictureRow], split: Split) -> list[int]:
    return [number for number, row in enumerate(rows) if row.split == split]


def changes(rows: Sequence[PictureRow], fits: Sequence[Fit], channels: int) -> dict[str, int]:
    counts = {
        ON_WHITE: sum(row.has_alpha for row in rows) if channels == 3 else 0,
        ENLARGED: sum(each.scale > 1 for each in fits),
        CUT: sum(each.cut > 0.01 for each in fits),
    }
    return {name: count for name, count in counts.items() if count}


def said_of_alpha(changed: dict[str, int], rows: int) -> Iterator[Caution]:
    if count := changed.get(ON_WHITE):
        yield Caution(message=f"{count:,} of {rows:,} pictures are transparent, and laid on white: this model's autoencoder knows no alpha")


def said_of_mirrors(request: ImageFinetuneRequest, rows: int, mirrored: int) -> Iterator[Caution]:
    if request.data.flip and mirrored < rows:
        message = f"{rows - mirrored:,} of {rows:,} pictures are not mirrored: their captions name a side, or something to read"
        yield Caution(message=message)


def cut_captions(captions: Sequence[str], family: Family) -> Generator[Caution, None, int]:
    """How many lose their end, which is told, with the one that loses most."""
    lost = {caption: family.cut_tokens(caption) for caption in captions}
    cut = [caption for caption in captions if lost[caption]]
    if cut:
        worst = max(cut, key=lost.__getitem__)
        message = f"{len(cut):,} of {len(captions):,} captions are longer than the text encoders see: their ends are not learnt"
        yield Caution(message=message, hint=f"{worst[:60]!r}... loses most, {lost[worst]} tokens: put first what matters")
    return len(cut)
