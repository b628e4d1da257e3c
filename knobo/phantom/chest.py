"""Synthetic chest radiographs with known findings, masks, reports, hospitals and a burnt-in marker as confounder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from knobo.phantom._arguments import check_flags, check_given_labels, check_hospital, check_label_weights, check_whole
from knobo.phantom._chest_case import CHEST_CLASSES, Case, draw_case, sample_case
from knobo.phantom._chest_exposure import MACHINES
from knobo.phantom._chest_findings import LOCAL_FINDINGS
from knobo.phantom.chest_reports import write_chest_report
from knobo.phantom.dataset import PhantomDataset

CHEST_FINDINGS = (*LOCAL_FINDINGS, "no_finding")
_SMALLEST = 32


def make_chest_xrays(
    n_samples: int,
    *,
    size: int = 224,
    hospital: str = "A",
    label_weights: Mapping[str, float] | None = None,
    labels: ArrayLike | None = None,
    marker: ArrayLike | None = None,
    random_state: int = 0,
    progress: bool = False,
) -> PhantomDataset:
    """Draw synthetic frontal chest radiographs.

    Each class shows each finding with its own probability, and these overlap: no finding decides the class alone.
    The thickness of each tissue along the beam is added up and attenuates it (Beer-Lambert); scatter, noise and the
    hospital's tone curve follow. Image ``i`` depends on the seed and on the arguments for image ``i``, not on
    ``n_samples``.

    Parameters
    ----------
    n_samples : int
        Number of images, each of one patient.
    size : int
        Side of the square images in pixels, at least 32.
    hospital : {"A", "B", "C"}
        Sets tone curve, scatter, noise and collimation, and how often the view is AP and the marker is printed.
    label_weights : mapping of str to float, optional
        Relative frequency of each class in ``CHEST_CLASSES``; classes left out are not drawn. Equal if None.
    labels : array-like of str of shape (n_samples,), optional
        The classes to draw, instead of random ones.
    marker : array-like of bool of shape (n_samples,), optional
        Which images bear a white label with the word PORTABLE, a confounder when it is tied to the class. If None,
        as often as in the hospital.
    random_state : int
        Seed.
    progress : bool
        Show a progress bar.

    Returns
    -------
    PhantomDataset
        ``images`` uint8 (n_samples, size, size); ``findings`` with one column a finding of ``CHEST_FINDINGS``;
        ``masks`` of each present finding but no_finding; ``metadata`` with hospital, patient_id, sex, age (years),
        view, marker, and lobe (of the consolidation, empty without one).

    Raises
    ------
    InputError
        If a number is out of range, a hospital or class is unknown, or ``labels`` or ``marker`` do not fit.
    """
    for name, value, least in (
        ("n_samples", n_samples, 1),
        ("size", size, _SMALLEST),
        ("random_state", random_state, 0),
    ):
        check_whole(value, name, at_least=least)
    check_hospital(hospital, MACHINES)
    weights = check_label_weights(label_weights, CHEST_CLASSES)
    given = check_given_labels(labels, label_weights, CHEST_CLASSES, n_samples)
    flags = check_flags(marker, "marker", n_samples)
    seeds = np.random.SeedSequence(random_state).spawn(n_samples)
    cases, reports = [], []
    for i, seed in enumerate(seeds):
        label = None if given is None else given[i]
        printed = None if flags is None else flags[i]
        case_seed, report_seed = seed.spawn(2)
        case = sample_case(case_seed, hospital=hospital, weights=weights, label=label, marker=printed)
        cases.append(case)
        reports.append(
            write_chest_report(case.findings, case.details, view=case.view, rng=np.random.default_rng(report_seed))
        )
    images, masks = _draw_all(cases, size, progress)
    return PhantomDataset(
        images=images,
        labels=np.array([case.label for case in cases]),
        findings=_findings_table(cases),
        masks=masks,
        reports=tuple(reports),
        metadata=pd.DataFrame([_metadata(case, f"{hospital}-{random_state}-{i:05d}") for i, case in enumerate(cases)]),
        modality="chest-xray",
    )


def _draw_all(
    cases: Sequence[Case], size: int, progress: bool
) -> tuple[NDArray[np.uint8], tuple[dict[str, NDArray[np.bool_]], ...]]:
    images, masks = np.empty((len(cases), size, size), np.uint8), []
    for i, case in enumerate(tqdm(cases, desc="Drawing chest radiographs", disable=not progress)):
        images[i], regions = draw_case(case, size)
        masks.append(regions)
    return images, tuple(masks)


def _findings_table(cases: Sequence[Case]) -> pd.DataFrame:
    table = pd.DataFrame([dict(case.findings) for case in cases], columns=list(LOCAL_FINDINGS))
    return table.assign(no_finding=~table.any(axis=1))


def _metadata(case: Case, patient_id: str) -> dict[str, Any]:
    return {
        "hospital": case.hospital,
        "patient_id": patient_id,
        "sex": case.sex,
        "age": case.age,
        "view": case.view,
        "marker": case.marker,
        "lobe": case.details.lobe if case.findings["consolidation"] else "",
    }
