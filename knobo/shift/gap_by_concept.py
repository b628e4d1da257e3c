"""Which concepts make the gap: a fair share for each, and what masking or re-calibrating it would give back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from knobo._resampling import percentile_interval, resample_weights
from knobo._validation import show
from knobo.errors import InputError
from knobo.shift._checks import check_bootstrap, encode_groups
from knobo.shift._inputs import Pair, unpack
from knobo.shift._linear_head import METRICS, LinearHead, score_cases
from knobo.shift.gap_explanation import GapExplanation

Array = NDArray[np.float64]
Ints = NDArray[np.intp]

_BLOCK = 4_000_000  # logits held at a time: 32 MB


def explain_gap(
    clf: Any,
    source: Pair,
    target: Pair,
    *,
    metric: str = "log_loss",
    concept_groups: Mapping[str, str] | None = None,
    groups: Pair | None = None,
    n_samples: int = 50,
    n_bootstrap: int = 200,
    confidence: float = 0.95,
    random_state: int | np.random.Generator | None = 0,
) -> GapExplanation:
    """Share the drop of a concept classifier from source to target out among its concepts.

    Each target case is paired with source cases of the same class, and its concepts are exchanged for theirs one after
    the other, in random order. What the score changes when a concept's turn comes, on average over orders and pairs, is
    the concept's Shapley value: what its changed look *within the classes* costs. Together with the part that other
    class shares alone would make, the values add up to the whole drop:

        score(source) − score(target) = class shares + Σ concepts

    This says where the drop arises in this classifier; it does not say why the concept looks different.

    Parameters
    ----------
    clf : fitted ConceptBottleneckClassifier, or linear classifier on activations
    source, target : (X, y)
        Cases that the classifier was not trained on. Every class of the target must be in the source.
    metric : {"log_loss", "accuracy"}
        The score is the mean log-probability of the true class (minus the log-loss), or the accuracy.
    concept_groups : mapping of concept to group, optional
        Concepts of one group are exchanged, masked and re-calibrated together; others stand alone.
    groups : (source groups, target groups), optional
        Patient of each case, for the intervals.
    n_samples : int
        Random orders and partners of each target case.
    n_bootstrap : int
        0 gives no intervals.
    confidence : float in (0, 1)
    random_state : int, Generator or None

    Returns
    -------
    GapExplanation

    Raises
    ------
    InputError, InputTypeError, NotFittedError
        If there is no linear head, a set cannot be used, or a class of the target is not in the source.

    References
    ----------
    Shapley, *A value for n-person games*, 1953; Štrumbelj & Kononenko, *Explaining prediction models and individual
    predictions with feature contributions*, Knowledge and Information Systems 41, 2014, algorithm 1 (sampling).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=400)
    >>> A = y[:, None] + rng.normal(size=(400, 2))
    >>> head = LogisticRegression().fit(A[:200], y[:200])
    >>> moved = A[200:] + [1.5, 0.0]
    >>> why = explain_gap(head, (A[:200], y[:200]), (moved, y[200:]), n_bootstrap=0)
    >>> why.table["explained"].round(1).tolist()
    [0.2, -0.0]
    """
    if metric not in METRICS:
        raise InputError(f"metric is {show(metric)}; pass one of {', '.join(METRICS)}.")
    check_bootstrap(n_bootstrap, confidence)
    if n_samples < 1:
        raise InputError(f"n_samples is {n_samples}; pass at least 1.")
    head = LinearHead.of(clf)
    here, there = (_Side.read(head, pair, place) for pair, place in ((source, "source"), (target, "target")))
    head.check_probabilities(clf, here.activations)
    lacking = np.setdiff1d(there.codes, here.codes)
    if len(lacking):
        raise InputError(
            f"target holds {show(head.classes[lacking[0]])}, of which source has no case; drop it or add cases."
        )
    names, parts = _parts(list(here.activations.columns), concept_groups)
    patients = (None, None) if groups is None else unpack(groups, "groups", "(source groups, target groups)")
    units = [
        None if owner is None else encode_groups(owner, len(side.codes), place)
        for owner, side, place in zip(patients, (here, there), ("source", "target"), strict=True)
    ]
    rng = np.random.default_rng(random_state)
    game = _Game(head, here, there, parts, metric)
    values = np.mean([game.play(game.everyone, rng) for _ in range(n_samples)], axis=0)
    draws = np.array([game.play(_resample(game, units, rng), rng) for _ in range(n_bootstrap)])
    gains = game.remedies()
    table = pd.DataFrame({"margin": game.margins(), "explained": values[2:]}, index=pd.Index(names, name="concept"))
    table["explained_low"], table["explained_high"] = percentile_interval(
        draws.reshape(-1, len(values))[:, 2:], confidence
    )
    weights = np.concatenate(
        list(resample_weights(len(there.codes), units[1], n_bootstrap, rng)) or [np.empty((0, len(there.codes)))]
    )
    for name, gain in gains.items():
        table[name] = gain.mean(axis=0)
        means = weights @ gain / np.maximum(weights.sum(axis=1, keepdims=True), 1)
        table[f"{name}_low"], table[f"{name}_high"] = percentile_interval(means, confidence)
    low, high = percentile_interval(draws.reshape(-1, len(values))[:, :2], confidence)
    summary = pd.DataFrame(
        {"value": values[:2], "low": low, "high": high}, index=pd.Index(["drop", "class shares"], name="part")
    )
    order = table["explained"].sort_values(ascending=False, kind="stable").index
    return GapExplanation(table.loc[order], summary, metric, confidence)


class _Side(NamedTuple):
    activations: pd.DataFrame
    codes: Ints

    @classmethod
    def read(cls, head: LinearHead, pair: Pair, place: str) -> _Side:
        return cls(*head.read(pair, place))


class _Game(NamedTuple):
    """Exchange of concepts between the two sides."""

    head: LinearHead
    here: _Side
    there: _Side
    parts: Array  # (m, g), 1 where a concept is in a part
    metric: str

    @property
    def everyone(self) -> tuple[Ints, Ints]:
        return np.arange(len(self.here.codes)), np.arange(len(self.there.codes))

    @property
    def in_use(self) -> NDArray[np.bool_]:
        """Parts that have a weight, shape (g,); the others explain nothing."""
        return np.asarray(np.ptp(self.head.weights, axis=0) @ self.parts > 0)

    def play(self, rows: tuple[Ints, Ints], rng: np.random.Generator) -> Array:
        """Drop, share of the class shares, and one value a part, for one random order and partner of each case."""
        ours, theirs = rows
        codes = self.there.codes[theirs]
        partners = np.empty(len(theirs), dtype=np.intp)
        by_class = np.zeros(len(self.head.classes))
        own = score_cases(self.head.logits(self.here.activations.to_numpy()[ours]), self.here.codes[ours], self.metric)
        for code in np.unique(codes):
            inside = self.here.codes[ours] == code
            if not inside.any():
                return np.full(2 + self.parts.shape[1], np.nan)
            partners[codes == code] = rng.choice(ours[inside], size=int((codes == code).sum()))
            by_class[code] = own[inside].mean()
        before = self.head.logits(self.there.activations.to_numpy()[theirs])
        drop = own.mean() - score_cases(before, codes, self.metric).mean()
        values = self._exchange(theirs, partners, before, rng)
        chance = by_class[codes].mean() - (score_cases(before, codes, self.metric).mean() + values.sum())
        # partners were drawn at random: what their mean missed of the class means is spread over the parts
        values += chance * self.in_use / max(self.in_use.sum(), 1)
        return np.array([drop, own.mean() - by_class[codes].mean(), *values])

    def _exchange(self, theirs: Ints, partners: Ints, before: Array, rng: np.random.Generator) -> Array:
        total, used = np.zeros(self.parts.shape[1]), self.in_use
        n_parts = int(used.sum())
        step = max(1, _BLOCK // ((n_parts + 1) * before.shape[1]))
        for start in range(0, len(theirs), step):
            rows = slice(start, start + step)
            moved = self.here.activations.to_numpy()[partners[rows]] - self.there.activations.to_numpy()[theirs[rows]]
            change = np.einsum("nm,km,mg->ngk", moved, self.head.weights, self.parts[:, used], optimize=True)
            order = rng.permuted(np.tile(np.arange(n_parts), (len(moved), 1)), axis=1)
            taken = np.take_along_axis(change, order[..., None], axis=1).cumsum(axis=1)
            path = np.concatenate([np.zeros_like(taken[:, :1]), taken], axis=1) + before[rows, None]
            gained = np.diff(score_cases(path, self.there.codes[theirs[rows]], self.metric), axis=1)
            total[used] += np.bincount(order.ravel(), gained.ravel(), minlength=n_parts)
        return total / len(theirs)

    def margins(self) -> Array:
        """How far the true class's logit fell behind the mean of the others by each part's shift within the classes."""
        found = np.zeros(self.parts.shape[0])
        K = len(self.head.classes)
        for code in np.unique(self.there.codes):
            inside = [side.activations.to_numpy()[side.codes == code].mean(axis=0) for side in (self.here, self.there)]
            contrast = (self.head.weights[code] - self.head.weights.mean(axis=0)) * K / (K - 1)
            found += np.mean(self.there.codes == code) * contrast * (inside[0] - inside[1])
        return found @ self.parts

    def remedies(self) -> dict[str, Array]:
        """Change of each target case's score, of shape (n, g), if a part is masked, or re-calibrated to the source."""
        values, codes = self.there.activations.to_numpy(), self.there.codes
        home = self.here.activations.to_numpy()
        logits = self.head.logits(values)
        now = score_cases(logits, codes, self.metric)[:, None]
        found = {}
        for name, new in (
            ("masked", np.tile(home.mean(axis=0), (len(values), 1))),
            ("recalibrated", _match(values, home)),
        ):
            columns = []
            for part in self.parts.T:
                inside = part > 0
                moved = (new[:, inside] - values[:, inside]) @ self.head.weights[:, inside].T
                columns.append(score_cases(logits + moved, codes, self.metric))
            found[name] = np.stack(columns, axis=1) - now
        return found


def _match(values: Array, reference: Array) -> Array:
    """Give each column the reference's distribution: the value at the same quantile (ties share their mean rank)."""
    from scipy.stats import rankdata

    quantiles = (rankdata(values, axis=0) - 0.5) / len(values)
    grid = (np.arange(len(reference)) + 0.5) / len(reference)
    ordered = np.sort(reference, axis=0)
    return np.stack([np.interp(q, grid, column) for q, column in zip(quantiles.T, ordered.T, strict=True)], axis=1)


def _parts(names: list[str], concept_groups: Mapping[str, str] | None) -> tuple[list[str], Array]:
    groups = dict(concept_groups or {})
    unknown = [name for name in groups if name not in names]
    if unknown:
        raise InputError(f"concept_groups names {show(unknown[0])}, which is no concept of the classifier.")
    member = [groups.get(name, name) for name in names]
    titles = list(dict.fromkeys(member))
    return titles, np.array([[float(title == group) for title in titles] for group in member])


def _resample(game: _Game, units: list[Ints | None], rng: np.random.Generator) -> tuple[Ints, Ints]:
    rows = []
    for side, unit in zip((game.here, game.there), units, strict=True):
        weights = next(resample_weights(len(side.codes), unit, 1, rng))[0].astype(np.intp)
        rows.append(np.repeat(np.arange(len(side.codes)), weights))
    return rows[0], rows[1]
