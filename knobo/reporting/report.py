"""write_report: what a classifier is, how well it does, what it rests on, and cases, on one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import ArrayLike

from knobo.errors import FileError, InputError, InputTypeError, NotFittedError
from knobo.explain import Explanation
from knobo.images import ImageSource
from knobo.reporting import sections
from knobo.reporting.cases import case_views, choose_cases
from knobo.reporting.changes import change_views, conflict_rows
from knobo.shift import ShiftReport, evaluate
from knobo.storage import write_text

_NEEDS = ("bank_", "concept_quality_", "weights_", "intercept_")


def write_report(
    clf: Any,
    images: Sequence[ImageSource] | Any,
    y: ArrayLike,
    path: str | Path,
    *,
    shift: ShiftReport | Mapping[str, ShiftReport] | None = None,
    metadata: pd.DataFrame | None = None,
    groups: ArrayLike | None = None,
    conflicts: pd.DataFrame | None = None,
    pictures: Sequence[ImageSource] | None = None,
    max_cases: int = 12,
    title: str = "Model review",
    notice: str | None = None,
    progress: bool = False,
) -> Path:
    """Write one HTML page with which a clinician can review a classifier.

    The page needs no server and asks for nothing from elsewhere: images and styles are inside, and it holds no script.

    Parameters
    ----------
    clf : ConceptBottleneckClassifier
        Fitted.
    images : sequence of n images, or float array of shape (n, d)
        Images that the classifier was not trained on, or their embeddings.
    y : array-like of shape (n,)
        True labels.
    path : str or Path
        HTML file to write; an older one is replaced.
    shift : ShiftReport, or mapping of model name to ShiftReport, optional
        Shown as it is: the classifier in its own domain and elsewhere, possibly beside a baseline.
    metadata : DataFrame of n rows, optional
        All its columns are shown with each case, so leave identifiers out.
    groups : array-like of shape (n,), optional
        Patient of each image, for the intervals; not shown.
    conflicts : DataFrame, optional
        What ``bootstrap_head(...).conflicts()`` of :mod:`knobo.heads` gives: intervals of the weights that contradict
        the literature.
    pictures : sequence of n images, optional
        What to show when ``images`` are embeddings.
    max_cases : int
        Cases to show. Up to half are wrong predictions, the most confident first; the others are the first right ones
        of each class in turn.
    title, notice : str
        Heading, and what must be said about the data, such as that they are synthetic.
    progress : bool
        Show a progress bar over the cases.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If lengths differ, a label was never seen in training, or ``max_cases`` is negative.
    InputTypeError
        If ``clf`` cannot explain, or another argument has the wrong type.
    NotFittedError
        If ``clf`` has not been fitted.
    FileError
        If the page cannot be written, or an image cannot be read.

    Notes
    -----
    Names of files, groups and anything else that could identify a patient are left out, and image files lose their
    metadata. What is written *in* the pixels stays.
    """
    _check_classifier(clf)
    shown_images = _check_images(images, y, pictures, max_cases, metadata)
    if Path(path).is_dir():
        raise FileError(f"{path} is a folder; give the name of a file in it, such as {Path(path) / 'report.html'}.")
    shifts = _check_shift(shift)
    why: Explanation = clf.explain(images)
    truth = np.asarray(y).astype(str)
    metrics = evaluate(truth, why.probabilities, why.classes.astype(str), groups=groups)
    chosen = choose_cases(why, truth, max_cases)
    context = {
        "title": title,
        "notice": notice,
        "written": datetime.now(timezone.utc).strftime("%d %B %Y, %H:%M UTC"),
        "model": sections.model_facts(clf),
        "n_cases": len(why),
        "grouped": groups is not None,
        "performance": sections.performance(metrics, why.classes),
        "confusion": sections.confusion(truth, why.predicted.astype(str), why.classes),
        "shifts": [sections.shift_view(name, report) for name, report in shifts.items()],
        "weights": sections.weight_table(why),
        "conflicts": conflict_rows(why, conflicts),
        "changes": change_views(clf),
        "certificates": sections.certificates(clf.concept_quality_, clf.bank_),
        "n_wrong": int((why.predicted.astype(str) != truth).sum()),
        "cases": case_views(why, truth, chosen, shown_images, metadata, progress=progress),
    }
    return write_text(path, _template().render(context))


def _template() -> Any:
    """Return the page's template; whatever is put into it is escaped."""
    environment = Environment(
        loader=PackageLoader("knobo", "reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("template.html.j2")


def _check_classifier(clf: Any) -> None:
    if not callable(getattr(clf, "explain", None)):
        raise InputTypeError(
            f"{type(clf).__name__} has no explain method; write_report needs a ConceptBottleneckClassifier."
        )
    if not hasattr(clf, "classes_"):
        raise NotFittedError(f"{type(clf).__name__} has no classes_; call fit before write_report.")
    missing = [name for name in _NEEDS if not hasattr(clf, name)]
    if missing:
        raise InputTypeError(f"{type(clf).__name__} lacks {', '.join(missing)}, which write_report shows.")


def _check_images(
    images: Any, y: Any, pictures: Sequence[ImageSource] | None, max_cases: int, metadata: pd.DataFrame | None
) -> Sequence[ImageSource] | None:
    """Check that all have one entry a case; return the images to show, None when there are embeddings only."""
    if isinstance(images, str | Path) or not hasattr(images, "__len__"):
        raise InputTypeError(f"images must be a sequence of images, got {type(images).__name__}; put it in a list.")
    if metadata is not None and not isinstance(metadata, pd.DataFrame):
        raise InputTypeError(f"metadata must be a DataFrame with one row a case, got {type(metadata).__name__}.")
    n = len(images)
    if n == 0:
        raise InputError("There are no images to report on; pass at least one.")
    for name, given in (("labels", y), ("rows of metadata", metadata), ("pictures", pictures)):
        if given is not None and len(given) != n:
            raise InputError(f"There are {n} images but {len(given)} {name}; pass one an image.")
    if max_cases < 0:
        raise InputError(f"max_cases is {max_cases}; pass 0 for no cases, or how many to show.")
    if pictures is not None:
        return pictures
    embeddings = isinstance(images, pd.DataFrame) or (
        isinstance(images, np.ndarray) and images.ndim == 2 and images.dtype.kind == "f"
    )
    return None if embeddings else images


def _check_shift(shift: Any) -> dict[str, ShiftReport]:
    if shift is None:
        return {}
    reports = dict(shift) if isinstance(shift, Mapping) else {"": shift}
    for report in reports.values():
        if not isinstance(report, ShiftReport):
            raise InputTypeError(f"shift must be a ShiftReport, or a mapping of names to them, got {_kind(report)}.")
    return {str(name): report for name, report in reports.items()}


def _kind(item: Any) -> str:
    return type(item).__name__
