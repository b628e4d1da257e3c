"""Does the classifier rest on its findings, or on what leaks past them? Controls that a bottleneck must beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from knobo._validation import check_labels
from knobo.bank import ConceptBank
from knobo.classifier import linear_probe
from knobo.errors import InputError, InputTypeError, NotFittedError
from knobo.explain import Explanation
from knobo.heads import ConceptHead, ConceptHeadCV
from knobo.reporting.task_leakage import task_leakage
from knobo.shift.metrics import Cases

Array = NDArray[np.float64]

SIZES = (5, 10, 15, 20, 25, 30)
_NEAREST = 1e-6  # activations of exactly 0 or 1 have no log-odds
_AUROC = 2  # column of the metrics of Cases
_FEWEST_SIDES = 1e-9


class Interval(NamedTuple):
    """A number with its 95 % bootstrap interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class LeakagePanel:
    """What :func:`leakage_panel` has measured, on images that nothing was fitted to.

    Attributes
    ----------
    scores : DataFrame
        One row each for ``classifier`` (as it is), ``bank`` (a head without the literature on its activations),
        ``hard`` (the same on absent/present), ``control`` (the same on random directions, mean over the draws) and
        ``probe`` (linear probe on the embeddings). Columns ``auroc``, ``low``, ``high`` and ``accuracy``.
    curve : DataFrame
        AUROC by the number of effective concepts per class: columns ``size`` (at most), ``bank``, ``control``,
        ``control_low`` and ``control_high`` (the worst and best draw).
    advantage : Interval
        AUROC of the classifier less that of the controls.
    hard_gap : Interval
        AUROC of soft less that of hard concepts.
    completeness : float
        Share of what the probe can tell that the classifier can tell, in AUROC above 0.5; NaN where the probe tells
        nothing.
    effective : float
        Mean number of concepts with a weight over the classes (NEC).
    contributing : float
        Mean number of concepts, the strongest first, that make up 95 % of a prediction's contributions (NCC).
    n_concepts, n_controls, n_cases : int
        Concepts of the bank and of each control, draws of controls, and test images.
    concepts : DataFrame or None
        Concepts–task leakage by concept, where the truth was given; see :func:`leakage_panel`.
    """

    scores: pd.DataFrame
    curve: pd.DataFrame
    advantage: Interval
    hard_gap: Interval
    completeness: float
    effective: float
    contributing: float
    n_concepts: int
    n_controls: int
    n_cases: int
    concepts: pd.DataFrame | None = None

    @property
    def warnings(self) -> list[str]:
        """What a reader has to know, in plain words; empty where nothing stands out."""
        found = []
        if not self.advantage.low > 0:
            found.append(
                f"{self.n_concepts} random directions in place of the findings do as well: the classifier's AUROC is "
                f"{_signed(self.advantage)} higher. Its accuracy does not show that the findings matter."
            )
        if self.completeness < 0.8:
            found.append(
                f"The findings carry {self.completeness:.0%} of what a linear probe reads from the same embeddings. "
                "The rest is missing from the bank: other signs of disease, or a shortcut."
            )
        if self.hard_gap.low > 0.05:
            found.append(
                f"With findings as absent or present only, AUROC falls by {_signed(self.hard_gap)}: much of the "
                "decision lies in the degree of the activations, where other information can hide."
            )
        return found


def leakage_panel(
    clf: Any,
    X: Any,
    y: ArrayLike,
    X_test: Any,
    y_test: ArrayLike,
    *,
    control: ArrayLike | None = None,
    n_controls: int = 5,
    concepts: pd.DataFrame | None = None,
    groups: ArrayLike | None = None,
    n_bootstrap: int = 500,
    random_state: int = 0,
) -> LeakagePanel:
    """Compare a classifier with controls that know nothing of its findings.

    Each control has as many "concepts" as the bank: random directions of the same embeddings, each with the mean and
    spread of log-odds of the concept that it replaces, under the same kind of head. A bank that is no better than
    they are works by its size, not by its meaning.

    Parameters
    ----------
    clf : ConceptBottleneckClassifier
        Fitted.
    X, y : images or embeddings of shape (n, d), and their labels
        To fit the controls to: the training data, or better, other data that the scorer has not learned from.
    X_test, y_test : images or embeddings, and their labels
        To compare on; seen by nothing before.
    control : array-like of shape (k, d) with k >= m, optional
        Directions to draw from in place of random ones, such as a text encoder's embeddings of random words.
    n_controls : int
        Draws of controls.
    concepts : DataFrame of one row a test image, optional
        True answers (1, 0 or NaN) by concept id. Adds for each concept how much more its activation tells of the
        label than its truth does, as a share of the label's entropy (concepts–task leakage): columns ``reading``,
        ``truth``, ``leakage`` and ``n``.
    groups : array-like of one entry a test image, optional
        Patient of each, for the intervals.
    n_bootstrap : int
        Resamples.
    random_state : int

    Returns
    -------
    LeakagePanel

    Raises
    ------
    InputError
        If data do not fit together, or a number makes no sense.
    InputTypeError
        If ``clf`` is no concept bottleneck.
    NotFittedError
        If ``clf`` has not been fitted.

    References
    ----------
    Srivastava et al., *VLG-CBM: Training Concept Bottleneck Models with Vision-Language Guidance*, NeurIPS 2024,
    arXiv:2408.01432 (number of effective concepts; random concepts as a control). Yeh et al., *On Completeness-aware
    Concept-Based Explanations in Deep Neural Networks*, NeurIPS 2020 (completeness; here of the AUROC). Havasi et
    al., *Addressing Leakage in Concept Bottleneck Models*, NeurIPS 2022 (soft and hard concepts). Parisini et al.,
    *Leakage and Interpretability in Concept-Based Models*, arXiv:2504.14094 (concepts–task leakage; here with bins).
    """
    _check_clf(clf)
    if n_controls < 1:
        raise InputError(f"n_controls is {n_controls}; draw at least 1 control.")
    E, E_test = np.asarray(clf._embed(X), dtype=np.float64), np.asarray(clf._embed(X_test), dtype=np.float64)
    labels, _ = check_labels(y, len(E))
    if [str(label) for label in labels] != [str(label) for label in clf.classes_]:
        raise InputError(
            f"y has the classes {list(labels)}, the classifier {list(clf.classes_)}; they must be the same."
        )
    truth = np.asarray(y_test)
    A, A_test = clf.scorer_.transform(E), clf.scorer_.transform(E_test)
    test = _Test(truth, clf.classes_, groups, n_bootstrap, random_state)
    why: Explanation = clf.explain(E_test)
    rng = np.random.default_rng(random_state)
    drawn = [_control(E, E_test, A, _directions(control, A.shape[1], E, rng)) for _ in range(n_controls)]
    bank, *controls = [_Fits.of(train, y, held_out) for train, held_out in [(A, A_test), *drawn]]
    measured = {
        "classifier": [test.measure(why.probabilities)],
        "bank": [test.measure(bank.proba)],
        "hard": [test.measure(_Fits.of(*_hard(A, y, A_test)).proba)],
        "control": [test.measure(fit.proba) for fit in controls],
        "probe": [test.measure(_probe(E, y, E_test))],
    }
    draws = {name: np.mean([auroc for auroc, _ in parts], axis=0) for name, parts in measured.items()}
    above = draws["probe"][0] - 0.5
    return LeakagePanel(
        scores=pd.DataFrame(
            {
                name: {**_interval(draws[name])._asdict(), "accuracy": np.mean([right for _, right in parts])}
                for name, parts in measured.items()
            }
        ).T.rename(columns={"estimate": "auroc"}),
        curve=_curve(bank, controls, test),
        advantage=_interval(draws["classifier"] - draws["control"]),
        hard_gap=_interval(draws["bank"] - draws["hard"]),
        completeness=float((draws["classifier"][0] - 0.5) / above) if above > _FEWEST_SIDES else float("nan"),
        effective=float(np.count_nonzero(why.weights, axis=1).mean()),
        contributing=_contributing(why),
        n_concepts=A.shape[1],
        n_controls=n_controls,
        n_cases=len(truth),
        concepts=None if concepts is None else _by_concept(concepts, A_test, truth, clf.bank_),
    )


class _Test:
    """The test set: AUROC with the same resamples for all, so that differences are paired."""

    def __init__(self, truth: Any, classes: Any, groups: Any, n_bootstrap: int, seed: int) -> None:
        self.truth, self.classes, self.groups = truth, classes, groups
        self.n_bootstrap, self.seed = n_bootstrap, seed

    def measure(self, proba: Array) -> tuple[Array, float]:
        """AUROC as it is and on each resample, shape (1 + n_bootstrap,), and the accuracy."""
        cases = Cases.check(self.truth, proba, self.classes, groups=self.groups, name="y_test")
        estimate = cases.estimate()
        return np.append(estimate[_AUROC], cases.bootstrap(self.n_bootstrap, self.seed)[:, _AUROC]), float(estimate[0])

    def auroc(self, proba: Array) -> float:
        """AUROC as it is."""
        return float(Cases.check(self.truth, proba, self.classes).estimate()[_AUROC])


class _Fits(NamedTuple):
    """A head on some activations: its test probabilities, and those along its path with their numbers of concepts."""

    proba: Array
    path: list[tuple[float, Array]]

    @classmethod
    def of(cls, A: Array, y: ArrayLike, A_test: Array) -> _Fits:
        labels = np.asarray(y)
        chosen = ConceptHeadCV(20, cv=3, prior=None, tol=1e-5).fit(A, labels)
        path: list[tuple[float, Array]] = []
        for alpha in chosen.scores_["alpha"]:
            head = ConceptHead(float(alpha), prior=None, tol=1e-5).fit(A, labels)
            path.append((float(np.count_nonzero(head.coef_) / len(head.coef_)), head.predict_proba(A_test)))
            if path[-1][0] > SIZES[-1]:
                break
        return cls(chosen.predict_proba(A_test), path)

    def at(self, size: int) -> Array:
        """Test probabilities of the largest head with at most ``size`` concepts a class."""
        return next((proba for count, proba in reversed(self.path) if count <= size), self.path[0][1])


def _probe(E: Array, y: ArrayLike, E_test: Array) -> Array:
    """Test probabilities of a linear probe; more threads were measured to be slower."""
    with threadpool_limits(limits=1, user_api="blas"):
        return np.asarray(linear_probe().fit(E, np.asarray(y)).predict_proba(E_test))


def _directions(given: ArrayLike | None, m: int, E: Array, rng: np.random.Generator) -> Array:
    """m directions of the embeddings, shape (d, m)."""
    spread = E.std(axis=0)
    if given is None:
        return rng.standard_normal((E.shape[1], m)) / np.where(spread > 0, spread, np.inf)[:, None]
    pool = np.asarray(given, dtype=np.float64)
    if pool.ndim != 2 or pool.shape[1] != E.shape[1] or len(pool) < m:
        raise InputError(f"control has shape {pool.shape}; expected (k, {E.shape[1]}) with k of at least {m}.")
    return pool[rng.choice(len(pool), m, replace=False)].T


def _control(E: Array, E_test: Array, A: Array, directions: Array) -> tuple[Array, Array]:
    """Activations along random directions, with the mean and spread of log-odds that the concepts have."""
    z = logit(A.clip(_NEAREST, 1 - _NEAREST))
    centre = E.mean(axis=0)
    along = (E - centre) @ directions
    scale = z.std(axis=0) / np.maximum(along.std(axis=0), _FEWEST_SIDES)
    return expit(along * scale + z.mean(axis=0)), expit((E_test - centre) @ directions * scale + z.mean(axis=0))


def _hard(A: Array, y: ArrayLike, A_test: Array) -> tuple[Array, ArrayLike, Array]:
    """Absent or present: as many present in each column as the mean of its activations says."""
    cut = np.array([np.quantile(column, 1 - column.mean()) for column in A.T])
    return (cut < A).astype(np.float64), y, (A_test > cut).astype(np.float64)


def _curve(bank: _Fits, controls: Sequence[_Fits], test: _Test) -> pd.DataFrame:
    rows = []
    for size in SIZES:
        values = [test.auroc(fit.at(size)) for fit in controls]
        spread = {"control": np.mean(values), "control_low": min(values), "control_high": max(values)}
        rows.append({"size": size, "bank": test.auroc(bank.at(size)), **spread})
    return pd.DataFrame(rows)


def _contributing(why: Explanation, share: float = 0.95) -> float:
    """Mean number of concepts that make up ``share`` of the absolute contributions to the predicted class."""
    values = why.contributions[np.arange(len(why)), why.logits.argmax(axis=1)]
    sizes = -np.sort(-np.abs(values), axis=1)
    total = sizes.sum(axis=1, keepdims=True)
    short = sizes.cumsum(axis=1) < share * total * (1 - 1e-12)
    return float((short.sum(axis=1) + (total[:, 0] > 0)).mean())


def _by_concept(concepts: pd.DataFrame, A_test: Array, truth: NDArray[Any], bank: ConceptBank) -> pd.DataFrame:
    if not isinstance(concepts, pd.DataFrame):
        raise InputTypeError(f"concepts must be a DataFrame of true answers, got {type(concepts).__name__}.")
    if len(concepts) != len(A_test):
        raise InputError(
            f"There are {len(A_test)} test images but {len(concepts)} rows of concepts; pass one an image."
        )
    column = {name: j for j, name in enumerate(bank.ids)}
    known = [name for name in concepts.columns if name in column]
    if not known:
        raise InputError(f"concepts has no column of the classifier's concepts, such as {bank.ids[0]!r}.")
    rows = {name: task_leakage(A_test[:, column[name]], concepts[name].to_numpy(float), truth) for name in known}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("concept").sort_values("leakage", ascending=False)


def _interval(draws: Array) -> Interval:
    """The first value, and the middle 95 % of the others."""
    rest = draws[1:][~np.isnan(draws[1:])]
    low, high = np.quantile(rest, [0.025, 0.975]) if len(rest) else (np.nan, np.nan)
    return Interval(float(draws[0]), float(low), float(high))


def _signed(interval: Interval) -> str:
    text = f"{interval.estimate:.3f} ({interval.low:.3f} to {interval.high:.3f})"
    return text.replace("-", "−")


def _check_clf(clf: Any) -> None:
    if not callable(getattr(clf, "explain", None)) or not hasattr(type(clf), "_embed"):
        raise InputTypeError(f"{type(clf).__name__} is no ConceptBottleneckClassifier; leakage_panel needs one.")
    if not hasattr(clf, "head_"):
        raise NotFittedError(f"{type(clf).__name__} has no head_; call fit before leakage_panel.")
