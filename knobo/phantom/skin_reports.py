"""Free-text reports of synthetic dermoscopic lesions, as dermatologists dictate them.

A report states most findings that are present, denies some that are absent, doubts a few, and leaves the rest out.
It never names a diagnosis.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from knobo.phantom._wording import DENIED, DOUBT, DOUBTED, SILENT, STATED, enumerate_nouns, fill, pick, stance

_NOUNS = {
    "asymmetry": ("asymmetry",),
    "irregular_border": ("irregular border", "border irregularity"),
    "colour_variegation": ("colour variegation",),
    "pigment_network": ("atypical network", "atypical pigment network"),
    "dots_globules": ("dots or globules", "globules"),
    "streaks": ("streaks", "pseudopods", "streaks or pseudopods"),
    "blue_white_veil": ("blue-white veil", "blue-whitish veil"),
    "regression": ("regression", "regression structures", "scar-like areas"),
    "ulceration": ("ulceration", "erosion or ulceration"),
    "vessels": ("vessels", "vascular structures", "abnormal vessels"),
}

_PRESENT = {
    "asymmetry": (
        "The lesion is asymmetric.",
        "Marked asymmetry of shape.",
        "There is asymmetry in shape and structure.",
        "Asymmetry in both axes.",
        "The outline shows asymmetry, with one half larger than the other.",
    ),
    "irregular_border": (
        "The border is irregular.",
        "Irregular border with notches.",
        "There is an irregular border.",
        "The border is jagged and irregular, with an abrupt edge in places.",
        "Border irregular.",
    ),
    "colour_variegation": (
        "There is colour variegation.",
        "Colour variegation with several shades.",
        "Multiple colours are seen.",
        "The colour is uneven, with marked colour variegation.",
        "Three or more colours; colour variegation is evident.",
    ),
    "pigment_network": (
        "There is an atypical pigment network.",
        "Atypical network with thick dark lines and uneven holes.",
        "The pigment network is atypical.",
        "An atypical pigment network occupies part of the lesion.",
        "Irregular, broadened meshes consistent with an atypical network.",
    ),
    "dots_globules": (
        "Dots and globules are present.",
        "There are dots and globules.",
        "Scattered globules.",
        "Several globules and dots of varying size are seen.",
        "Dots and globules are distributed over the lesion.",
    ),
    "streaks": (
        "Streaks are seen at the periphery.",
        "There are peripheral streaks and pseudopods.",
        "Radial streaks at the edge.",
        "Radial streaming with streaks at the margin.",
        "Streaks project from the border.",
    ),
    "blue_white_veil": (
        "A blue-white veil is present.",
        "There is a blue-white veil.",
        "Structureless blue-grey area with a whitish haze, in keeping with a blue-white veil.",
        "Blue-whitish veil over part of the lesion.",
        "A blue-whitish veil is noted.",
    ),
    "regression": (
        "There is regression with white scar-like areas.",
        "Regression structures with peppering are seen.",
        "White scar-like depigmentation and peppering, indicating regression.",
        "Signs of regression: scar-like areas and blue-grey granules.",
        "An area of regression is noted.",
    ),
    "ulceration": (
        "There is ulceration.",
        "Ulceration with a reddish-brown crust.",
        "The surface shows ulceration.",
        "An area of ulceration with adherent crust is seen.",
        "Focal ulceration and crusting.",
    ),
    "vessels": (
        "Vessels are visible.",
        "There are abnormal vessels.",
        "Vascular structures are seen within the lesion.",
    ),
}
_ARBORISING = (
    "Arborising vessels are seen.",
    "There are bright red arborising vessels.",
    "Branching, sharply focused arborising vessels.",
)
_IRREGULAR_VESSELS = (
    "There are dotted and irregular vessels.",
    "Irregular linear vessels and dotted vessels are seen.",
    "Polymorphous vessels, dotted and linear.",
)
_BLUE_GLOBULES = (
    "Blue-grey globules are present.",
    "There are multiple blue-grey globules.",
    "Several blue-grey globules are seen.",
)

_ABSENT = {
    "asymmetry": ("The lesion is symmetrical.", "Symmetric in both axes.", "No asymmetry.", "The shape is symmetric."),
    "irregular_border": (
        "The border is regular.",
        "The borders are smooth.",
        "Regular border.",
        "The border is even and well defined.",
    ),
    "colour_variegation": (
        "The colour is uniform.",
        "Uniform colour.",
        "No colour variegation.",
        "The colour is homogeneous throughout.",
    ),
    "pigment_network": (
        "No atypical network.",
        "An atypical pigment network is not seen.",
        "There is no atypical pigment network.",
    ),
    "dots_globules": ("No dots or globules.", "Dots and globules are absent.", "Without globules."),
    "streaks": ("No streaks.", "Streaks and pseudopods are absent.", "There are no streaks or pseudopods."),
    "blue_white_veil": ("No blue-white veil.", "A blue-white veil is not seen.", "There is no blue-whitish veil."),
    "regression": ("No regression.", "No signs of regression.", "Regression structures are absent."),
    "ulceration": ("No ulceration.", "The surface is intact, without ulceration.", "Ulceration is absent."),
    "vessels": ("No vessels are seen.", "No abnormal vessels.", "Vascular structures are absent."),
}
_TYPICAL_NETWORK = (
    "The pigment network is typical.",
    "Regular network with fine even meshes.",
    "Typical network that fades towards the edge.",
    "A typical pigment network is seen.",
)

_DENY_LIST = ("No {nouns}.", "There is no {nouns}.", "No evidence of {nouns}.", "No {nouns} seen.")
_OPENING = (
    "Dermoscopy of a lesion on the {site}.",
    "Lesion on the {site}, contact dermoscopy.",
    "Dermoscopic examination, {site}.",
    "Skin lesion of the {site}.",
    "{site}: single lesion examined with the dermatoscope.",
    "",
)
_CLOSING = (
    "Images stored for comparison.",
    "No earlier images for comparison.",
    "Discussed with the patient.",
    "Clinical correlation is advised.",
    "",
    "",
    "",
)
_GLOBAL = ("asymmetry", "irregular_border", "colour_variegation")


def write_skin_report(
    findings: Mapping[str, bool],
    *,
    site: str,
    rng: np.random.Generator,
    typical_network: bool = False,
    arborising: bool = False,
    blue_globules: bool = False,
) -> str:
    """Write one report on a synthetic lesion.

    Parameters
    ----------
    findings : mapping of str to bool
        Which findings the lesion has.
    site : str
        Where on the body it lies, such as ``"upper back"``.
    rng : numpy.random.Generator
        Chooses what is mentioned, and the words.
    typical_network, arborising, blue_globules : bool
        Looks that the report may describe: a fine even network, vessels that branch, globules that look blue-grey.

    Returns
    -------
    str
    """
    variants = _variants(typical_network=typical_network, arborising=arborising, blue_globules=blue_globules)
    said = {finding: stance(present, rng) for finding, present in findings.items()}
    listed = _choose_listed([finding for finding, verdict in said.items() if verdict == DENIED], rng)
    sentences = []
    for finding, verdict in said.items():
        if verdict == DOUBTED:
            sentences.append(fill(pick(DOUBT, rng), noun=pick(_NOUNS[finding], rng)))
        elif verdict != SILENT and finding not in listed:
            sentences.append(pick(variants[verdict][finding], rng))
    if listed:
        nouns = [pick(_NOUNS[finding], rng).split(" or ")[0] for finding in listed]
        sentences.append(fill(pick(_DENY_LIST, rng), nouns=enumerate_nouns(nouns)))
    opening = fill(pick(_OPENING, rng), site=site)
    return " ".join(part for part in (opening, *sentences, pick(_CLOSING, rng)) if part)


def _variants(*, typical_network: bool, arborising: bool, blue_globules: bool) -> dict[str, dict[str, tuple[str, ...]]]:
    """Wordings for what is stated and what is denied, fitted to how this lesion looks."""
    stated, denied = dict(_PRESENT), dict(_ABSENT)
    stated["vessels"] += _ARBORISING if arborising else _IRREGULAR_VESSELS
    if blue_globules:
        stated["dots_globules"] = _BLUE_GLOBULES
    if typical_network:
        denied["pigment_network"] = _TYPICAL_NETWORK
    return {STATED: stated, DENIED: denied}


def _choose_listed(denied: list[str], rng: np.random.Generator) -> list[str]:
    """Two or more denied structures that one sentence lists; shape, border and colour are never in the list."""
    structures = [finding for finding in denied if finding not in _GLOBAL and finding != "pigment_network"]
    if len(structures) < 2 or rng.random() < 0.5:
        return []
    return structures[-int(rng.integers(2, len(structures) + 1)) :]
