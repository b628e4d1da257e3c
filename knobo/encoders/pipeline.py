"""The one way from images to embeddings: decoding in threads beside the model, in bounded memory, with a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knobo.encoders._work import Block, OnError, Skipped, Work
from knobo.encoders.base import Encoder, as_images
from knobo.encoders.store import EmbeddingStore
from knobo.errors import InputError
from knobo.images import ImageSource


@dataclass(frozen=True)
class Embeddings:
    """What :func:`embed` returns.

    Attributes
    ----------
    rows : ndarray of shape (n_kept, d), float32
        Unit rows, in the order of the images.
    kept : ndarray of shape (n_kept,), intp
        Position of each row among the images; all of them unless some were skipped.
    skipped : tuple of Skipped
        In the order of the images.
    reused : int
        Rows that came from the store.
    batch_size : int
        Images that last went through the model at once: less than asked for where memory ran out.
    """

    rows: NDArray[np.float32]
    kept: NDArray[np.intp]
    skipped: tuple[Skipped, ...]
    reused: int
    batch_size: int


def embed(
    encoder: Encoder,
    images: Sequence[ImageSource],
    *,
    batch_size: int | None = None,
    workers: int | None = None,
    store: EmbeddingStore | str | Path | None = None,
    on_error: OnError = "raise",
    scaled: bool = False,
    progress: bool = False,
) -> Embeddings:
    """Encode images.

    Parameters
    ----------
    encoder : Encoder
        Best a :class:`StagedEncoder`; of any other one, ``encode_images`` is called with batches of arrays.
    images : sequence of path, PIL image or array
    batch_size : int, optional
        Images that go through the model at once; by default the encoder's own. Where memory runs out it is halved, with
        a warning, until a batch fits. Changes speed and memory, and the last digits of a row.
    workers : int, optional
        Threads that read and prepare images; by default one a core, at most 16.
    store : EmbeddingStore or path, optional
        Where rows are kept, and looked up before an image is decoded. Needs an encoder with a ``fingerprint``.
    on_error : {"raise", "skip"}
        Whether an image that cannot be read ends the work (with all rows before it in the store) or is left out.
    scaled : bool
        Decode JPEG files at a fraction of their size, no smaller than what the model sees. Faster; rows differ a
        little, and have a place of their own in the store.
    progress : bool
        Show a progress bar over images.

    Returns
    -------
    Embeddings

    Raises
    ------
    FileError, InputError, InputTypeError
        If an image cannot be read (unless skipped); the message names it. If all had to be skipped.
    OutOfMemoryError
        If not even one image fits.

    Notes
    -----
    Beyond the rows that it returns, memory does not grow with the number of images. :func:`embed_blocks` hands rows out
    as they come, for those who do not want to hold them all.
    """
    work = Work(encoder, as_images(images), batch_size, workers, store, on_error, scaled)
    rows: NDArray[np.float32] | None = None
    kept = np.zeros(len(work.images), dtype=bool)
    with closing(work.blocks()) as blocks, _bar(len(work.images), progress) as advance:
        for block in blocks:
            if rows is None:
                rows = np.empty((len(work.images), block.rows.shape[1]), np.float32)
            rows[block.positions] = block.rows
            kept[block.positions] = True
            advance(len(block.positions))
    if rows is None:
        first = work.skipped[0]
        raise InputError(f"None of the {len(work.images)} images could be read; the first: {first.reason}")
    skipped = tuple(sorted(work.skipped, key=lambda one: one.index))
    rows = rows if kept.all() else rows[kept]
    return Embeddings(rows, np.flatnonzero(kept), skipped, work.reused, work.batch_size)


def embed_blocks(
    encoder: Encoder,
    images: Sequence[ImageSource],
    *,
    batch_size: int | None = None,
    workers: int | None = None,
    store: EmbeddingStore | str | Path | None = None,
    scaled: bool = False,
) -> Iterator[Block]:
    """Encode images and yield rows as they come; parameters and errors as in :func:`embed`.

    Yields
    ------
    Block
        Each position comes once; rows from the store may overtake those that are computed.
    """
    return Work(encoder, as_images(images), batch_size, workers, store, "raise", scaled).blocks()


@contextmanager
def _bar(total: int, progress: bool) -> Iterator[Callable[[int], Any]]:
    if not progress:
        yield lambda n: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, desc="encoding images", unit="image") as bar:
        yield bar.update
