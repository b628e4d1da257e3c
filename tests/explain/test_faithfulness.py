"""The comparison with what is known: counts by hand, and a head on phantoms' findings that names their causes."""

import numpy as np
import pandas as pd
import pytest

from knobo.bank import ConceptBank
from knobo.errors import InputError
from knobo.explain import Explanation, check_causes
from knobo.heads import ConceptHead
from knobo.phantom._chest_case import _ODDS, CHEST_CLASSES, sample_case


def test_a_true_cause_has_an_effect_and_the_right_sign(why):
    effects = np.sign(why.weights)
    assert check_causes(why, effects)["true"].all()
    assert not check_causes(why, -effects)["true"].any()
    effects[0, 1] = 0  # the enlarged heart is made up
    table = check_causes(why.for_class("heart_failure")[0], effects, max_concepts=2)
    assert list(table["concept"]) == ["enlarged-heart", "pleural-effusion"]
    assert list(table["true"]) == [False, True]
    assert list(table["rank"]) == [1, 2]


def test_a_table_of_effects_is_read_by_name(why):
    effects = pd.DataFrame(np.sign(why.weights), why.classes, why.bank.ids)
    assert check_causes(why, effects.iloc[::-1, ::-1].assign(other=1.0))["true"].all()
    with pytest.raises(InputError, match="effects says nothing of normal"):
        check_causes(why, effects.drop(index="normal"))
    with pytest.raises(InputError, match="effects says nothing of nodule"):
        check_causes(why, effects.drop(columns="nodule"))


@pytest.mark.parametrize("effects", [np.ones((3, 4)), np.full((3, 5), np.nan)])
def test_effects_that_do_not_fit_are_refused(why, effects):
    with pytest.raises(InputError, match=r"effects must be finite and of shape \(3, 5\)"):
        check_causes(why, effects)
    with pytest.raises(InputError, match="max_concepts is 0"):
        check_causes(why, np.ones((3, 5)), max_concepts=0)


def fitted(n, shortcut):
    """Explain phantoms by their findings and six coins; the first coin follows one class where it is a shortcut."""
    rng = np.random.default_rng(0)
    seeds = np.random.SeedSequence(0).spawn(n)
    labels = np.resize(CHEST_CLASSES, n)
    cases = [
        sample_case(seed, hospital="A", weights=np.full(5, 0.2), label=label)
        for seed, label in zip(seeds, labels, strict=True)
    ]
    findings = np.array([list(case.findings.values()) for case in cases], dtype=float)
    coins = (rng.random((n, 6)) < 0.4).astype(float)
    if shortcut:
        coins[:, 0] = (labels == "pneumonia") == (rng.random(n) < 0.95)
    A = np.hstack([findings, coins])
    head = ConceptHead(0.01, prior=None).fit(A, labels)
    names = [name.replace("_", " ") for name in cases[0].findings] + [f"coin {j}" for j in range(6)]
    why = Explanation(A, head.coef_, head.intercept_, A.mean(axis=0), head.classes_, ConceptBank.from_names(names))
    p = np.array([_ODDS[name] for name in cases[0].findings]).T
    rest = (p.sum(axis=0) - p) / 4
    ratio = np.log(p / (1 - p)) - np.log(rest / (1 - rest))
    effects = np.where(np.abs(ratio) < np.log(1.25), 0, ratio)[[CHEST_CLASSES.index(str(c)) for c in head.classes_]]
    return why, np.hstack([effects, np.zeros((5, 6))])


def test_the_largest_contributions_name_what_made_the_label():
    why, effects = fitted(800, shortcut=False)
    assert check_causes(why, effects, max_concepts=1)["true"].mean() >= 0.95


def test_a_shortcut_that_is_in_the_bank_is_named():
    why, _ = fitted(800, shortcut=True)
    marked = why[why.activations[:, 11] == 1]
    called = marked[marked.predicted == "pneumonia"]
    top = called.to_frame().groupby("case").head(2)
    assert (top["concept"] == "coin-0").groupby(top["case"]).any().mean() >= 0.95
    assert called.weights_frame("pneumonia")["concept"].head(2).tolist().count("coin-0") == 1
