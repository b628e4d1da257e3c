"""write_report: what a classifier is, how well it does, what it rests on, and cases, on one self-contained page."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import ArrayLike

from knobo.errors import FileError, InputTypeError
from knobo.explain import Explanation
from knobo.explain.case_widget import WHAT_IF, json_block, widget_data, widget_script, widget_style
from knobo.images import ImageSource
from knobo.reporting import data_section, sections
from knobo.reporting._checks import check_classifier, check_images, check_shifts
from knobo.reporting.bank_section import bank_view
from knobo.reporting.cases import case_views, choose_cases
from knobo.reporting.changes import change_views, conflict_rows
from knobo.reporting.leakage import LeakagePanel
from knobo.reporting.leakage_view import leakage_view
from knobo.reporting.overlays import CaseMaps
from knobo.reporting.reliability import reliability
from knobo.shift import ShiftReport, evaluate
from knobo.storage import write_text

_MOUNT = "const page = mountCases(document);\nmountMaps(document);\nif (page.head) new Review(document, page);"


def write_report(
    clf: Any,
    images: Sequence[ImageSource] | Any,
    y: ArrayLike,
    path: str | Path,
    *,
    shift: ShiftReport | Mapping[str, ShiftReport] | None = None,
    leakage: LeakagePanel | None = None,
    metadata: pd.DataFrame | None = None,
    domain: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    train_groups: ArrayLike | None = None,
    conflicts: pd.DataFrame | None = None,
    pictures: Sequence[ImageSource] | None = None,
    maps: Sequence[CaseMaps] | None = None,
    max_cases: int = 12,
    case_names: Sequence[str] | None = None,
    title: str = "Model review",
    notice: str | None = None,
    progress: bool = False,
) -> Path:
    """Write one HTML page with which a clinician can review a classifier.

    The page needs no server and asks for nothing from elsewhere: images, styles and one small script are inside.
    With the script a reader sets findings of a case to other values and sees the probabilities that
    :meth:`Explanation.intervene` would give, and writes down notes and edits of the classifier, which the page saves
    as a JSON file. Where scripts are not allowed, everything else is still there.

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
    leakage : LeakagePanel, optional
        What :func:`knobo.leakage_panel` has measured; without it the page says that nobody has.
    metadata : DataFrame of n rows, optional
        All its columns are shown with each case, so leave identifiers out. Those with few values, and numbers (in
        thirds), also make subgroups.
    domain : array-like of shape (n,), optional
        Where each image comes from, such as a hospital; counted, and compared as a subgroup.
    groups : array-like of shape (n,), optional
        Patient of each image, for the intervals and the check of the split; not shown.
    train_groups : array-like, optional
        Patients of the training images, for the check of the split; not shown.
    conflicts : DataFrame, optional
        What ``bootstrap_head(...).conflicts()`` of :mod:`knobo.heads` gives: intervals of the weights that contradict
        the literature.
    pictures : sequence of n images, optional
        What to show when ``images`` are embeddings.
    maps : sequence of length n, optional
        Where in each image its findings were seen: a mapping of concept id to an array of shape (h, w) in [0, 1], an
        array of shape (m, h, w), or None. The reader can lay them over the image.
    max_cases : int
        Cases to show. Up to half are wrong predictions, the most confident first; the others are the first right ones
        of each class in turn.
    case_names : sequence of n str, optional
        Shown with the cases. By default a case has a number only, and nothing says which patient it is.
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
        If lengths differ, a label was never seen in training, a map makes no sense, or ``max_cases`` is negative.
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
    check_classifier(clf)
    each = {"maps": maps, "case names": case_names, "domains": domain, "groups": groups}
    shown_images = check_images(images, y, pictures, max_cases, metadata, each)
    if Path(path).is_dir():
        raise FileError(f"{path} is a folder; give the name of a file in it, such as {Path(path) / 'report.html'}.")
    shifts = check_shifts(shift)
    if leakage is not None and not isinstance(leakage, LeakagePanel):
        raise InputTypeError(f"leakage must be what leakage_panel returns, got {type(leakage).__name__}.")
    why: Explanation = clf.explain(images)
    truth, classes = np.asarray(y).astype(str), why.classes.astype(str)
    metrics = evaluate(truth, why.probabilities, classes, groups=groups)
    chosen = choose_cases(why, truth, max_cases)
    places = None if domain is None else np.asarray(domain).astype(str)
    columns = _with_domain(metadata, places, len(why))
    views = case_views(why, truth, chosen, shown_images, metadata, maps, case_names, progress=progress)
    context = {
        "title": title,
        "notice": notice,
        "written": datetime.now(timezone.utc).strftime("%d %B %Y, %H:%M UTC"),
        "model": sections.model_facts(clf),
        "n_cases": len(why),
        "grouped": groups is not None,
        "counts": data_section.counts(truth, why.classes, places),
        "split": data_section.split_check(groups, train_groups),
        "performance": sections.performance(metrics, why.classes),
        "confusion": sections.confusion(truth, why.predicted.astype(str), why.classes),
        "reliability": reliability(truth, why.probabilities, why.classes),
        "shifts": [sections.shift_view(name, report) for name, report in shifts.items()],
        "subgroups": data_section.subgroups(truth, why.probabilities, classes, columns, groups),
        "leakage": None if leakage is None else leakage_view(leakage, why),
        "weights": sections.weight_table(why),
        "bank": bank_view(why),
        "conflicts": conflict_rows(why, conflicts),
        "changes": change_views(clf),
        "certificates": sections.certificates(clf.concept_quality_, clf.bank_),
        "n_wrong": int((why.predicted.astype(str) != truth).sum()),
        "cases": views,
        **_script_parts(why, chosen),
    }
    return write_text(path, _template().render(context))


def _with_domain(metadata: pd.DataFrame | None, places: Any, n: int) -> pd.DataFrame | None:
    if places is None:
        return metadata
    columns = pd.DataFrame(index=range(n)) if metadata is None else metadata.reset_index(drop=True)
    columns = columns.drop(columns="domain", errors="ignore")
    columns.insert(0, "domain", places)
    return columns


def _script_parts(why: Explanation, chosen: Sequence[int]) -> dict[str, Any]:
    """The page's script and its hash, by which the security policy knows it from any other, and its data."""
    folder = files("knobo.reporting")
    script = widget_script(folder.joinpath("review.js").read_text(encoding="utf-8"), mount=_MOUNT)
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    data = widget_data(why[list(chosen)], [i + 1 for i in chosen])
    return {
        "script": Markup(script),
        "script_hash": digest,
        "style": Markup(widget_style() + folder.joinpath("style.css").read_text(encoding="utf-8")),
        "data": Markup(json_block(data)),
        "what_if": Markup(WHAT_IF),
        "head": data["head"],
    }


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
