"""Pictures and captions as the denoiser takes them, on disk, so that autoencoder and frozen text encoders run once.

<key>/                    of all that decides what is in it
    layout.json           what the other files hold
    latents-64x64.bin     pictures of one shape, float16, each followed by its mirror image where it may be mirrored
    captions-NAME.bin     a part of what the text encoders or the tokenizers make of each different caption, "" among them
    *.done                how much of it is safely there

Half precision rounds a latent by a two-thousandth, far less than the eight bits of the pixels do.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from torch import Tensor

from aigc_cli.atomic_file import replace_file
from aigc_cli.backends.torch_load import memory_errors
from aigc_cli.backends.train.image.buckets import Fit, Shape
from aigc_cli.backends.train.image.family import Conditioning, Family
from aigc_cli.backends.train.image.pixels import to_pixels
from aigc_cli.backends.train.image.tensor_file import TensorFile, fill
from aigc_cli.core.errors import AigcError, DiskFullError, OutOfMemoryError
from aigc_cli.core.events import Progress
from aigc_cli.core.units import format_size
from aigc_cli.picture_data.dataset import PictureRow
from aigc_cli.picture_data.opening import SHEETS, open_row
from aigc_cli.store.durable import met_full_disk

VERSION = 1
LAYOUT = "layout.json"
PIXELS_AT_ONCE = 2**20  # that the autoencoder encodes together
CAPTIONS_AT_ONCE = 16
DECODERS = 2  # threads that open pictures
LATENT_DTYPE = torch.float16
TO_RESUME = "make room, then run the command again with --resume: what is encoded is kept"


@dataclass(frozen=True)
class Wanted:
    """What a store is to hold. fits, mirrored: for each row how it is cut, and whether its mirror image is kept, too.

    makes_embeddings: captions as the text encoders make them; else as token ids.
    """

    rows: Sequence[PictureRow]
    fits: Sequence[Fit]
    mirrored: Sequence[bool]
    makes_embeddings: bool

    @property
    def key(self) -> str:
        digest = hashlib.sha256(f"{VERSION} {self.makes_embeddings}".encode())
        for row, fit, mirrored in zip(self.rows, self.fits, self.mirrored, strict=True):
            digest.update(f"\n{row.content} {fit.shape} {mirrored}".encode())
        return digest.hexdigest()[:16]

    @property
    def captions(self) -> list[str]:
        """Each once, in the order of the rows, after the one without words."""
        return list(dict.fromkeys(["", *(caption for row in self.rows for caption in row.captions)]))

    def entries(self) -> dict[Shape, list[tuple[int, bool]]]:
        """By shape, the rows' numbers, each with whether it is the mirror image."""
        found: dict[Shape, list[tuple[int, bool]]] = {}
        for number, (fit, mirrored) in enumerate(zip(self.fits, self.mirrored, strict=True)):
            found.setdefault(fit.shape, []).extend([(number, False), (number, True)] if mirrored else [(number, False)])
        return dict(sorted(found.items()))


class PictureStore:
    """What is learnt of each row. latents: by shape.  captions: by the parts' names."""

    def __init__(self, wanted: Wanted, latents: dict[Shape, TensorFile], captions: dict[str, TensorFile]) -> None:
        self.wanted = wanted
        self._latents, self._captions = latents, captions
        self._places = numpy.zeros(len(wanted.rows), numpy.int64)
        for entries in wanted.entries().values():
            for place, (number, is_mirror) in enumerate(entries):
                if not is_mirror:
                    self._places[number] = place
        self._numbers = {caption: number for number, caption in enumerate(wanted.captions)}

    def latents(self, number: int, *, is_mirrored: bool = False) -> Tensor:
        """(c, h, w) of a row, float32. Raises: ValueError for the mirror image of a picture that has none."""
        if is_mirrored and not self.wanted.mirrored[number]:
            raise ValueError(f"{self.wanted.rows[number].origin} was not mirrored")
        return self._latents[self.wanted.fits[number].shape].read(int(self._places[number]) + is_mirrored).float()

    def conditioning(self, caption: str) -> dict[str, Tensor]:
        """Of one caption, without a batch's dimension."""
        return {name: file.read(self._numbers[caption]) for name, file in self._captions.items()}

    def close(self) -> None:
        for file in (*self._latents.values(), *self._captions.values()):
            file.close()


def make_store(wanted: Wanted, family: Family, folder: Path, device: str) -> Generator[Progress, None, PictureStore]:
    """Encodes what is not there yet.

    Raises: AigcError for a disk that is too small, and for a picture whose latents are no numbers; DiskFullError for one that was
    filled on the way; UsageError for a picture that is not as it was checked; OutOfMemoryError.
    """
    place = folder / wanted.key
    place.mkdir(parents=True, exist_ok=True)
    entries, captions = wanted.entries(), wanted.captions
    try:
        latent_files, caption_files = open_layout(place, family, list(entries), makes_embeddings=wanted.makes_embeddings)
        refuse_small_disk(place, [(file, len(entries[shape])) for shape, file in latent_files.items()], caption_files, len(captions))
        with memory_errors(device, "try a smaller --resolution"), torch.no_grad():
            yield from encode_pictures(wanted, family, latent_files)
            SHEETS.close()
            condition = conditioner(family, makes_embeddings=wanted.makes_embeddings)
            for done in fill(list(caption_files.values()), captions, CAPTIONS_AT_ONCE, lambda group: list(condition(group).values())):
                yield Progress(phase="encoding captions", done=done, total=len(captions), unit="captions")
    except OSError as error:
        if met_full_disk(error, place):
            raise DiskFullError(f"no room is left in {place} for the encoded pictures", TO_RESUME) from error
        raise
    return PictureStore(wanted, latent_files, caption_files)


def conditioner(family: Family, *, makes_embeddings: bool) -> Callable[[Sequence[str]], Conditioning]:
    def condition(captions: Sequence[str]) -> Conditioning:
        tokens = family.tokens(captions)
        return family.embed(tokens) if makes_embeddings else tokens

    return condition


def open_layout(
    place: Path, family: Family, shapes: Sequence[Shape], *, makes_embeddings: bool
) -> tuple[dict[Shape, TensorFile], dict[str, TensorFile]]:
    """The files by what they hold, as an earlier start laid them out, or by what the model makes of a sample."""
    path = place / LAYOUT
    if not path.exists():
        channels, scale = latent_channels(family), family.scale
        sizes = [(channels, shape.height // scale, shape.width // scale) for shape in shapes]
        latent_files = [TensorFile(place / f"latents-{shape}.bin", size, LATENT_DTYPE) for shape, size in zip(shapes, sizes, strict=True)]
        parts = sample_conditioning(family, makes_embeddings=makes_embeddings)
        caption_files = [TensorFile(place / f"captions-{name}.bin", tuple(part.shape[1:]), part.dtype) for name, part in parts.items()]
        layout = {
            "latents": [file.to_json() for file in latent_files],
            "captions": dict(zip(parts, [file.to_json() for file in caption_files], strict=True)),
        }
        replace_file(path, json.dumps(layout).encode())
    found = json.loads(path.read_bytes())
    latents = {shape: TensorFile.from_json(place, value) for shape, value in zip(shapes, found["latents"], strict=True)}
    return latents, {name: TensorFile.from_json(place, value) for name, value in found["captions"].items()}


@torch.no_grad()
def latent_channels(family: Family) -> int:
    """Of the latents of the smallest picture that there is."""
    return family.encode_pixels(torch.zeros(1, family.channels, family.multiple, family.multiple)).shape[1]


@torch.no_grad()
def sample_conditioning(family: Family, *, makes_embeddings: bool) -> Conditioning:
    return conditioner(family, makes_embeddings=makes_embeddings)([""])


def refuse_small_disk(place: Path, latents: Sequence[tuple[TensorFile, int]], captions: dict[str, TensorFile], caption_count: int) -> None:
    """Raises: AigcError where what is still to be written has no room."""
    files = [*latents, *((file, caption_count) for file in captions.values())]
    needed = sum(file.item_bytes * max(0, count - file.count) for file, count in files)
    free = shutil.disk_usage(place).free
    if needed > free:
        pictures = sum(file.item_bytes * count for file, count in latents)
        message = f"the encoded pictures and captions need {format_size(needed)} more, and {format_size(free)} are free in {place}"
        hint = "make room, choose another -o, or a smaller --resolution" if pictures > needed / 2 else "make room, or choose another -o"
        raise AigcError(message, hint)


def encode_pictures(wanted: Wanted, family: Family, files: dict[Shape, TensorFile]) -> Iterator[Progress]:
    entries = wanted.entries()
    total, before = sum(map(len, entries.values())), 0
    with ThreadPoolExecutor(DECODERS) as pool:

        def encode(group: Sequence[tuple[int, bool]]) -> tuple[Tensor]:
            pixels = list(pool.map(lambda entry: pixels_of(wanted, entry, family.channels), group))
            return (checked(wanted, group, encoded(family, torch.stack(pixels))),)

        for shape, of_shape in entries.items():
            at_once = max(1, PIXELS_AT_ONCE // (shape.width * shape.height))
            for done in fill([files[shape]], of_shape, at_once, encode):
                yield Progress(phase="encoding pictures", done=before + done, total=total, unit="pictures")
            before += len(of_shape)


def encoded(family: Family, pixels: Tensor) -> Tensor:
    """One after the other where memory is too small for all."""
    try:
        with memory_errors(str(pixels.device)):
            return family.encode_pixels(pixels)
    except OutOfMemoryError:
        if len(pixels) == 1:
            raise
        return torch.cat([family.encode_pixels(one[None]) for one in pixels])


def pixels_of(wanted: Wanted, entry: tuple[int, bool], channels: int) -> Tensor:
    number, is_mirror = entry
    pixels = to_pixels(open_row(wanted.rows[number]), wanted.fits[number].shape, channels)
    return pixels.flip(-1) if is_mirror else pixels


def checked(wanted: Wanted, group: Sequence[tuple[int, bool]], latents: Tensor) -> Tensor:
    """In half precision. Raises: AigcError naming a picture that the autoencoder made no numbers of."""
    halved = latents.to(LATENT_DTYPE)
    is_bad = ~halved.isfinite().flatten(1).all(1)
    if is_bad.any():
        row = wanted.rows[group[int(is_bad.nonzero()[0])][0]]
        raise AigcError(
            f"the model's autoencoder makes no finite numbers of {row.origin}", "try --dtype float32; its weights may be damaged"
        )
    return halved
