"""In domain against out of domain: each metric on both sets, their average and their gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from knobo._resampling import percentile_interval
from knobo._validation import knobo_errors
from knobo.errors import InputError, InputTypeError, NotFittedError
from knobo.shift._checks import check_bootstrap, check_classes, encode_labels
from knobo.shift.metrics import SUMMARY, Cases
from knobo.shift.report import QUANTITIES, ShiftReport

Pair = tuple[Any, Any]
Seed = int | np.random.Generator | None


class SupportsPredictProba(Protocol):
    """A classifier; once fitted it also has ``classes_``."""

    def predict_proba(self, X: Any, /) -> Any:
        """Return class probabilities of shape (n_samples, n_classes)."""


def check_shift(
    clf: SupportsPredictProba,
    source: Pair,
    target: Pair | Mapping[str, Pair],
    *,
    groups: Pair | None = None,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    random_state: Seed = 0,
) -> ShiftReport:
    """Compare a classifier in its own domain and in another one.

    Parameters
    ----------
    clf : fitted classifier
        Anything with ``predict_proba`` and ``classes_``.
    source : (X, y)
        Cases of the training domain *that the classifier was not trained on*, and their labels.
    target : (X, y), or mapping of name to (X, y)
        Cases of another domain, such as another hospital, or of several.
    groups : (source groups, target groups), optional
        Patient of each case; the second is a mapping where ``target`` is one. Intervals are then over patients.
    n_bootstrap : int
        Number of resamples; 0 gives no intervals.
    confidence : float in (0, 1)
        Coverage that the intervals aim at.
    random_state : int, Generator or None

    Returns
    -------
    ShiftReport

    Raises
    ------
    InputError
        If a set is empty, lengths differ, a label was never seen in training, or ``predict_proba`` refuses the images
        or gives no probabilities.
    InputTypeError
        If ``clf`` gives no probabilities, or a set is no pair.
    NotFittedError
        If ``clf`` has not been fitted.

    See Also
    --------
    shift_table : The same from probabilities; it says how average and gap are defined.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn.linear_model import LogisticRegression
    >>> from knobo.shift import check_shift
    >>> X, y = make_blobs(300, centers=[[0, 0], [3, 0]], random_state=0)
    >>> clf = LogisticRegression().fit(X[:100], y[:100])
    >>> report = check_shift(clf, source=(X[100:200], y[100:200]), target=(X[200:] + [2, 0], y[200:]))
    >>> report.to_frame().loc["accuracy", ["id", "ood", "gap"]].round(2).tolist()
    [0.92, 0.61, 0.31]
    """
    if not hasattr(clf, "predict_proba"):
        raise InputTypeError(f"{type(clf).__name__} has no predict_proba; pass a classifier that gives probabilities.")
    if not hasattr(clf, "classes_"):
        raise NotFittedError(f"{type(clf).__name__} has no classes_; call fit before check_shift.")
    classes = check_classes(clf.classes_)
    scored_source = _predict(clf, source, classes, "source")
    scored_target = {name: _predict(clf, pair, classes, _where(name)) for name, pair in _targets(target).items()}
    return _compare(scored_source, scored_target, classes, groups, n_bootstrap, confidence, random_state)


def shift_table(
    source: tuple[ArrayLike, ArrayLike],
    target: tuple[ArrayLike, ArrayLike] | Mapping[str, tuple[ArrayLike, ArrayLike]],
    classes: Sequence[Any] | NDArray[Any],
    *,
    groups: Pair | None = None,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    random_state: Seed = 0,
) -> pd.DataFrame:
    """Compare probabilities in and out of domain.

    With the same metric on both sets, *average* = (ID + OOD) / 2 and *gap* = ID − OOD. The gap keeps its sign: it is
    positive where the classifier does worse out of domain. (The paper reports the mean of |ID − OOD| over data sets.)
    Intervals are percentiles over independent resamples of the two sets, each drawn as :func:`evaluate` draws them.

    Balanced accuracy and, with more than two classes, AUROC are means over the classes that both sets hold, so that
    a class which the target lacks does not look like a gap.

    Parameters
    ----------
    source : (y, proba)
        Labels of shape (n,) and probabilities of shape (n, n_classes), in domain.
    target : (y, proba), or mapping of name to (y, proba)
        The same, out of domain.
    classes : sequence of length n_classes
        Label of each column of the probabilities.
    groups, n_bootstrap, confidence, random_state
        As in :func:`check_shift`.

    Returns
    -------
    DataFrame
        Rows are the metrics ``accuracy``, ``balanced_accuracy`` and ``auroc``; with more than one target they are
        (domain, metric). Columns are ``id``, ``ood``, ``average`` and ``gap``, each followed by its ``_low`` and
        ``_high``. NaN where a set does not define a metric, such as AUROC in a target of one class.

    Raises
    ------
    InputError, InputTypeError
        As :func:`check_shift`.

    References
    ----------
    Yang et al., *A Textbook Remedy for Domain Shifts*, NeurIPS 2024, arXiv:2405.14839 (ID, OOD, Δ and their average).
    """
    names = check_classes(classes)
    report = _compare(source, _targets(target), names, groups, n_bootstrap, confidence, random_state)
    return report.to_frame()


def _compare(
    source: Pair,
    targets: Mapping[str, Pair],
    classes: NDArray[Any],
    groups: Pair | None,
    n_bootstrap: int,
    confidence: float,
    random_state: Seed,
) -> ShiftReport:
    """Check all sets of (y, proba), resample each, and put the tables of all targets under each other."""
    check_bootstrap(n_bootstrap, confidence)
    source_groups, target_groups = _split_groups(groups, targets)
    in_domain = _cases(source, classes, source_groups, "source")
    seeds = np.random.default_rng(random_state).integers(2**32, size=1 + len(targets)).tolist()
    tables, counts = {}, {"source": np.bincount(in_domain.codes, minlength=len(classes))}
    for seed, (name, pair) in zip(seeds[1:], targets.items(), strict=True):
        out_of_domain = _cases(pair, classes, target_groups.get(name), _where(name))
        counts[name] = np.bincount(out_of_domain.codes, minlength=len(classes))
        tables[name] = _compare_two(in_domain, out_of_domain, n_bootstrap, confidence, (seeds[0], seed))
    return ShiftReport(
        table=pd.concat(tables, names=["domain"]),
        counts=pd.DataFrame.from_dict(counts, orient="index", columns=list(classes)),
        confidence=confidence,
        n_bootstrap=n_bootstrap,
    )


def _compare_two(
    source: Cases, target: Cases, n_bootstrap: int, confidence: float, seeds: tuple[int, int]
) -> pd.DataFrame:
    """Table of one target: metrics × (id, ood, average, gap) with the ends of their intervals."""
    shared = np.intersect1d(source.codes, target.codes)
    sets = [replace(cases, averaged=shared) for cases in (source, target)]
    first = len(SUMMARY)  # the other metrics of Cases are of single classes
    values = _quantities(*(cases.estimate()[:first] for cases in sets))
    draws = _quantities(
        *(cases.bootstrap(n_bootstrap, seed)[:, :first] for cases, seed in zip(sets, seeds, strict=True))
    )
    columns = {}
    for name, value, drawn in zip(QUANTITIES, values, draws, strict=True):
        columns[name] = value
        columns[f"{name}_low"], columns[f"{name}_high"] = percentile_interval(drawn, confidence)
    return pd.DataFrame(columns, index=pd.Index(SUMMARY, name="metric"))


def _quantities(id_: NDArray[np.float64], ood: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    return id_, ood, (id_ + ood) / 2, id_ - ood


def _targets(target: Pair | Mapping[str, Pair]) -> dict[str, Pair]:
    """Name each target; a single one is called ``target``."""
    if not isinstance(target, Mapping):
        return {"target": target}
    if not target:
        raise InputError("target is an empty mapping; pass at least one domain, as {name: (X, y)}.")
    if "source" in target:
        raise InputError("A target is called 'source', which is the name of the training domain; rename it.")
    return dict(target)


def _where(name: str) -> str:
    return name if name == "target" else f"target {name!r}"


def _split_groups(groups: Pair | None, targets: Mapping[str, Pair]) -> tuple[Any, Mapping[str, Any]]:
    """Groups of the source, and those of each target by name."""
    if groups is None:
        return None, {}
    source_groups, target_groups = _unpack(groups, "groups", "(source groups, target groups)")
    if target_groups is None or isinstance(target_groups, Mapping):
        return source_groups, target_groups or {}
    if len(targets) > 1:
        raise InputTypeError("There are several targets; pass groups as (source groups, {name: target groups}).")
    return source_groups, {next(iter(targets)): target_groups}


def _cases(pair: Pair, classes: NDArray[Any], groups: ArrayLike | None, where: str) -> Cases:
    y, proba = _unpack(pair, where, "(y, proba)")
    return Cases.check(y, proba, classes, groups=groups, name=where)


def _predict(clf: SupportsPredictProba, pair: Pair, classes: NDArray[Any], where: str) -> Pair:
    """Labels and probabilities of one set; labels are checked first, as predicting may take long."""
    X, y = _unpack(pair, where, "(X, y)")
    n_labels = len(encode_labels(y, classes, where))
    n_images = X.shape[0] if hasattr(X, "shape") else len(X)
    if n_images != n_labels:
        raise InputError(f"{where}: there are {n_images} images but {n_labels} labels; pass one label an image.")
    with knobo_errors():
        return y, clf.predict_proba(X)


def _unpack(pair: Any, where: str, form: str) -> Pair:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise InputTypeError(f"{where} is {type(pair).__name__}; pass a pair {form}.")
    return pair[0], pair[1]
