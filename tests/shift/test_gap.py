"""The report's figures follow their definitions, intervals cover, and unusable input is named."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.svm import SVC

from knobo.errors import InputError, InputTypeError, NotFittedError
from knobo.shift import ShiftReport, check_shift, evaluate, shift_table
from knobo.shift.metrics import SUMMARY

CLASSES = np.array(["copd", "normal", "pneumonia"])
METRICS = list(SUMMARY)
MORE_IS_BETTER = METRICS[:5]


class Passthrough:
    """Fitted classifier whose images are its probabilities."""

    def __init__(self, classes=CLASSES):
        self.classes_ = classes

    def predict_proba(self, X):
        return np.asarray(X)


def make_set(n, rng, *, signal=1.0, n_classes=3):
    y = rng.integers(n_classes, size=n)
    logits = rng.normal(size=(n, n_classes))
    logits[np.arange(n), y] += signal
    proba = np.exp(logits)
    return proba / proba.sum(axis=1, keepdims=True), CLASSES[y]


@pytest.fixture
def source():
    return make_set(200, np.random.default_rng(0), signal=2.0)


@pytest.fixture
def target():
    return make_set(150, np.random.default_rng(1), signal=0.5)


def test_figures_follow_their_definitions(source, target):
    frame = check_shift(Passthrough(), source, target, n_bootstrap=20).to_frame()
    assert list(frame.index) == METRICS
    inside, outside = (accuracy_score(y, CLASSES[proba.argmax(axis=1)]) for proba, y in (source, target))
    assert frame.loc["accuracy", ["id", "ood"]].tolist() == pytest.approx([inside, outside])
    assert frame.loc["auroc", "ood"] == pytest.approx(roc_auc_score(target[1], target[0], multi_class="ovr"))
    np.testing.assert_allclose(frame["average"], (frame["id"] + frame["ood"]) / 2)
    np.testing.assert_allclose(frame["gap"], frame["id"] - frame["ood"])
    assert (frame.loc[MORE_IS_BETTER, "gap"] > 0).all()
    assert frame.loc["log_loss", "gap"] < 0


def test_each_domain_is_scored_as_evaluate_does(source, target):
    frame = check_shift(Passthrough(), source, target, n_bootstrap=400).to_frame()
    alone = evaluate(source[1], source[0], CLASSES, n_bootstrap=400).loc[METRICS]
    np.testing.assert_allclose(frame["id"], alone["estimate"])
    np.testing.assert_allclose(frame[["id_low", "id_high"]], alone[["low", "high"]], atol=0.06)


def test_identical_sets_have_no_gap(source):
    frame = check_shift(Passthrough(), source, source).to_frame()
    np.testing.assert_allclose(frame["gap"], 0.0, atol=1e-12)
    assert (frame["gap_low"] < 0).all()
    assert (frame["gap_high"] > 0).all()


def test_swapping_the_domains_turns_the_gap_round(source, target):
    there = check_shift(Passthrough(), source, target, n_bootstrap=500).to_frame()
    back = check_shift(Passthrough(), target, source, n_bootstrap=500).to_frame()
    np.testing.assert_allclose(there["gap"], -back["gap"])
    np.testing.assert_allclose(there["gap_low"], -back["gap_high"], atol=0.03)


def test_gap_interval_covers_the_true_gap():
    rng = np.random.default_rng(2)
    large = [make_set(100_000, rng, signal=signal) for signal in (2.0, 1.0)]
    truth = check_shift(Passthrough(), *large, n_bootstrap=0).to_frame()["gap"]
    hits = []
    for start in range(0, 200 * 120, 120):
        part = [(proba[start : start + 120], y[start : start + 120]) for proba, y in large]
        frame = check_shift(Passthrough(), *part, n_bootstrap=200, random_state=start).to_frame()
        hits.append((frame["gap_low"] <= truth) & (truth <= frame["gap_high"]))
    coverage = pd.DataFrame(hits).mean().drop("ece")  # of few cases it is too high on average
    assert coverage.min() > 0.90  # of 0.95; 200 trials have a standard error of 0.015
    assert coverage.max() < 1.0


def test_probabilities_alone_give_the_same_table(source, target):
    table = shift_table((source[1], source[0]), (target[1], target[0]), CLASSES, n_bootstrap=50)
    pd.testing.assert_frame_equal(table, check_shift(Passthrough(), source, target, n_bootstrap=50).to_frame())


def test_several_targets(source, target):
    other = make_set(90, np.random.default_rng(3))
    report = check_shift(Passthrough(), source, {"B": target, "C": other}, n_bootstrap=50)
    frame = report.to_frame()
    assert list(frame.index) == [(domain, metric) for domain in "BC" for metric in METRICS]
    inside = ["id", "id_low", "id_high"]
    pd.testing.assert_frame_equal(frame.loc["B", inside], frame.loc["C", inside])
    single = check_shift(Passthrough(), source, target, n_bootstrap=50).to_frame()
    pd.testing.assert_series_equal(frame.loc["B", "gap"], single["gap"])
    assert report.domains == ["B", "C"]
    assert report.counts.sum(axis=1).to_dict() == {"source": 200, "B": 150, "C": 90}


def test_intervals_over_patients_are_wider(source, target):
    (X, y), patients = (np.repeat(part, 5, axis=0) for part in target), np.repeat(np.arange(150), 5)
    by_case = check_shift(Passthrough(), source, (X, y)).to_frame().loc["accuracy"]
    by_patient = check_shift(Passthrough(), source, (X, y), groups=(None, patients)).to_frame().loc["accuracy"]
    width = [row["ood_high"] - row["ood_low"] for row in (by_case, by_patient)]
    assert width[1] / width[0] == pytest.approx(np.sqrt(5), rel=0.2)
    named = check_shift(Passthrough(), source, {"B": (X, y)}, groups=(None, {"B": patients})).to_frame().loc["accuracy"]
    pd.testing.assert_series_equal(by_patient, named)


def test_class_that_the_target_lacks_makes_no_gap(source):
    X, y = source
    kept = y != "copd"
    frame = check_shift(Passthrough(), (X, y), (X[kept], y[kept]), n_bootstrap=0).to_frame()
    assert frame.loc["balanced_accuracy", "gap"] == pytest.approx(0.0)


def test_target_of_one_class_has_no_auroc(source):
    X, y = source
    kept = y == "normal"
    report = check_shift(Passthrough(), (X, y), (X[kept], y[kept]), n_bootstrap=10)
    assert report.to_frame().loc["auroc", ["ood", "gap", "gap_low"]].isna().all()
    assert report.to_dict()["domains"]["target"]["auroc"]["ood"] is None
    assert "undefined" in repr(report)


def test_works_with_a_scikit_learn_classifier():
    rng = np.random.default_rng(4)
    X, y = rng.normal(size=(300, 3)), rng.integers(2, size=300)
    X[:, 0] += 2 * y
    clf = LogisticRegression().fit(X[:100], y[:100])
    report = check_shift(clf, (X[100:200], y[100:200]), (X[200:] * [-1, 1, 1], y[200:]), n_bootstrap=10)
    assert report.to_frame().loc["auroc", "id"] == pytest.approx(
        roc_auc_score(y[100:200], clf.predict_proba(X[100:200])[:, 1])
    )
    assert report.to_frame().loc["auroc", "ood"] < 0.2


def test_to_dict_is_json(source, target):
    report = check_shift(Passthrough(), source, {"B": target}, n_bootstrap=10)
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert document["domains"]["B"]["accuracy"]["gap"] == report.to_frame().loc["accuracy", "gap"]
    assert document["counts"]["B"]["copd"] == (target[1] == "copd").sum()
    assert document["n_bootstrap"] == 10


def test_html_and_text_show_the_figures(source, target):
    report = check_shift(Passthrough(), source, {"<B>": target}, n_bootstrap=10)
    gap = f"{report.to_frame().loc['accuracy', 'gap']:+.3f}"
    assert gap in repr(report)
    html = report._repr_html_()
    assert gap in html
    assert "&lt;B&gt;: 150 cases" in html
    assert "<B>" not in html
    assert "bootstrap" not in repr(check_shift(Passthrough(), source, target, n_bootstrap=0))


def test_plot_draws_every_metric_and_gap(source, target):
    from matplotlib.figure import Figure

    report = check_shift(Passthrough(), source, {"B": target, "C": target}, n_bootstrap=10)
    ax = Figure().subplots()
    assert report.plot(ax) is ax
    assert [tick.get_text() for tick in ax.get_yticklabels()][:2] == ["Accuracy, B", "Balanced accuracy, B"]
    texts = [text.get_text() for text in ax.texts]
    assert sum(text.startswith(("+", "-")) for text in texts) == 12
    drawn = np.array([container.lines[0].get_xdata() for container in ax.containers], dtype=float)
    np.testing.assert_allclose(drawn, report.table[["id", "ood"]].drop(index="log_loss", level="metric").T)


def test_plot_makes_its_own_figure(source, target):
    import matplotlib.pyplot as plt

    report = check_shift(Passthrough(), source, target, n_bootstrap=0)
    ax = report.plot()
    assert ax.get_xlabel() == "Value"
    plt.close(ax.figure)


def test_report_is_frozen(source, target):
    report = check_shift(Passthrough(), source, target, n_bootstrap=0)
    assert isinstance(report, ShiftReport)
    with pytest.raises(AttributeError):
        report.n_bootstrap = 5


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"target": ([], [])}, InputError, "target is empty"),
        ({"target": {"B": ([[0.5, 0.25, 0.25]], ["asthma"])}}, InputError, "target 'B' holds 'asthma', which"),
        ({"target": ([[0.5, 0.25, 0.25]], ["copd", "copd"])}, InputError, "target: there are 1 images but 2 labels"),
        ({"target": ([[0.5, np.nan, 0.25]], ["copd"])}, InputError, "target: 1 rows are no probabilities"),
        ({"target": ([[0.5, 0.5]], ["copd"])}, InputError, r"target: probabilities have shape \(1, 2\)"),
        ({"target": ([[0.5, 0.25, 0.25]], [None])}, InputError, "target has 1 missing"),
        ({"target": {}}, InputError, "target is an empty mapping"),
        ({"target": {"source": ([], [])}}, InputError, "called 'source'"),
        ({"target": np.zeros((2, 3))}, InputTypeError, r"target is ndarray; pass a pair \(X, y\)"),
        ({"source": None}, InputTypeError, "source is NoneType"),
        ({"groups": ([1], None)}, InputError, "source: there are 200 labels but 1 groups"),
        ({"groups": [1, 2, 3]}, InputTypeError, "groups is list; pass a pair"),
        ({"clf": object()}, InputTypeError, "object has no predict_proba"),
        ({"clf": SVC()}, InputTypeError, "SVC has no predict_proba"),
        ({"clf": LogisticRegression()}, NotFittedError, "call fit before the check"),
        ({"n_bootstrap": -5}, InputError, "n_bootstrap is -5"),
    ],
)
def test_unusable_input_is_named(source, target, change, error, message):
    good = {"clf": Passthrough(), "source": source, "target": target, "n_bootstrap": 5}
    with pytest.raises(error, match=message):
        check_shift(**{**good, **change})


def test_groups_of_several_targets_need_names(source, target):
    with pytest.raises(InputTypeError, match="several targets"):
        check_shift(Passthrough(), source, {"B": target, "C": target}, groups=(None, np.arange(150)))


def test_images_that_the_classifier_refuses(source):
    clf = LogisticRegression().fit(*source)
    with pytest.raises(InputError, match="NaN"):
        check_shift(clf, source, (np.full((3, 3), np.nan), ["copd"] * 3))


def two_classes(n, rng, signal):
    return make_set(n, rng, signal=signal, n_classes=2)


@pytest.fixture
def binary():
    rng = np.random.default_rng(11)
    return two_classes(160, rng, 2.0), two_classes(120, rng, 0.5)


def test_auroc_of_two_classes_has_delongs_interval(binary):
    from knobo.grounding.certificate import delong_interval

    source, target = binary
    frame = check_shift(Passthrough(CLASSES[:2]), source, target, n_bootstrap=5).to_frame()
    for column, (proba, y) in (("id", source), ("ood", target)):
        expected = delong_interval((y == CLASSES[1]).astype(int), proba[:, 1])
        assert frame.loc["auroc", [column, f"{column}_low", f"{column}_high"]].tolist() == pytest.approx(expected)
    halves = [(frame.loc["auroc", f"{c}_high"] - frame.loc["auroc", c]) ** 2 for c in ("id", "ood", "gap")]
    assert halves[2] == pytest.approx(halves[0] + halves[1])


def test_worst_domain_is_named_for_each_metric(source, target):
    poor = (target[0][:, [1, 2, 0]], target[1])
    worst = check_shift(Passthrough(), source, {"B": target, "C": poor}, n_bootstrap=5).worst()
    assert set(worst["domain"]) == {"C"}
    assert list(worst.index) == METRICS


def test_metadata_name_the_worst_group_of_each_set(binary):
    (source, y0), (target, y1) = binary
    sex = [np.resize(["f", "m"], len(y)) for y in (y0, y1)]
    wrong = np.where((sex[1] == "m")[:, None], target[:, ::-1], target)
    tables = tuple(pd.DataFrame({"sex": column}) for column in sex)
    report = check_shift(
        Passthrough(CLASSES[:2]),
        (source, y0),
        {"B": (wrong, y1)},
        metadata=(tables[0], {"B": tables[1]}),
        n_bootstrap=20,
    )
    worst = report.worst_groups()
    assert list(worst.index.unique("set")) == ["source", "B"]
    assert worst.loc[("B", "accuracy"), "level"] == "m"
    m = sex[1] == "m"
    found = report.subgroups["B"].table.loc[("sex", "m"), "accuracy"]
    assert found == pytest.approx(accuracy_score(y1[m], CLASSES[:2][wrong[m].argmax(axis=1)]))
    plain = check_shift(Passthrough(CLASSES[:2]), (source, y0), (target, y1), n_bootstrap=5)
    assert plain.worst_groups().empty
