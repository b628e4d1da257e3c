"""A fitted classifier as a folder: ``model.json``, ``bank.json``, ``arrays.safetensors``. No code is stored or run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from knobo.bank import ConceptBank
from knobo.encoders import Encoder
from knobo.errors import FormatError
from knobo.grounding import ConceptScorer, ZeroShotScorer
from knobo.grounding.linear_scorer import LinearScorer
from knobo.heads import ConceptHead, ConceptHeadCV
from knobo.storage import atomic_path, read_arrays, read_json, write_arrays, write_json

_FORMAT = "knobo.model"
_VERSION = 1
_ZERO_SHOT = "zero-shot"
_CHANGED = ("weight_bounds_", "temperature_", "prevalence_", "prevalence_shift_")  # of a head after its fit


@dataclass(frozen=True)
class Parts:
    """What a fitted classifier is made of.

    Attributes
    ----------
    bank : ConceptBank
        The m concepts in use.
    encoder : Encoder, str or Path
        Stored by its name only.
    classes : ndarray of shape (K,)
    scorer : LinearScorer
        Fitted, with a row of ``quality_`` for every concept that was tried.
    head : ConceptHead or ConceptHeadCV
        Fitted; comes back as a :class:`ConceptHead`.
    reference : ndarray of shape (m,)
    """

    bank: ConceptBank
    encoder: Encoder | str | Path
    classes: NDArray[Any]
    scorer: LinearScorer
    head: ConceptHead | ConceptHeadCV
    reference: NDArray[np.float64]


def write_parts(parts: Parts, path: str | Path) -> Path:
    """Write the folder atomically; an older one is replaced as a whole.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    with atomic_path(path) as folder:
        folder.mkdir()
        parts.bank.to_json(folder / "bank.json")
        write_json(folder / "model.json", {"format": _FORMAT, "format_version": _VERSION, **_state(parts)})
        write_arrays(
            folder / "arrays.safetensors",
            {
                "scorer.coef": parts.scorer.coef_,
                "scorer.intercept": parts.scorer.intercept_,
                "head.coef": parts.head.coef_,
                "head.intercept": parts.head.intercept_,
                "reference": parts.reference,
                **{
                    f"head.{name}": np.asarray(getattr(parts.head, name))
                    for name in _CHANGED
                    if hasattr(parts.head, name)
                },
            },
        )
    return Path(path)


def read_parts(path: str | Path, encoder: Encoder | str | None) -> Parts:
    """Read what :func:`write_parts` wrote; ``encoder`` takes the place of the stored name.

    Raises
    ------
    FileError
        If a file is missing.
    FormatError
        If the model has another version or a broken field.
    """
    folder = Path(path)
    state = read_json(folder / "model.json", what=_FORMAT, versions=(_VERSION,))
    arrays = read_arrays(folder / "arrays.safetensors")
    bank = ConceptBank.from_json(folder / "bank.json")
    try:
        return _rebuild(state, arrays, bank, encoder)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"{folder / 'model.json'} does not describe a model: {type(error).__name__} at {error}. "
            "Was the folder copied whole? Else fit and save again."
        ) from error


def _state(parts: Parts) -> dict[str, Any]:
    quality = parts.scorer.quality_
    quality = quality.astype(object).where(quality.notna(), None)
    zero_shot = isinstance(parts.scorer, ZeroShotScorer)
    scorer = _plain_params(parts.scorer, like=ZeroShotScorer if zero_shot else ConceptScorer)
    return {
        "encoder": str(parts.encoder) if isinstance(parts.encoder, str | Path) else parts.encoder.spec,
        "classes": parts.classes.tolist(),
        "head": {"alpha": getattr(parts.head, "alpha_", None), **_plain_params(parts.head, like=ConceptHead)},
        "grounding": _ZERO_SHOT if zero_shot else "answers",
        "scorer": {name: value for name, value in scorer.items() if name not in ("bank", "encoder")},
        "concept_quality": quality.reset_index().to_dict(orient="records"),
        "change_log": list(getattr(parts.head, "change_log_", [])),
    }


def _rebuild(
    state: dict[str, Any], arrays: dict[str, NDArray[Any]], bank: ConceptBank, encoder: Encoder | str | None
) -> Parts:
    n_concepts, d = arrays["scorer.coef"].shape
    if len(bank) != n_concepts:
        raise FormatError(f"bank.json has {len(bank)} concepts, but the weights are for {n_concepts}.")
    encoder = state["encoder"] if encoder is None else encoder
    classes = np.asarray(state["classes"])
    scorer: LinearScorer
    if state.get("grounding") == _ZERO_SHOT:
        scorer = ZeroShotScorer(bank, encoder, **state["scorer"])  # type: ignore[arg-type]
    else:
        scorer = ConceptScorer(**state["scorer"])
    scorer.coef_, scorer.intercept_ = arrays["scorer.coef"], arrays["scorer.intercept"]
    scorer.concepts_ = np.asarray(bank.ids, dtype=object)
    scorer.n_features_in_ = d
    scorer.quality_ = pd.DataFrame(state["concept_quality"]).set_index("concept")
    signs, confidence = bank.prior_matrix(classes)
    head = ConceptHead(**state["head"], prior_signs=signs, prior_confidence=confidence)
    head.coef_, head.intercept_, head.classes_ = arrays["head.coef"], arrays["head.intercept"], classes
    head.n_features_in_ = n_concepts
    head.change_log_ = list(state.get("change_log", []))
    for name in _CHANGED:
        if f"head.{name}" in arrays:
            value = arrays[f"head.{name}"]
            setattr(head, name, float(value) if value.ndim == 0 else value)
    return Parts(bank, encoder, classes, scorer, head, arrays["reference"])


def _plain_params(estimator: BaseEstimator, *, like: type[BaseEstimator]) -> dict[str, Any]:
    """The parameters of ``estimator`` that the class ``like`` has, too, and that JSON can hold."""
    known = like._get_param_names()
    return {name: value for name, value in estimator.get_params().items() if name in known and _is_plain(value)}


def _is_plain(value: Any) -> bool:
    """True for what JSON can hold: numbers, text, None, and maps or lists of them."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)
