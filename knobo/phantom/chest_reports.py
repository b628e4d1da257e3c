"""Free-text reports of synthetic chest radiographs, as radiologists dictate them.

A report states most findings that are present, denies some that are absent, doubts a few, and leaves the rest out.
It never names a diagnosis.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from knobo.phantom._chest_patient import Details
from knobo.phantom._wording import DENIED, DOUBT, DOUBTED, SILENT, STATED, enumerate_nouns, fill, pick, stance

_EFFUSIONS = ("pleural_effusion_left", "pleural_effusion_right")
_ORDER = (  # as a radiologist goes through an image
    "support_device",
    "cardiomegaly",
    "mediastinal_widening",
    "hyperinflation",
    "consolidation",
    "interstitial_lines",
    "nodule",
    "atelectasis",
    "pleural_effusion",
    "pneumothorax",
)
_CLEAR_LUNGS = ("consolidation", "interstitial_lines", "nodule", "atelectasis")

_NOUNS = {
    "support_device": ("support device",),
    "cardiomegaly": ("cardiomegaly", "cardiac enlargement"),
    "mediastinal_widening": ("mediastinal widening", "widening of the mediastinum"),
    "hyperinflation": ("hyperinflation", "overinflation"),
    "consolidation": ("consolidation", "focal consolidation", "airspace opacity"),
    "interstitial_lines": ("interstitial thickening", "septal lines", "increased interstitial markings"),
    "nodule": ("pulmonary nodule", "lung nodule"),
    "atelectasis": ("atelectasis",),
    "pleural_effusion": ("pleural effusion", "effusion"),
    "pneumothorax": ("pneumothorax",),
}

_PRESENT = {
    "cardiomegaly": (
        "The heart is enlarged.",
        "Cardiomegaly.",
        "The cardiac silhouette is {degree} enlarged.",
        "There is {adjective} cardiomegaly.",
        "Increased cardiothoracic ratio.",
        "The heart is {degree} enlarged.",
    ),
    "mediastinal_widening": (
        "The mediastinum is widened.",
        "Widening of the upper mediastinum.",
        "There is mediastinal widening.",
        "Widened mediastinum.",
    ),
    "hyperinflation": (
        "The lungs are hyperinflated.",
        "Hyperinflation with flattened hemidiaphragms.",
        "There is hyperinflation.",
        "Hyperexpanded lungs with flattening of the diaphragm.",
        "Lung volumes are increased, in keeping with hyperinflation.",
    ),
    "consolidation": (
        "There is consolidation in the {lobe}.",
        "{lobe} consolidation with air bronchograms.",
        "Airspace opacity in the {lobe}.",
        "Focal consolidation projects over the {lobe}.",
        "Patchy airspace consolidation of the {lobe}.",
    ),
    "interstitial_lines": (
        "There are increased interstitial markings.",
        "Septal lines at both bases.",
        "Kerley B lines are present.",
        "Reticular opacities, most marked in the lower zones.",
        "Interstitial thickening with septal lines.",
    ),
    "nodule": (
        "There is a pulmonary nodule in the {nodule_side} lung.",
        "Solitary nodule projecting over the {nodule_side} lung.",
        "A rounded lung nodule is seen on the {nodule_side}.",
        "Nodular opacity in the {nodule_side} lung.",
    ),
    "pneumothorax": (
        "There is a {pneumothorax_side} pneumothorax.",
        "{pneumothorax_side} pneumothorax with a visible pleural line.",
        "A {pneumothorax_side}-sided pneumothorax is present.",
    ),
}
_PLATES = (
    "Plate-like atelectasis at the {atelectasis_side} base.",
    "Linear atelectasis in the {atelectasis_side} lower zone.",
    "There is subsegmental atelectasis on the {atelectasis_side}.",
)
_COLLAPSE = (
    "{atelectasis_side} lower lobe collapse.",
    "There is atelectasis of the {atelectasis_side} lower lobe with volume loss.",
    "Lobar atelectasis on the {atelectasis_side}.",
)
_ONE_EFFUSION = (
    "{amount} {side} pleural effusion.",
    "There is a {amount} {side} pleural effusion.",
    "{side} pleural effusion with a meniscus.",
    "Blunting of the {side} costophrenic angle, consistent with pleural fluid.",
)
_TWO_EFFUSIONS = (
    "Bilateral pleural effusions.",
    "There are bilateral pleural effusions.",
    "Pleural effusions on both sides.",
    "{amount} bilateral pleural effusions.",
)
_DEVICES = {
    "pacemaker": ("A pacemaker is in place.", "Pacemaker with its leads in situ.", "There is a cardiac pacemaker."),
    "central line": (
        "A central line is in place.",
        "Central venous catheter in situ.",
        "There is a central venous line.",
    ),
    "endotracheal tube": ("An endotracheal tube is in place.", "Endotracheal tube in situ.", "ET tube in place."),
    "monitor leads": ("Monitoring leads overlie the chest.", "ECG leads project over the thorax.", "Overlying leads."),
}

_ABSENT = {
    "support_device": ("No support device.", "No lines and tubes.", "There is no implanted device."),
    "cardiomegaly": (
        "The heart is normal in size.",
        "Heart size is normal.",
        "The cardiac silhouette is not enlarged.",
        "Heart size within normal limits.",
        "No cardiomegaly.",
    ),
    "mediastinal_widening": (
        "The mediastinum is not widened.",
        "The mediastinal contour is normal.",
        "No mediastinal widening.",
    ),
    "hyperinflation": ("Lung volumes are normal.", "No hyperinflation.", "The lungs are not hyperinflated."),
    "consolidation": ("No consolidation.", "There is no focal consolidation.", "No airspace opacity is seen."),
    "interstitial_lines": (
        "No septal lines.",
        "The interstitial markings are not increased.",
        "No interstitial thickening.",
    ),
    "nodule": ("No pulmonary nodule.", "No lung nodule is seen.", "There is no suspicious nodule."),
    "atelectasis": ("No atelectasis.", "There is no atelectasis or collapse."),
    "pleural_effusion": (
        "No pleural effusion.",
        "The costophrenic angles are sharp.",
        "There is no pleural effusion on either side.",
        "No effusion.",
    ),
    "pneumothorax": ("No pneumothorax.", "There is no pneumothorax.", "A pneumothorax is not seen."),
}
_DEGREES = (("mild", "mildly"), ("moderate", "moderately"), ("marked", "markedly"))
_CLEAR = ("The lungs are clear.", "Clear lungs.", "Both lungs appear clear.")

_DENY_LIST = ("No {nouns}.", "There is no {nouns}.", "No evidence of {nouns}.", "No {nouns} is seen.")
_OPENING = {
    "PA": ("Frontal radiograph of the chest.", "PA chest radiograph.", "PA view of the chest.", ""),
    "AP": ("AP chest radiograph.", "AP portable view of the chest.", "Supine AP radiograph of the chest.", ""),
}
_CLOSING = (
    "Clinical correlation is advised.",
    "No earlier images for comparison.",
    "Comparison with earlier images is recommended.",
    "",
    "",
    "",
)


def write_chest_report(findings: Mapping[str, bool], details: Details, *, view: str, rng: np.random.Generator) -> str:
    """Write one report on a synthetic chest radiograph.

    Parameters
    ----------
    findings : mapping of str to bool
        Which findings the image has.
    details : Details
        On which side, in which lobe, how much, which device.
    view : {"PA", "AP"}
        Projection.
    rng : numpy.random.Generator
        Chooses what is mentioned, and the words.

    Returns
    -------
    str
    """
    truth = {name: any(findings[side] for side in _sides(name)) for name in _ORDER}
    said = {name: stance(present, rng) for name, present in truth.items()}
    denied = [name for name in _ORDER if said[name] == DENIED]
    lungs_clear = not any(truth[name] or said[name] == DOUBTED for name in _CLEAR_LUNGS) and rng.random() < 0.3
    listed = [] if lungs_clear else _choose_listed(denied, rng)
    sentences = [pick(_CLEAR, rng)] if lungs_clear else []
    for name, verdict in said.items():
        if verdict == DOUBTED:
            sentences.append(fill(pick(DOUBT, rng), noun=pick(_NOUNS[name], rng)))
        elif verdict == STATED:
            sentences.append(_state(name, findings, details, rng))
        elif verdict == DENIED and name not in listed and not (lungs_clear and name in _CLEAR_LUNGS):
            sentences.append(pick(_ABSENT[name], rng))
    if listed:
        sentences.append(
            fill(pick(_DENY_LIST, rng), nouns=enumerate_nouns([pick(_NOUNS[name], rng) for name in listed]))
        )
    if not any(truth.values()) and all(verdict in (DENIED, SILENT) for verdict in said.values()):
        sentences.append("No acute abnormality.")
    return " ".join(part for part in (pick(_OPENING[view], rng), *sentences, pick(_CLOSING, rng)) if part)


def _sides(name: str) -> tuple[str, ...]:
    return _EFFUSIONS if name == "pleural_effusion" else (name,)


def _state(name: str, findings: Mapping[str, bool], details: Details, rng: np.random.Generator) -> str:
    """One sentence that states a finding, with its side, lobe or size where the words have room for it."""
    if name == "pleural_effusion":
        return _state_effusion(findings, details, rng)
    if name == "support_device":
        return pick(_DEVICES[details.device], rng)
    wordings: tuple[str, ...]
    if name == "atelectasis":
        wordings = _COLLAPSE if details.collapse else _PLATES
    else:
        wordings = _PRESENT[name]
    adjective, degree = _DEGREES[int(rng.integers(len(_DEGREES)))]
    return fill(
        pick(wordings, rng),
        adjective=adjective,
        degree=degree,
        lobe=details.lobe,
        nodule_side=details.nodule_side,
        pneumothorax_side=details.pneumothorax_side,
        atelectasis_side=details.atelectasis_side,
    )


def _state_effusion(findings: Mapping[str, bool], details: Details, rng: np.random.Generator) -> str:
    sides = [side for side in ("right", "left") if findings[f"pleural_effusion_{side}"]]
    amount = max(details.effusion[side == "left"] for side in sides)
    wording = pick(_TWO_EFFUSIONS if len(sides) == 2 else _ONE_EFFUSION, rng)
    return fill(wording, side=sides[0], amount="small" if amount < 0.35 else "moderate" if amount < 0.65 else "large")


def _choose_listed(denied: list[str], rng: np.random.Generator) -> list[str]:
    """Two or more denied findings that one sentence lists, such as *no consolidation, effusion or pneumothorax*."""
    listable = [name for name in denied if name in ("consolidation", "nodule", "pleural_effusion", "pneumothorax")]
    return listable if len(listable) >= 2 and rng.random() < 0.6 else []
