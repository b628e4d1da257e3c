"""Where in an image a fitted classifier sees its concepts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from knobo._validation import check_fitted
from knobo.bank import ConceptBank
from knobo.encoders import Encoder
from knobo.errors import InputError
from knobo.explain import ConceptMaps, concept_maps, keep_region
from knobo.explain._saliency_region import Outside
from knobo.explain.saliency import Method
from knobo.images import ImageSource


class Localises:
    """Mixin of the classifier."""

    bank_: ConceptBank
    scorer_: Any

    def concepts(self, X: Any) -> pd.DataFrame:
        """Activations of the concepts; the classifier's."""
        raise NotImplementedError

    def _loaded_encoder(self) -> Encoder:
        raise NotImplementedError

    def saliency(
        self,
        images: Sequence[ImageSource],
        concepts: Sequence[str] | None = None,
        *,
        method: Method = "auto",
        **options: Any,
    ) -> ConceptMaps:
        """Show where in images concepts are seen.

        Parameters
        ----------
        images : sequence of n paths, PIL images or arrays
        concepts : sequence of str, optional
            Ids of kept concepts; all of them by default.
        method : {"auto", "integrated", "gradcam", "occlusion", "rise"}
        **options
            As in :func:`knobo.explain.concept_maps`.

        Returns
        -------
        ConceptMaps

        Raises
        ------
        InputError
            If a concept is not among the kept ones, or as in :func:`knobo.explain.concept_maps`.
        """
        check_fitted(self, "head_")
        kept = list(self.bank_.ids)
        chosen = kept if concepts is None else [concepts] if isinstance(concepts, str) else list(concepts)
        unknown = [name for name in chosen if name not in kept]
        if unknown:
            raise InputError(f"The classifier has no concept {unknown[0]!r}; it has {', '.join(kept)}.")
        coef = self.scorer_.coef_[[kept.index(name) for name in chosen]]
        return concept_maps(self._loaded_encoder(), images, coef, chosen, method=method, **options)

    def region_concepts(
        self, images: Sequence[ImageSource], regions: Sequence[ArrayLike], *, outside: Outside = "mean"
    ) -> pd.DataFrame:
        """Concept activations of one region of each image, as if there were nothing else in it.

        Parameters
        ----------
        images : sequence of n paths, PIL images or arrays
        regions : sequence of n masks or boxes
            As in :func:`knobo.explain.keep_region`.
        outside : {"mean", "blur"}

        Returns
        -------
        DataFrame of shape (n, m)
            As from :meth:`concepts`.

        Raises
        ------
        InputError
            If there is not one region an image, or a region does not fit its image.
        """
        if len(images) != len(regions):
            raise InputError(f"There are {len(images)} images but {len(regions)} regions; pass one an image.")
        return self.concepts([keep_region(*pair, outside=outside) for pair in zip(images, regions, strict=True)])
