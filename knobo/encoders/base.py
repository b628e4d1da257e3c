"""What an encoder is, and the scikit-learn transformer around one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from knobo._validation import check_fitted
from knobo.errors import InputError, InputTypeError
from knobo.images import ImageSource

if TYPE_CHECKING:
    from knobo.encoders.store import EmbeddingStore


@runtime_checkable
class Encoder(Protocol):
    """Anything that turns images into vectors of unit length.

    Attributes
    ----------
    spec : str
        Name from which :func:`knobo.encoders.load_encoder` makes the same encoder again.
    """

    spec: str

    def encode_images(self, images: Sequence[ImageSource], *, progress: bool = False) -> NDArray[np.float32]:
        """Return an array of shape (n, d), float32, unit rows, in the order of ``images``."""
        ...


@runtime_checkable
class TextEncoder(Encoder, Protocol):
    """An encoder that puts texts into the same space as images."""

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return an array of shape (n, d), float32, unit rows, in the order of ``texts``."""
        ...


class ImageEncoder(TransformerMixin, BaseEstimator):
    """scikit-learn transformer from images to embeddings.

    Parameters
    ----------
    encoder : Encoder or str
        An encoder, or what :func:`knobo.encoders.load_encoder` takes.
    store : EmbeddingStore or path, optional
        Where embeddings are kept and looked up, as in :func:`knobo.encoders.embed`.
    batch_size, workers : int, optional
        Images that go through the model at once, and threads that read them; by default the encoder's own number, and
        one a core.
    progress : bool
        Show a progress bar.

    Attributes
    ----------
    encoder_ : Encoder
        The encoder in use. ``fit`` learns nothing else.
    n_features_out_ : int
        Size d of an embedding.
    """

    def __init__(
        self,
        encoder: Encoder | str = "classical",
        *,
        store: EmbeddingStore | str | Path | None = None,
        batch_size: int | None = None,
        workers: int | None = None,
        progress: bool = False,
    ) -> None:
        self.encoder = encoder
        self.store = store
        self.batch_size = batch_size
        self.workers = workers
        self.progress = progress

    def fit(self, X: Sequence[ImageSource], y: Any = None) -> ImageEncoder:
        """Load the encoder if it is a name; encode the first image to learn the size of an embedding."""
        from knobo.encoders.load import load_encoder

        images = as_images(X)
        self.encoder_ = load_encoder(self.encoder) if isinstance(self.encoder, str) else self.encoder
        if not isinstance(self.encoder_, Encoder):
            raise InputTypeError(
                f"encoder must have spec and encode_images, got {type(self.encoder_).__name__}; pass a name such as "
                "'classical', or an Encoder."
            )
        self.n_features_out_ = self.encoder_.encode_images(images[:1]).shape[1]
        return self

    def transform(self, X: Sequence[ImageSource]) -> NDArray[np.float32]:
        """Encode images: paths, PIL images or arrays, n of them, to an array of shape (n, d), float32, unit rows."""
        check_fitted(self, "encoder_")
        from knobo.encoders.pipeline import embed

        return embed(
            self.encoder_,
            X,
            batch_size=self.batch_size,
            workers=self.workers,
            store=self.store,
            progress=self.progress,
        ).rows

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the d values: the encoder's own ``feature_names``, or ``embedding0``, ``embedding1``, …"""
        check_fitted(self, "encoder_")
        names = getattr(self.encoder_, "feature_names", None)
        return np.asarray(names or [f"embedding{k}" for k in range(self.n_features_out_)], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        return tags


def as_images(X: Any) -> Sequence[ImageSource]:
    """Check that ``X`` is a non-empty collection of images and return it as a sequence.

    Lists, arrays of shape (n, H, W) or (n, H, W, channels), Series and one-column frames of paths will do.

    Raises
    ------
    InputTypeError
        If it is one image, or no collection at all.
    InputError
        If it is empty.
    """
    single = f"Expected several images, got one {type(X).__name__}; put a single image in a list: [image]."
    if isinstance(X, str) or not hasattr(X, "__len__"):
        raise InputTypeError(single)
    if hasattr(X, "to_numpy"):
        X = X.to_numpy()
    if isinstance(X, np.ndarray):
        X = X.ravel() if X.dtype.kind in "OU" else X
        if X.dtype.kind not in "OU" and (X.ndim < 3 or (X.ndim == 3 and X.shape[2] in (3, 4))):
            raise InputTypeError(f"{single[:-1]} (its shape is {X.shape}).")
    images: list[ImageSource] = list(X)
    if not images:
        raise InputError("There are no images; pass at least one.")
    return images
