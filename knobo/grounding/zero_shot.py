"""ZeroShotScorer: concept activations from a vision-language model's own words, without any annotated image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import validate_data

from knobo._validation import knobo_errors
from knobo.bank import ConceptBank, load_bank
from knobo.encoders import TextEncoder, load_encoder
from knobo.errors import InputError, InputTypeError
from knobo.grounding.calibration import CALIBRATIONS, Calibration, calibrate
from knobo.grounding.certificate import certify
from knobo.grounding.linear_scorer import LinearScorer, check_answers
from knobo.grounding.prompting import Pair, text_directions

DEFAULT_LOGIT_SCALE = 100.0  # at which CLIP's training caps it (Radford et al. 2021, section 2.5)


class ZeroShotScorer(LinearScorer):
    """Read concepts off image embeddings by comparing them with texts.

    The log-odds of a concept are ``logit_scale · (cos(image, positive text) − cos(image, negative text))``, with
    several prompts on each side. Models of this kind rank images, but their scores are off by an unknown constant and
    scale: uncalibrated activations crowd around some value that is not 0.5. ``fit`` calibrates them on images.

    Parameters
    ----------
    bank : ConceptBank, str or Path
        The concepts.
    encoder : TextEncoder or str
        The encoder that the embeddings come from, or its name; it needs a text side.
    pairs : sequence of (positive, negative), optional
        Prompt templates with ``{finding}``. Default: :func:`knobo.grounding.default_pairs`. A concept's own
        ``prompts`` are added to its positive texts.
    logit_scale : float, optional
        The model's temperature, inverted. Default: the encoder's ``logit_scale`` if it has one, else 100.
    calibration : {"mixture", "offset", "platt", "none"}
        How 0.5 gets its meaning, see :func:`knobo.grounding.calibrate`. All but "none" look at the images that
        ``fit`` is given; "platt" also at the answers.
    prevalence : float, or dict from concept id to float, optional
        Share of images with the finding, among images like those that ``fit`` is given.
    min_count : int
        Answers of each kind that a concept needs for "platt".

    Attributes
    ----------
    concepts_ : ndarray of shape (m,), object
        Ids of the concepts, in the order of the bank.
    coef_ : ndarray of shape (m, d)
    intercept_ : ndarray of shape (m,)
    calibration_ : DataFrame, one row a concept
        ``how`` it was calibrated, with ``slope`` and ``offset``.
    certificate_, quality_ : DataFrame, one row a concept
        As from :func:`knobo.grounding.certify` on the answers that ``fit`` was given. Without answers every concept
        abstains: nothing shows that it is seen. With "platt", calibration measures on the same answers flatter.
    n_features_in_ : int
        Size d of the embedding.

    Notes
    -----
    Embeddings must have unit length, as those of knobo's encoders do.
    """

    def __init__(
        self,
        bank: ConceptBank | str | Path,
        encoder: TextEncoder | str,
        *,
        pairs: Sequence[Pair] | None = None,
        logit_scale: float | None = None,
        calibration: Calibration = "mixture",
        prevalence: float | dict[str, float] | None = None,
        min_count: int = 5,
    ) -> None:
        self.bank = bank
        self.encoder = encoder
        self.pairs = pairs
        self.logit_scale = logit_scale
        self.calibration = calibration
        self.prevalence = prevalence
        self.min_count = min_count

    def fit(self, X: ArrayLike, y: pd.DataFrame | None = None) -> ZeroShotScorer:
        """Encode the texts and calibrate.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Embeddings of images like those to be scored; they need no labels.
        y : DataFrame of shape (n, any), optional
            A few answers, 1, 0 or NaN, one column a concept id. Other columns are ignored.

        Returns
        -------
        self

        Raises
        ------
        InputTypeError
            If the encoder has no text side.
        InputError
            If sizes differ, or an option or answer is unusable.
        """
        with knobo_errors():
            X = np.asarray(validate_data(self, X, dtype=[np.float64, np.float32]))
        if self.calibration not in CALIBRATIONS:
            raise InputError(f"Unknown calibration {self.calibration!r}; use one of {', '.join(CALIBRATIONS)}.")
        if self.calibration == "platt" and y is None:
            raise InputError("calibration='platt' learns from answers: pass y, or use 'offset' or 'mixture'.")
        bank = self.bank if isinstance(self.bank, ConceptBank) else load_bank(self.bank)
        labels = self._labels(y, bank, len(X))
        encoder = self._text_encoder()
        directions = text_directions(list(bank), encoder, self.pairs)
        if directions.shape[1] != X.shape[1]:
            raise InputError(
                f"X has {X.shape[1]} columns but the texts {directions.shape[1]}; pass embeddings of the same encoder."
            )
        coef = self._scale(encoder) * directions
        scores = X @ coef.T
        lines = [
            calibrate(
                scores[:, j],
                self.calibration,
                prevalence=self._prevalence_of(concept.id),
                labels=labels[:, j],
                min_count=self.min_count,
            )
            for j, concept in enumerate(bank)
        ]
        self.calibration_ = pd.DataFrame(
            [{"how": line.how, "slope": line.slope, "offset": line.offset} for line in lines],
            index=pd.Index(bank.ids, name="concept"),
        )
        self.concepts_ = np.asarray(bank.ids, dtype=object)
        self.coef_ = coef * self.calibration_["slope"].to_numpy()[:, None]
        self.intercept_ = self.calibration_["offset"].to_numpy(dtype=np.float64)
        quality = certify(labels, self.transform(X), bank.ids)
        self.quality_ = quality.assign(kept=True, reason="")
        return self

    def _labels(self, y: pd.DataFrame | None, bank: ConceptBank, n: int) -> NDArray[np.float64]:
        if y is None:
            return np.full((n, len(bank)), np.nan)
        if not isinstance(y, pd.DataFrame):
            raise InputTypeError("y must be a DataFrame whose columns are concept ids.")
        return check_answers(y.reindex(columns=list(bank.ids)), n)[0]

    def _text_encoder(self) -> TextEncoder:
        encoder: Any = load_encoder(self.encoder) if isinstance(self.encoder, str) else self.encoder
        if not isinstance(encoder, TextEncoder):
            raise InputTypeError(
                f"{getattr(encoder, 'spec', type(encoder).__name__)} has no text side (encode_texts); zero-shot "
                "scoring needs a vision-language model, such as 'hf-hub:ORG/NAME'. With answers use ConceptScorer."
            )
        return encoder

    def _scale(self, encoder: TextEncoder) -> float:
        scale = getattr(encoder, "logit_scale", None) if self.logit_scale is None else self.logit_scale
        scale = DEFAULT_LOGIT_SCALE if scale is None else float(scale)
        if not scale > 0:
            raise InputError(f"logit_scale must be positive, got {scale}.")
        return scale

    def _prevalence_of(self, concept: str) -> float | None:
        return self.prevalence.get(concept) if isinstance(self.prevalence, dict) else self.prevalence
