"""In domain against out of domain: each metric on both sets, their average and their gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from knobo.errors import InputError
from knobo.shift._checks import check_bootstrap, check_classes
from knobo.shift._inputs import (
    Pair,
    Seed,
    SupportsPredictProba,
    classes_of,
    name_targets,
    predict,
    split_groups,
    unpack,
    where,
)
from knobo.shift._table import compare_models_on, compare_two
from knobo.shift.metrics import SPECIFICITY, Cases
from knobo.shift.report import ShiftReport
from knobo.shift.subgroups import check_subgroups


def check_shift(
    clf: SupportsPredictProba,
    source: Pair,
    target: Pair | Mapping[str, Pair],
    *,
    groups: Pair | None = None,
    metadata: tuple[pd.DataFrame, Any] | None = None,
    positive: Any = None,
    specificity: float = SPECIFICITY,
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
    metadata : (source table, target table), optional
        DataFrames with one row a case; the second is a mapping where ``target`` is one. Each set is then also checked
        by subgroup, as :func:`check_subgroups` does, and the report has ``subgroups``.
    positive : label, optional
        For the subgroups: the class that counts as positive; by default the second of two.
    specificity : float in (0, 1)
        What ``sensitivity_at_specificity`` keeps, by a threshold of each set's own.
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
    classes = classes_of(clf)
    scored_source = predict(clf, source, classes, "source")
    scored_target = {name: predict(clf, pair, classes, where(name)) for name, pair in name_targets(target).items()}
    report = _compare(scored_source, scored_target, classes, groups, specificity, n_bootstrap, confidence, random_state)
    if metadata is None:
        return report
    home, away = unpack(metadata, "metadata", "(source table, target table)")
    tables = away if isinstance(away, Mapping) else {next(iter(scored_target)): away}
    source_groups, target_groups = split_groups(groups, scored_target)
    found = {}
    for name, (y, proba), table, patients in (
        ("source", scored_source, home, source_groups),
        *((name, scored_target[name], tables.get(name), target_groups.get(name)) for name in scored_target),
    ):
        if table is not None:
            found[name] = check_subgroups(
                y, proba, classes, table, positive=positive, groups=patients, n_bootstrap=min(n_bootstrap, 500),
                confidence=confidence, random_state=0,
            )  # fmt: skip
    return replace(report, subgroups=found)


def shift_table(
    source: tuple[ArrayLike, ArrayLike],
    target: tuple[ArrayLike, ArrayLike] | Mapping[str, tuple[ArrayLike, ArrayLike]],
    classes: Sequence[Any] | NDArray[Any],
    *,
    groups: Pair | None = None,
    specificity: float = SPECIFICITY,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    random_state: Seed = 0,
) -> pd.DataFrame:
    """Compare probabilities in and out of domain.

    With the same metric on both sets, *average* = (ID + OOD) / 2 and *gap* = ID − OOD. The gap keeps its sign: it is
    positive where the classifier does worse out of domain, save for log-loss and ECE, of which less is better. (The
    paper reports the mean of |ID − OOD| over data sets.) Intervals are percentiles over independent resamples of the
    two sets, each drawn as :func:`evaluate` draws them; those of the AUROC of two classes rest on DeLong's variance.

    Balanced accuracy and, with more than two classes, the ranking metrics are means over the classes that both sets
    hold, so that a class which the target lacks does not look like a gap. An ECE of few cases is too high on average
    (a bin's chance error counts as miscalibration), and its bootstrap more so: compare it between sets of like size.

    Parameters
    ----------
    source : (y, proba)
        Labels of shape (n,) and probabilities of shape (n, n_classes), in domain.
    target : (y, proba), or mapping of name to (y, proba)
        The same, out of domain.
    classes : sequence of length n_classes
        Label of each column of the probabilities.
    groups, specificity, n_bootstrap, confidence, random_state
        As in :func:`check_shift`.

    Returns
    -------
    DataFrame
        Rows are the metrics ``accuracy``, ``balanced_accuracy``, ``auroc``, ``average_precision``,
        ``sensitivity_at_specificity``, ``log_loss`` and ``ece``, as :func:`evaluate` defines them; with more than one
        target they are (domain, metric). Columns are ``id``, ``ood``, ``average`` and ``gap``, each followed by its
        ``_low`` and ``_high``. NaN where a set does not define a metric, such as AUROC in a target of one class.

    Raises
    ------
    InputError, InputTypeError
        As :func:`check_shift`.

    References
    ----------
    Yang et al., *A Textbook Remedy for Domain Shifts*, NeurIPS 2024, arXiv:2405.14839 (ID, OOD, Δ and their average).
    """
    names = check_classes(classes)
    report = _compare(source, name_targets(target), names, groups, specificity, n_bootstrap, confidence, random_state)
    return report.to_frame()


def compare_models(
    first: SupportsPredictProba,
    second: SupportsPredictProba,
    source: Pair,
    target: Pair | Mapping[str, Pair],
    *,
    groups: Pair | None = None,
    specificity: float = SPECIFICITY,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    random_state: Seed = 0,
) -> pd.DataFrame:
    """Difference of two classifiers, first − second, in domain, out of domain, in their average and in their gap.

    Both see the same cases, and each resample draws the same cases for both, so the intervals are those of a paired
    comparison: far narrower than two separate ones suggest. The AUROC of two classes has DeLong's interval for
    correlated curves.

    Parameters
    ----------
    first, second : fitted classifiers
        With the same classes; both take the same ``X`` (such as embeddings).
    source, target, groups, specificity, n_bootstrap, confidence, random_state
        As in :func:`check_shift`.

    Returns
    -------
    DataFrame
        Rows and columns of :func:`shift_table`. A negative ``gap`` says that the first has the smaller gap.

    Raises
    ------
    InputError, InputTypeError, NotFittedError
        As :func:`check_shift`, and if the classes differ.
    """
    check_bootstrap(n_bootstrap, confidence)
    classes = classes_of(first)
    if set(classes_of(second).tolist()) != set(classes.tolist()):
        raise InputError("The two classifiers have different classes; compare classifiers of the same question.")
    order = [classes_of(second).tolist().index(name) for name in classes.tolist()]
    targets = name_targets(target)
    source_groups, target_groups = split_groups(groups, targets)

    def score(pair: Pair, patients: Any, place: str) -> tuple[Cases, Cases]:
        y, proba = predict(first, pair, classes, place)
        other = np.asarray(predict(second, pair, classes, place)[1])
        sets = (proba, other[:, order] if other.ndim == 2 and other.shape[1] == len(order) else other)
        a, b = (_cases((y, values), classes, patients, specificity, place) for values in sets)
        return a, b

    seeds = np.random.default_rng(random_state).integers(2**32, size=1 + len(targets)).tolist()
    at_home = score(source, source_groups, "source")
    tables = {}
    for seed, (name, pair) in zip(seeds[1:], targets.items(), strict=True):
        away = score(pair, target_groups.get(name), where(name))
        ours, theirs = zip(at_home, away, strict=True)
        tables[name] = compare_models_on(ours, theirs, n_bootstrap, confidence, (seeds[0], seed))
    return tables["target"] if list(tables) == ["target"] else pd.concat(tables, names=["domain"])


def _compare(
    source: Pair,
    targets: Mapping[str, Pair],
    classes: NDArray[Any],
    groups: Pair | None,
    specificity: float,
    n_bootstrap: int,
    confidence: float,
    random_state: Seed,
) -> ShiftReport:
    """Check all sets of (y, proba), resample each, and put the tables of all targets under each other."""
    check_bootstrap(n_bootstrap, confidence)
    source_groups, target_groups = split_groups(groups, targets)
    in_domain = _cases(source, classes, source_groups, specificity, "source")
    seeds = np.random.default_rng(random_state).integers(2**32, size=1 + len(targets)).tolist()
    tables, counts = {}, {"source": np.bincount(in_domain.codes, minlength=len(classes))}
    for seed, (name, pair) in zip(seeds[1:], targets.items(), strict=True):
        out_of_domain = _cases(pair, classes, target_groups.get(name), specificity, where(name))
        counts[name] = np.bincount(out_of_domain.codes, minlength=len(classes))
        tables[name] = compare_two(in_domain, out_of_domain, n_bootstrap, confidence, (seeds[0], seed))
    return ShiftReport(
        table=pd.concat(tables, names=["domain"]),
        counts=pd.DataFrame.from_dict(counts, orient="index", columns=list(classes)),
        confidence=confidence,
        specificity=specificity,
        n_bootstrap=n_bootstrap,
    )


def _cases(pair: Pair, classes: NDArray[Any], groups: ArrayLike | None, specificity: float, place: str) -> Cases:
    y, proba = unpack(pair, place, "(y, proba)")
    return Cases.check(y, proba, classes, groups=groups, specificity=specificity, name=place)
