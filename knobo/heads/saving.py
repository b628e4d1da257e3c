"""Heads to a folder and back: ``head.json`` and ``arrays.safetensors``. Loading runs no code from the folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from knobo._validation import check_fitted
from knobo.errors import FormatError, InputTypeError
from knobo.heads.hybrid import HybridHead
from knobo.heads.linear import ConceptHead
from knobo.heads.multilabel import MultiLabelConceptHead
from knobo.heads.path import ConceptHeadCV
from knobo.storage import atomic_path, read_arrays, read_json, write_arrays, write_json

Head = ConceptHead | MultiLabelConceptHead | HybridHead

_FORMAT, _VERSION = "knobo-head", 1
_KINDS: dict[str, type[Head]] = {kind.__name__: kind for kind in (ConceptHead, MultiLabelConceptHead, HybridHead)}
_WEIGHTS = ("coef_", "intercept_")
_RESIDUAL = ("residual_coef_", "embedding_mean_")
_TABLES = ("prior_signs", "prior_confidence", "alpha")  # parameters that may be arrays of numbers


def save_head(head: Head | ConceptHeadCV, path: str | Path) -> Path:
    """Write a fitted head to a folder; an older one there is replaced as a whole.

    Parameters
    ----------
    head : ConceptHead, ConceptHeadCV, MultiLabelConceptHead or HybridHead
        Fitted. Of a ``ConceptHeadCV`` the chosen head is kept (:meth:`ConceptHeadCV.to_head`), not the search.
    path : str or Path
        The folder.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileError
        If the folder cannot be written.
    InputTypeError
        If it is another kind of estimator.
    NotFittedError
        If it is not fitted.
    """
    arrays: dict[str, NDArray[Any]] = {}
    document = _describe(head, arrays, "")
    with atomic_path(path) as folder:
        folder.mkdir()
        write_json(folder / "head.json", {"format": _FORMAT, "format_version": _VERSION, **document})
        write_arrays(folder / "arrays.safetensors", arrays)
    return Path(path)


def load_head(path: str | Path) -> Head:
    """Read a head that :func:`save_head` wrote. Its certificate is not kept.

    Raises
    ------
    FileError
        If a file is missing.
    FormatError
        If the head has another version or a broken field.
    """
    folder = Path(path)
    document = read_json(folder / "head.json", what=_FORMAT, versions=(_VERSION,))
    arrays = read_arrays(folder / "arrays.safetensors")
    try:
        return _rebuild(document, arrays, "")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(
            f"{folder / 'head.json'} does not describe a head: {type(error).__name__} at {error}. "
            "Was the folder copied whole? Else fit and save again."
        ) from error


def _describe(head: Head | ConceptHeadCV, arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, Any]:
    """What JSON can hold of a head; its arrays go to ``arrays``."""
    if isinstance(head, ConceptHeadCV):
        head = head.to_head()
    kind = type(head).__name__
    if _KINDS.get(kind) is not type(head):
        raise InputTypeError(f"save_head keeps {', '.join(_KINDS)} and ConceptHeadCV, got {head!r}.")
    hybrid = isinstance(head, HybridHead)
    check_fitted(head, "residual_coef_" if hybrid else "coef_")
    params = head.get_params(deep=False)
    for name in _TABLES:
        value = params.get(name)
        if value is not None and np.ndim(value) > 0:
            arrays[f"{prefix}param.{name}"] = np.asarray(params.pop(name), dtype=np.float64)
    if params.get("concept_groups") is not None:
        params["concept_groups"] = np.asarray(params["concept_groups"]).tolist()
    if isinstance(params.get("class_weight"), Mapping):
        pairs = [[_plain(label), float(weight)] for label, weight in params["class_weight"].items()]
        params["class_weight"] = {"pairs": pairs}
    document = {
        "kind": kind,
        "params": {name: _plain(value) for name, value in params.items() if name != "head"},
        "classes": head.classes_.tolist(),
        "n_features": int(head.n_features_in_),
        "feature_names": getattr(head, "feature_names_in_", np.empty(0)).tolist() or None,
    }
    for name in _RESIDUAL if hybrid else _WEIGHTS:
        arrays[f"{prefix}{name}"] = np.asarray(getattr(head, name))
    if isinstance(head, MultiLabelConceptHead):
        document["multilabel"] = bool(head.multilabel_)
    if isinstance(head, HybridHead):
        document["head"] = _describe(head.head_, arrays, f"{prefix}head.")
        document["residual_share"] = {str(name): float(value) for name, value in head.residual_share_.items()}
    return document


def _rebuild(document: dict[str, Any], arrays: Mapping[str, NDArray[Any]], prefix: str) -> Head:
    params = dict(document["params"])
    for name in _TABLES:
        if f"{prefix}param.{name}" in arrays:
            params[name] = arrays[f"{prefix}param.{name}"]
    if isinstance(params.get("class_weight"), dict):
        params["class_weight"] = dict(params["class_weight"]["pairs"])
    head = _KINDS[document["kind"]](**params)
    head.classes_ = np.asarray(document["classes"])
    head.n_features_in_ = int(document["n_features"])
    if document["feature_names"] is not None:
        head.feature_names_in_ = np.asarray(document["feature_names"], dtype=object)
    for name in _RESIDUAL if isinstance(head, HybridHead) else _WEIGHTS:
        setattr(head, name, arrays[f"{prefix}{name}"])
    if isinstance(head, MultiLabelConceptHead):
        head.multilabel_ = bool(document["multilabel"])
    if isinstance(head, HybridHead):
        inner = _rebuild(document["head"], arrays, f"{prefix}head.")
        head.head_, head.head = inner, clone(inner)
        head.residual_share_ = pd.Series(document["residual_share"])
    elif head.coef_.shape[1] != head.n_features_in_:
        raise ValueError(f"coef_ of shape {head.coef_.shape} for {head.n_features_in_} concepts")
    return head


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
