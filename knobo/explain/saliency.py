"""Where in the image: a map for each concept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from tqdm.auto import tqdm

from knobo.errors import InputError, InputTypeError
from knobo.images import ImageSource, read_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Method = Literal["auto", "integrated", "gradcam", "occlusion", "rise"]
_LARGEST = 448  # side of the copy in which parts are covered: models see no more, and a copy a window costs memory


class _Encoder(Protocol):
    spec: str

    def encode_images(self, images: Sequence[ImageSource], *, progress: bool = False) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class ConceptMaps:
    """How much each part of an image speaks for each concept.

    Attributes
    ----------
    maps : tuple of n ndarray of shape (m, h, w), float32
        For each image, one map a concept, over the whole image as :func:`knobo.images.read_image` shows it: row
        ``r`` of ``h`` is at height ``(r + 0.5) / h`` of the image. Positive where the image speaks for the concept,
        negative where against it; only comparable within one map. 0 where the model does not look (a cut margin).
    concepts : tuple of m str
    method : str
        Which one made them; never ``"auto"``.
    """

    maps: tuple[NDArray[np.float32], ...]
    concepts: tuple[str, ...]
    method: str

    def __len__(self) -> int:
        return len(self.maps)

    def of(self, case: int, concept: str) -> NDArray[np.float32]:
        """The map of one image and concept, shape (h, w)."""
        return self.maps[self._case(case)][self._concept(concept)]

    def peak(self, case: int, concept: str) -> tuple[float, float] | None:
        """Place of the largest value, as shares of height and width (row, column); None if nothing speaks for it."""
        found = self.of(case, concept)
        row, column = np.unravel_index(int(found.argmax()), found.shape)
        if found[row, column] <= 0:
            return None
        return (float(row) + 0.5) / found.shape[0], (float(column) + 0.5) / found.shape[1]

    def plot(self, image: ImageSource, case: int, concept: str, *, ax: Axes | None = None) -> Axes:
        """Lay one map over its image, see :func:`knobo.explain.plot_concept_map`."""
        from knobo.explain.saliency_plots import plot_concept_map

        return plot_concept_map(image, self.of(case, concept), title=concept, ax=ax)

    def plot_grid(self, images: Sequence[ImageSource], *, figure: Figure | None = None) -> NDArray[np.object_]:
        """Lay all maps over their images, see :func:`knobo.explain.plot_concept_maps`."""
        from knobo.explain.saliency_plots import plot_concept_maps

        return plot_concept_maps(images, self, figure=figure)

    def _case(self, case: int) -> int:
        if not -len(self) <= case < len(self):
            raise InputError(f"There is no image at position {case}: there are {len(self)}, counted from 0.")
        return case

    def _concept(self, concept: str) -> int:
        if concept not in self.concepts:
            raise InputError(f"There is no map of {concept!r}; there are maps of {', '.join(self.concepts)}.")
        return self.concepts.index(concept)


def concept_maps(
    encoder: _Encoder,
    images: Sequence[ImageSource],
    coef: ArrayLike,
    concepts: Sequence[str],
    *,
    method: Method = "auto",
    layer: str | None = None,
    steps: int = 16,
    windows: Sequence[float] = (1 / 6, 1 / 3),
    n_masks: int = 400,
    batch_size: int = 32,
    max_size: int = 512,
    random_state: int = 0,
    progress: bool = False,
) -> ConceptMaps:
    """Show where in images concepts are seen.

    What is explained is the log-odds of a concept, ``coef @ embedding``, which supervised and zero-shot scorers share:
    pass rows of a scorer's ``coef_``.

    Parameters
    ----------
    encoder : Encoder
    images : sequence of n paths, PIL images or arrays
    coef : array-like of shape (m, d)
    concepts : sequence of m str
        Names of the rows.
    method : {"auto", "integrated", "gradcam", "occlusion", "rise"}
        - ``"integrated"``: integrated gradients of a fine layer, on the way from a blurred image to the image,
          smoothed by 4 % of the longer side (Sundararajan et al.). Needs an encoder that runs in torch.
        - ``"gradcam"``: Grad-CAM of the last layer with places (Selvaraju et al.); of a transformer, gradient x
          activation of the patch tokens before its last block, positive part.
        - ``"occlusion"``: how much the log-odds fall when a window is blurred (Zeiler and Fergus). For any encoder.
        - ``"rise"``: mean log-odds over random masks that show a place (Petsiuk et al.). For any encoder; the noisiest.
        - ``"auto"``: integrated gradients of a convolutional network, occlusion of all else.
    layer : str, optional
        Name of the module that maps by gradients are read from, instead of the one that is found.
    steps : int
        Steps of the path of integrated gradients, at least 2.
    windows : sequence of float in (0, 1]
        Sides of the windows of occlusion, in shares of the image's shorter side.
    n_masks : int
        Random masks of RISE.
    batch_size : int
        Images that go through the model at once; what memory grows with.
    max_size : int
        Longer side of a map; of a smaller image, a map has the size.
    random_state : int
        Seed of RISE.
    progress : bool
        Show a progress bar over images.

    Returns
    -------
    ConceptMaps

    Raises
    ------
    InputError
        If shapes do not fit, an option is out of range, or an image cannot be prepared so that a map fits onto it.
    InputTypeError
        If ``images`` is a single one.
    FileError
        If an image cannot be read.

    Notes
    -----
    A map shows what the model's answer rests on, not where the disease is. All arithmetic is in float32. Integrated
    gradients take one forward and backward pass a step and concept, Grad-CAM one a concept; occlusion and RISE take one
    forward pass a window or mask for all concepts together.

    References
    ----------
    Sundararajan et al., *Axiomatic attribution for deep networks*, ICML 2017, equation 3.
    Selvaraju et al., *Grad-CAM*, ICCV 2017, equations 1 and 2.
    Zeiler and Fergus, *Visualizing and understanding convolutional networks*, ECCV 2014, section 4.2.
    Petsiuk et al., *RISE*, BMVC 2018, equation 6.
    """
    W, names = _check_rows(coef, concepts)
    _check_images(images)
    _check_least(steps=(steps, 2), n_masks=(n_masks, 2), batch_size=(batch_size, 1), max_size=(max_size, 8))
    if not windows or not all(0 < share <= 1 for share in windows):
        raise InputError(f"windows must be shares of the image's side, above 0 and at most 1, got {tuple(windows)}.")
    chosen = _choose(encoder, method, images[0])
    maker: Callable[[NDArray[np.uint8], tuple[int, int]], NDArray[np.float32]]
    if chosen in ("integrated", "gradcam"):
        from knobo.explain._saliency_gradients import GradientMaps

        maker = GradientMaps(
            encoder,  # type: ignore[arg-type]  # _choose made sure
            W,
            gradcam=chosen == "gradcam",
            layer=layer,
            steps=steps,
            batch_size=batch_size,
        )
    else:
        maker = _covering(encoder, W, chosen, tuple(windows), n_masks, batch_size, random_state)
    if (width := encoder.encode_images(images[:1]).shape[1]) != W.shape[1]:
        raise InputError(f"coef has {W.shape[1]} columns, but an embedding of {encoder.spec} has {width} values.")
    maps = []
    for source in tqdm(images, desc="concept maps", unit="image", disable=not progress):
        image = read_image(source)
        maps.append(maker(image, _fit(image.shape[:2], max_size)).astype(np.float32))
    return ConceptMaps(tuple(maps), names, chosen)


def _covering(
    encoder: _Encoder,
    coef: NDArray[np.float64],
    method: str,
    windows: tuple[float, ...],
    n_masks: int,
    batch_size: int,
    random_state: int,
) -> Callable[[NDArray[np.uint8], tuple[int, int]], NDArray[np.float32]]:
    from knobo.explain._saliency_perturbation import occlusion_maps, rise_maps

    def score(images: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
        return np.asarray(encoder.encode_images(images) @ coef.T)

    def maps_of(image: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.float32]:
        small = np.asarray(Image.fromarray(image).resize(_fit(image.shape[:2], _LARGEST)[::-1]))
        if method == "occlusion":
            found = occlusion_maps(score, small, windows, batch_size)
        else:
            found = rise_maps(score, small, n_masks, batch_size, np.random.default_rng(random_state))
        resize = Image.Resampling.BILINEAR
        return np.stack([np.asarray(Image.fromarray(one).resize(shape[::-1], resize)) for one in found])

    return maps_of


def _choose(encoder: Any, method: str, image: ImageSource) -> str:
    if method not in get_args(Method):
        raise InputError(f"Unknown method {method!r}; use one of {', '.join(get_args(Method))}.")
    has_gradients = hasattr(encoder, "differentiable")
    if method in ("integrated", "gradcam") and not has_gradients:
        raise InputError(f"{encoder.spec} has no gradients; use method='occlusion' or 'rise'.")
    if method != "auto":
        return method
    from knobo.explain._saliency_gradients import is_convolutional

    return "integrated" if has_gradients and is_convolutional(encoder, read_image(image)) else "occlusion"


def _check_rows(coef: ArrayLike, concepts: Sequence[str]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    W = np.asarray(coef, dtype=np.float64)
    names = tuple(str(name) for name in concepts)
    if isinstance(concepts, str) or not names:
        raise InputError("concepts must be a list of at least one name.")
    if W.ndim != 2 or len(W) != len(names) or not np.isfinite(W).all():
        raise InputError(
            f"coef must hold finite numbers, one row a concept: {len(names)} concepts, but its shape is {W.shape}."
        )
    return W, names


def _check_images(images: Any) -> None:
    if isinstance(images, str) or not hasattr(images, "__len__"):
        raise InputTypeError(f"images must be a sequence, got one {type(images).__name__}; put it in a list.")
    if len(images) == 0:
        raise InputError("There are no images; pass at least one.")


def _check_least(**limits: tuple[int, int]) -> None:
    for name, (value, least) in limits.items():
        if value < least:
            raise InputError(f"{name} must be at least {least}, got {value}.")


def _fit(shape: tuple[int, ...], largest: int) -> tuple[int, int]:
    """Height and width, scaled down where the longer one is over ``largest``."""
    scale = min(1.0, largest / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))
