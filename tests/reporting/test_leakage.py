"""The panel tells a bank that matters from one that does not, and warns of what leaks past it."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score

from knobo.bank import Concept, ConceptBank
from knobo.classifier import ConceptBottleneckClassifier
from knobo.errors import InputError, InputTypeError, NotFittedError
from knobo.grounding import ConceptScorer
from knobo.reporting import LeakagePanel, leakage_panel, write_report
from knobo.reporting.task_leakage import entropy, information, task_leakage

N, D, M = 240, 24, 5
BANK = ConceptBank(
    concepts=tuple(Concept(id=f"sign-{j}", name=f"sign {j}", question=f"Is there sign {j}?") for j in range(M))
)


def make(seed, shortcut=0.0):
    """Embeddings whose first M directions are the concepts and whose last says the label, if there is a shortcut."""
    rng = np.random.default_rng(seed)
    E = rng.normal(size=(N, D))
    C = (rng.random((N, M)) < expit(3 * E[:, :M])).astype(float)
    cause = 3 * (C[:, 0] + C[:, 1] - 1) if not shortcut else np.zeros(N)
    y = (rng.random(N) < expit(cause)).astype(int)
    E += shortcut * (2 * y[:, None] - 1)  # in every direction a little, as a shift of the machine would be
    return E.astype(np.float32), C, np.array(["ill", "well"])[1 - y]


def fitted(E, C, y):
    scorer = ConceptScorer(min_auroc=0.0).fit(E, pd.DataFrame(C, columns=list(BANK.ids)))
    return ConceptBottleneckClassifier(BANK, scorer=FrozenEstimator(scorer)).fit(E, y)


@pytest.fixture(scope="module")
def honest():
    train, test = make(0), make(1)
    clf = fitted(*train)
    concepts = pd.DataFrame(test[1], columns=list(BANK.ids))
    return clf, train, test, leakage_panel(clf, train[0], train[2], test[0], test[2], concepts=concepts)


def test_a_bank_that_matters_beats_random_directions(honest):
    clf, _, (E, _, y), panel = honest
    expected = roc_auc_score(y == "well", clf.predict_proba(E)[:, 1])
    assert panel.scores.loc["classifier", "auroc"] == pytest.approx(expected)
    assert panel.scores.loc["classifier", "accuracy"] == np.mean(clf.predict(E) == y)
    assert panel.advantage.low > 0.05
    assert not any("random directions" in warning for warning in panel.warnings)
    assert panel.completeness == pytest.approx((expected - 0.5) / (panel.scores.loc["probe", "auroc"] - 0.5))


def test_random_directions_that_do_as_well_are_warned_of():
    train, test = make(2, shortcut=0.5), make(3, shortcut=0.5)
    clf = fitted(*train)
    panel = leakage_panel(clf, train[0], train[2], test[0], test[2])
    assert panel.advantage.low <= 0
    assert any("random directions in place of the findings do as well" in warning for warning in panel.warnings)
    assert any("carry" in warning and "linear probe" in warning for warning in panel.warnings)


def test_counts_of_concepts_are_those_of_the_head(honest):
    clf, _, (E, _, _), panel = honest
    assert panel.effective == np.count_nonzero(clf.weights_, axis=1).mean()
    assert 0 < panel.contributing <= panel.effective
    assert list(panel.curve["size"]) == [5, 10, 15, 20, 25, 30]
    assert (panel.curve["control_low"] <= panel.curve["control_high"]).all()
    assert (panel.n_concepts, panel.n_controls, panel.n_cases) == (M, 5, len(E))


def test_given_directions_are_the_control(honest):
    clf, train, test, panel = honest
    concepts = np.eye(M, D)  # the concepts themselves: the control must come close to the bank
    same = leakage_panel(clf, train[0], train[2], test[0], test[2], control=concepts, n_controls=2)
    assert same.scores.loc["control", "auroc"] > panel.scores.loc["control", "auroc"] + 0.05
    assert same.advantage.low <= 0


def test_the_same_seed_gives_the_same_panel(honest):
    clf, train, test, panel = honest
    again = leakage_panel(clf, train[0], train[2], test[0], test[2])
    pd.testing.assert_frame_equal(again.scores, panel.scores)
    pd.testing.assert_frame_equal(again.curve, panel.curve)


def test_an_activation_that_holds_the_label_leaks():
    rng = np.random.default_rng(0)
    y, truth = rng.integers(2, size=600), rng.integers(2, size=600).astype(float)
    leaking = task_leakage(expit(2.0 * (2 * y - 1) + rng.normal(size=600)), truth, y)
    clean = task_leakage(expit(2 * truth - 1 + 0.3 * rng.normal(size=600)), truth, y)
    assert leaking["leakage"] > 0.3
    assert clean["leakage"] < 0.02
    assert leaking["truth"] == pytest.approx(0, abs=0.01)
    assert np.isnan(task_leakage(truth, np.full(600, np.nan), y)["leakage"])


def test_information_is_that_of_the_formula():
    a = np.repeat([0, 1], 500)
    assert entropy(a) == pytest.approx(np.log(2), abs=1e-3)
    assert information(a, a) == pytest.approx(np.log(2), abs=1e-3)
    assert information(a, np.tile([0, 1], 500)) == 0


def test_the_page_shows_the_panel(honest, tmp_path):
    clf, _, (E, _, y), panel = honest
    page = write_report(clf, E, y, tmp_path / "report.html", leakage=panel, max_cases=0).read_text(encoding="utf-8")
    assert f"{panel.scores.loc['control', 'auroc']:.3f}" in page
    assert "Random directions in place of findings" in page
    assert "Leakage by finding" in page
    assert "Not measured." not in page
    assert "Not measured." in write_report(clf, E, y, tmp_path / "b.html", max_cases=0).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"n_controls": 0}, InputError, "draw at least 1 control"),
        ({"y": ["a", "b"] * (N // 2)}, InputError, r"y has the classes .* the classifier"),
        (
            {"control": np.ones((2, D))},
            InputError,
            r"control has shape \(2, 24\); expected \(k, 24\) with k of at least 5",
        ),
        ({"concepts": [1]}, InputTypeError, "concepts must be a DataFrame of true answers, got list"),
        ({"concepts": pd.DataFrame({"a": [1]})}, InputError, "240 test images but 1 rows of concepts"),
        ({"concepts": pd.DataFrame({"a": [1] * N})}, InputError, "no column of the classifier's concepts"),
        ({"clf": object()}, InputTypeError, "object is no ConceptBottleneckClassifier"),
        ({"clf": ConceptBottleneckClassifier(BANK)}, NotFittedError, "has no head_; call fit before leakage_panel"),
    ],
)
def test_unusable_input_is_named(honest, change, error, message):
    clf, train, test, _ = honest
    given = {"clf": clf, "X": train[0], "y": train[2], "X_test": test[0], "y_test": test[2], "n_controls": 1} | change
    with pytest.raises(error, match=message):
        leakage_panel(**given)


def test_another_kind_of_panel_is_refused(honest, tmp_path):
    clf, _, (E, _, y), panel = honest
    assert isinstance(panel, LeakagePanel)
    with pytest.raises(InputTypeError, match="leakage must be what leakage_panel returns, got dict"):
        write_report(clf, E, y, tmp_path / "a.html", leakage={})
