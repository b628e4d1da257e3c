"""One call on a metadata table: which columns hang together with the label, and can the model read them?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from knobo._validation import check_labels, knobo_errors
from knobo.errors import InputError
from knobo.shift._association import association, explained_variance
from knobo.shift._checks import check_bootstrap, check_features, encode_groups
from knobo.shift._metadata import Column
from knobo.shift._pairs import tie_strength
from knobo.shift._readout import read_out, read_score, remove_means, within_label
from knobo.shift.audit import ConfounderAudit
from knobo.shift.gap import check_shift
from knobo.shift.report import ShiftReport
from knobo.shift.splits import confounded_split

Array = NDArray[np.float64]
Ints = NDArray[np.intp]


def audit_confounders(
    metadata: pd.DataFrame,
    y: ArrayLike,
    *,
    concepts: pd.DataFrame | None = None,
    embeddings: ArrayLike | None = None,
    estimator: Any = None,
    X: Any = None,
    strength: float | None = None,
    columns: Sequence[str] | None = None,
    groups: ArrayLike | None = None,
    min_count: int = 10,
    cv: int = 5,
    n_bootstrap: int = 200,
    confidence: float = 0.95,
    random_state: int = 0,
) -> ConfounderAudit:
    """Audit each column of a metadata table as a possible confounder.

    A column is a danger where it is associated with the label *and* can be read off what the model sees. Both are
    associations in these data; neither shows that the model uses the column. With ``estimator``, that is tried out: it
    is fitted where column and label are tied, and tested where the tie is reversed, on sets made of the same data.

    Parameters
    ----------
    metadata : DataFrame of shape (n, any)
        Numbers with more than 10 distinct values are taken as numbers, everything else as categories. Rows where a
        column is missing are left out of that column, and so are levels with fewer than ``min_count`` cases.
    y : array-like of shape (n,)
        Class labels.
    concepts : DataFrame of shape (n, m), optional
        Activations, such as ``clf.concepts(X)``.
    embeddings : array-like of shape (n, d), optional
    estimator : classifier, optional
        Cloned and fitted on the reversed split of each column (a column of numbers is cut at its median).
    X : array-like of shape (n, any), optional
        What ``estimator`` takes; by default the embeddings, or else the concepts.
    strength : float, optional
        Of the tie in the reversed split (see :func:`confounded_split`); by default as strong as it is in these data.
    columns : sequence of str, optional
        Those to audit; by default all.
    groups : array-like of shape (n,), optional
        Patient of each case: folds, intervals and splits keep patients together.
    min_count : int
    cv : int
        Folds of the held-out read-outs.
    n_bootstrap : int
    confidence : float in (0, 1)
    random_state : int

    Returns
    -------
    ConfounderAudit

    Raises
    ------
    InputError
        If lengths differ, there is nothing to read from, a column is not there, or values are not finite. A column that
        cannot be audited raises nothing: its row has a ``note``.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from knobo.shift import audit_confounders
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> marker = np.where(rng.random(200) < 0.8, y, 1 - y)
    >>> seen = pd.DataFrame({"opacity": y + rng.normal(size=200), "edge": marker + 0.3 * rng.normal(size=200)})
    >>> audit = audit_confounders(pd.DataFrame({"marker": marker}), y, concepts=seen)
    >>> audit.table.loc["marker", ["association", "concepts"]].astype(float).round(2).tolist()
    [0.49, 1.0]
    >>> audit.carriers["concept"].iloc[0]
    'edge'
    """
    check_bootstrap(n_bootstrap, confidence)
    _, label = check_labels(y, len(metadata))
    patients = None if groups is None else encode_groups(groups, len(label), "metadata")
    sources: dict[str, Array] = {"label": np.eye(int(label.max()) + 1)[label]}
    for name, features in (("concepts", concepts), ("embedding", embeddings)):
        if features is not None:
            sources[name] = check_features(features, len(label), name)
    if len(sources) == 1:
        raise InputError("There is nothing to read from: pass concepts=, embeddings=, or both.")
    names = [str(name) for name in (metadata.columns if columns is None else columns)]
    frame = metadata.set_axis([str(name) for name in metadata.columns], axis=1)
    unknown = [name for name in names if name not in frame.columns]
    if unknown:
        raise InputError(f"metadata has no column {unknown[0]!r}; it has {', '.join(frame.columns)}.")
    if estimator is not None and X is None:
        X = sources.get("embedding", sources.get("concepts"))
    rows: dict[str, dict[str, Any]] = {}
    carriers: list[pd.DataFrame] = []
    reports: dict[str, ShiftReport] = {}
    for name in names:
        column = Column.read(frame[name], patients, min_count, cv)
        rows[name] = {"kind": column.kind, "n": len(column.rows), "note": column.note}
        if column.note:
            continue
        at = column.rows
        y_at = np.asarray(y)[at]
        here = np.unique(label[at], return_inverse=True)[1]
        if here.max() == 0:
            rows[name]["note"] = "one class only where it is known"
            continue
        group = None if patients is None else np.unique(patients[at], return_inverse=True)[1]
        found = association(here, column.values, group, n_bootstrap, confidence, random_state)
        rows[name] |= _triple("association", found)
        for source, features in sources.items():
            predicted = read_out(features[at], column.values, group, cv, random_state)
            scored = read_score(column.values, predicted, group, n_bootstrap, confidence, random_state)
            rows[name] |= _triple(source, scored)
            if source != "label":
                rows[name][f"{source}_within_label"] = within_label(column.values, predicted, here)
        if concepts is not None:
            titles = [str(title) for title in getattr(concepts, "columns", range(sources["concepts"].shape[1]))]
            carriers.append(_carriers(name, column, sources["concepts"][at], here, titles))
        if estimator is not None:
            tie = tie_strength(y_at, column.as_levels()) if strength is None else strength
            try:
                reports[name] = _reverse(estimator, X, column, y_at, tie, group, n_bootstrap, confidence)
                rows[name]["reversed_strength"] = tie
            except InputError as error:
                rows[name]["note"] = f"reversed split: {error}"
    return ConfounderAudit(
        table=pd.DataFrame.from_dict(rows, orient="index").rename_axis("column"),
        carriers=pd.concat(carriers, ignore_index=True) if carriers else pd.DataFrame(),
        reversed=reports,
        confidence=confidence,
    )


def _triple(name: str, found: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))


def _carriers(name: str, column: Column, activations: Array, label: Ints, titles: list[str]) -> pd.DataFrame:
    """Share of each concept's variance that goes with the column, before and after each label's mean is taken away."""
    ones = np.ones((1, len(label)))
    rows = []
    for title, plain, inner in zip(titles, activations.T, remove_means(activations, label).T, strict=True):
        if column.kind == "category":
            found = [float(explained_variance(column.values, values, ones)[0]) for values in (plain, inner)]
        else:
            targets = (column.values, remove_means(column.values, label))
            found = [_squared_correlation(a, b) for a, b in zip((plain, inner), targets, strict=True)]
        rows.append({"column": name, "concept": title, "share": found[0], "within_label": found[1]})
    return pd.DataFrame(rows).sort_values("within_label", ascending=False, kind="stable", ignore_index=True)


def _squared_correlation(a: Array, b: Array) -> float:
    if a.std() == 0 or b.std() == 0:
        return 0.0
    r2 = float(np.corrcoef(a, b)[0, 1] ** 2)
    return max(1 - (1 - r2) * (len(a) - 1) / max(len(a) - 2, 1), 0.0)


def _reverse(
    estimator: Any,
    X: Any,
    column: Column,
    y: NDArray[Any],
    strength: float,
    patients: Ints | None,
    n_bootstrap: int,
    confidence: float,
) -> ShiftReport:
    """Fit a copy on the column's tie; nothing is chosen on the validation part, so it serves as in domain.

    ``y`` and ``patients`` are those of the column's rows.
    """
    split = confounded_split(y, column.as_levels(), strength=strength, groups=patients)
    rows = X.iloc if hasattr(X, "iloc") else np.asarray(X)
    train, val, test = ((rows[column.rows[part]], y[part]) for part in (split.train, split.val, split.test))
    with knobo_errors():
        clf = clone(estimator).fit(*train)
    groups = None if patients is None else (patients[split.val], patients[split.test])
    return check_shift(clf, val, test, groups=groups, n_bootstrap=n_bootstrap, confidence=confidence)
