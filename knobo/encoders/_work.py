"""One call of ``embed``: threads that read and prepare images, a model that takes batches, a store beside both."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from knobo.encoders._stat import same_file
from knobo.encoders.base import Encoder
from knobo.encoders.decode import open_rgb
from knobo.encoders.staged import StagedEncoder
from knobo.encoders.store import EmbeddingStore, Shelf
from knobo.errors import FileError, InputError, InputTypeError, KnoboError, OutOfMemoryError
from knobo.images import ImageSource

OnError = Literal["raise", "skip"]
_HITS_AT_ONCE = 512
_NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")
_MOST_WORKERS = 16


@dataclass(frozen=True)
class Skipped:
    """An image that could not be encoded: its position, its name, and why."""

    index: int
    name: str
    reason: str


class Block(NamedTuple):
    """Rows that are ready: positions of shape (b,) among the images, and (b, d) float32 unit rows."""

    positions: NDArray[np.intp]
    rows: NDArray[np.float32]


class _Item(NamedTuple):
    """One image on its way: what the model takes of it, or that the store has it, or why it failed."""

    n: int
    key: bytes = b""
    prepared: Any = None
    stored: bool = False
    error: KnoboError | None = None


class Work:
    """One call of :func:`embed`."""

    def __init__(
        self,
        encoder: Encoder,
        images: Sequence[ImageSource],
        batch_size: int | None,
        workers: int | None,
        store: EmbeddingStore | str | Path | None,
        on_error: OnError,
        scaled: bool,
    ) -> None:
        self.images = images
        self.batch_size = _at_least_one(
            "batch_size", getattr(encoder, "batch_size", 32) if batch_size is None else batch_size
        )
        self.workers = _at_least_one("workers", min(_MOST_WORKERS, _cores()) if workers is None else workers)
        if on_error not in ("raise", "skip"):
            raise InputError(f"on_error must be 'raise' or 'skip', got {on_error!r}.")
        self.on_error = on_error
        self.prepare, self.encode = _steps(encoder, scaled=scaled, check=on_error == "skip")
        self.spec = encoder.spec
        self.skipped: list[Skipped] = []
        self.reused = 0
        self.shelf: Shelf | None = None
        if store is not None:
            store = store if isinstance(store, EmbeddingStore) else EmbeddingStore(store)
            self.shelf = store.shelf(encoder, scaled=scaled)

    def blocks(self) -> Generator[Block, None, None]:
        """Yield all rows; what was computed is in the store even if this ends early."""
        todo: Sequence[int] = range(len(self.images))
        try:
            while todo:  # once; again only for rows of a shard that turned out to be damaged
                lost: list[int] = []
                yield from self._pass(todo, lost)
                todo = lost
        finally:
            if self.shelf is not None:
                self.shelf.flush()

    def _pass(self, todo: Sequence[int], lost: list[int]) -> Iterator[Block]:
        batch: list[_Item] = []
        hits: list[_Item] = []
        running: deque[tuple[list[_Item], Any]] = deque()
        failure: KnoboError | None = None
        with closing(_ahead(self._prepare_one, todo, self.workers, 2 * self.batch_size)) as items:
            for item in items:
                if item.error is not None:
                    if self.on_error == "raise":
                        failure = item.error
                        break
                    self.skipped.append(Skipped(item.n, _name(self.images, item.n), str(item.error)))
                elif item.stored:
                    hits.append(item)
                else:
                    batch.append(item)
                if len(hits) == _HITS_AT_ONCE:
                    yield from self._look_up(hits, lost)
                    hits = []
                if len(batch) >= self.batch_size:
                    running.extend(self._launch(batch))
                    batch = []
                    while len(running) > 1:  # the device works on the last one while the one before is fetched
                        yield self._finish(*running.popleft())
        yield from self._look_up(hits, lost)
        if failure is None or self.shelf is not None:  # what is prepared is not thrown away, if it can be kept
            running.extend(self._launch(batch))
        while running:
            yield self._finish(*running.popleft())
        if failure is not None:
            raise failure

    def _prepare_one(self, n: int) -> _Item:
        """Read one image, in a thread. Its key and its pixels come from the same bytes, or it is an error."""
        source = self.images[n]
        key, state = b"", None
        try:
            if self.shelf is not None:
                key, state = self.shelf.store.key(source)
                if key in self.shelf:
                    return _Item(n, key, stored=True)
            prepared = self.prepare(source)
            if state is not None and not same_file(source, state):
                raise FileError(f"{source} was written to while it was read; try again when the copy is complete.")
            return _Item(n, key, prepared)
        except FileError as error:  # it names the file
            return _Item(n, error=error)
        except (InputError, InputTypeError) as error:
            return _Item(n, error=type(error)(f"images[{n}]: {error}"))
        except Exception as error:  # what a transform or a decoder meets in a strange image
            message = f"images[{n}]: {_name(self.images, n)} cannot be prepared for the model ({error or type(error)})."
            failure = InputError(message)
            failure.__cause__ = error
            return _Item(n, error=failure)

    def _launch(self, batch: list[_Item]) -> Iterator[tuple[list[_Item], Any]]:
        """Send a batch through the model, in smaller parts where memory runs out."""
        start = 0
        while start < len(batch):
            part = batch[start : start + self.batch_size]
            try:
                output = self.encode([item.prepared for item in part])
            except Exception as error:
                if not _is_out_of_memory(error):
                    raise
                if len(part) == 1:
                    raise OutOfMemoryError(
                        f"{self.spec} does not fit into memory with one image ({error}). Use a smaller model, lower "
                        "precision or device='cpu', or free memory that other programs hold."
                    ) from error
                self.batch_size = len(part) // 2
                warnings.warn(
                    f"Out of memory with {len(part)} images at once; going on with {self.batch_size}.",
                    RuntimeWarning,
                    stacklevel=2,
                )
                continue
            yield part, output
            start += len(part)

    def _finish(self, items: list[_Item], output: Any) -> Block:
        rows = output if isinstance(output, np.ndarray) else output.cpu().numpy()
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            name = _name(self.images, items[bad[0]].n)
            raise InputError(
                f"{self.spec} gave an embedding that is zero or not finite for {name}, and {len(bad) - 1} more of its "
                "batch. Are the weights complete? In reduced precision, try float32."
            )
        if self.shelf is not None:
            self.shelf.add([item.key for item in items], rows)
        return Block(np.array([item.n for item in items], np.intp), rows)

    def _look_up(self, hits: list[_Item], lost: list[int]) -> Iterator[Block]:
        if not hits or self.shelf is None:
            return
        rows, found = self.shelf.rows([item.key for item in hits])
        lost.extend(item.n for item, there in zip(hits, found, strict=True) if not there)
        self.reused += len(rows)
        if len(rows):
            yield Block(np.array([item.n for item in hits], np.intp)[found], rows)


def _steps(encoder: Encoder, *, scaled: bool, check: bool) -> tuple[Callable[[ImageSource], Any], Callable[..., Any]]:
    """What is done with one image in a thread, and with a list of such results in the model."""
    if isinstance(encoder, StagedEncoder):
        at_least = _image_size(encoder) if scaled else None
        return (lambda source: encoder.prepare(open_rgb(source, at_least=at_least)), encoder.encode_batch)
    if not isinstance(encoder, Encoder):
        raise InputTypeError(f"An encoder must have spec and encode_images, got {type(encoder).__name__}.")
    if scaled:
        raise InputError(f"{encoder.spec} reads images itself, so that scaled=True cannot be had; leave it out.")
    return (lambda source: (open_rgb(source) if check else None, source)[1], encoder.encode_images)


def _image_size(encoder: Encoder) -> tuple[int, int]:
    size: tuple[int, int] | None = getattr(encoder, "image_size", None)
    if size is None:
        raise InputError(f"{encoder.spec} has no image_size to scale to; leave scaled=True out.")
    return size


def _ahead(
    function: Callable[[int], _Item], todo: Sequence[int], workers: int, ahead: int
) -> Generator[_Item, None, None]:
    """Map in threads, in order, never more than ``ahead`` results beyond the one asked for."""
    window: deque[Future[_Item]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="knobo-read") as pool:
        try:
            for n in todo:
                window.append(pool.submit(function, n))
                if len(window) > ahead:
                    yield window.popleft().result()
            while window:
                yield window.popleft().result()
        finally:
            for future in window:
                future.cancel()


def _is_out_of_memory(error: Exception) -> bool:
    """Python's own, CUDA's, Apple's and the CPU allocator's; torch raises a plain RuntimeError for the last ones."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY)
    )


def _name(images: Sequence[ImageSource], n: int) -> str:
    source = images[n]
    return str(source) if isinstance(source, str | os.PathLike) else f"images[{n}]"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise InputError(f"{name} must be at least 1, got {value}.")
    return value
