import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import baselines
import phantom_pools
import shift
import shift_methods
import shift_real
import shift_tables

SIZES = {"n_train": 120, "n_val": 40, "n_id_test": 40, "n_test": 40}


def blobs(n=200, seed=0):
    """Three classes around three corners, and a fourth value that is noise."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    return np.eye(4)[codes] + 0.2 * rng.normal(size=(n, 4)), np.array(["a", "b", "c"])[codes]


def tied(n=400, minority=0.05, seed=0):
    """Two classes that a weak value tells, and a strong value that agrees with the class but for a few cases."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    level = np.where(rng.random(n) < minority, 1 - y, y)
    X = np.column_stack([y + 0.5 * rng.normal(size=n), 3 * level + 0.5 * rng.normal(size=n)])
    return X, y, np.char.add(y.astype(str), level.astype(str))


class Same:
    """A concept layer that changes nothing."""

    def transform(self, X):
        return np.asarray(X)


class ToyEncoder:
    spec = "toy"
    dim = 3

    def encode_images(self, images, **kwargs):
        return np.array([[np.mean(image), np.std(image), 1.0] for image in images])


def toy_pool(n, seed):
    """Chest findings drawn at random for each class, and an embedding that holds them, the marker and the rest."""
    rng = np.random.default_rng(seed)
    labels = np.resize(phantom_pools.CLASSES["chest"], n)
    names = list(shift_methods.TRUTH["chest"])
    leading = {"pneumonia": "consolidation", "heart_failure": "cardiomegaly", "copd": "hyperinflation"}
    odds = np.array([[0.8 if leading.get(label) == name else 0.1 for name in names] for label in labels])
    findings = pd.DataFrame(rng.random(odds.shape) < odds, columns=names)
    metadata = pd.DataFrame(
        {
            "hospital": rng.choice(["A", "B"], n),
            "marker": rng.random(n) < 0.5,
            "view": rng.choice(["AP", "PA"], n),
            "sex": rng.choice(["F", "M"], n),
            "age": rng.integers(30, 90, n),
        }
    )
    visible = np.column_stack([findings, *(3 * (column == column.iloc[0]) for _, column in metadata.items())])
    said = {"consolidation": "consolidation", "cardiomegaly": "cardiomegaly", "hyperinflation": "hyperinflation"}
    reports = [
        " ".join(f"There is {'' if row[name] else 'no '}{words}." for name, words in said.items())
        for _, row in findings.iterrows()
    ]
    embeddings = {"toy": visible + 0.25 * rng.normal(size=visible.shape)}
    return phantom_pools.Pool(embeddings, labels, np.array(reports), findings, metadata)


@pytest.fixture(scope="module")
def rows():
    every_level = phantom_pools.levels
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shift, "levels", lambda *args: {name: every_level(*args)[name] for name in ("marker", "view")})
        patch.setattr(shift, "draw_pool", lambda modality, part, n, encoders, cache: toy_pool(n, seed=len(part)))
        return shift.phantom({"toy": ToyEncoder()}, ["chest"], [1.0], 2, n_cases=800, n_archive=300, sizes=SIZES)


def test_concepts_keep_what_a_probe_loses_when_the_tie_is_reversed(rows):
    table = shift_tables.summarise(rows).droplevel([0, 1])
    assert table.loc["knobo", "ood"] > table.loc["linear probe", "ood"] + 0.2
    assert table.loc["true concepts, knobo", "gap"] < table.loc["linear probe", "gap"] / 2


def test_every_method_is_run_on_every_confounder_and_seed_and_on_the_control(rows):
    runs = rows.groupby("method").size()
    assert set(runs) == {2 * (2 + 1)}
    assert rows.groupby("strength").size().to_dict() == {0.5: 2 * len(runs), 1.0: 4 * len(runs)}
    assert np.isfinite(rows[["id", "ood", "seconds"]]).all(axis=None)


def test_results_are_a_table_in_markdown_and_csv_and_a_figure(rows, tmp_path):
    text = shift_tables.write_results(rows, tmp_path, measure="accuracy")
    assert "| linear probe |" in text
    assert {file.name for file in tmp_path.iterdir()} == {"rows.csv", "table.csv", "table.md", "gap.png"}


def test_unconfounded_accuracy_is_that_of_the_runs_where_nothing_is_tied():
    where = {"modality": "chest", "confounder": "view", "encoder": "e", "method": "m", "concepts": 3.0, "seconds": 0.1}
    runs = [
        where | {"strength": strength, "seed": seed, "id": good, "ood": bad}
        for seed in (0, 1)
        for strength, good, bad in ((0.5, 0.8, 0.6), (1.0, 0.9, 0.3))
    ]
    row = shift_tables.summarise(pd.DataFrame(runs)).loc[("e", 1.0, "m")]
    assert row[["unconfounded", "gap", "average", "ood_half"]].tolist() == pytest.approx([0.7, 0.6, 0.6, 0.0])


def test_a_pool_comes_back_from_its_cache_as_it_was_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(phantom_pools, "CHUNK", 4)
    drawn = phantom_pools.draw_pool("skin", "archive", 8, {"toy": ToyEncoder()}, cache=tmp_path)
    read = phantom_pools.draw_pool("skin", "archive", 8, {}, cache=tmp_path)
    assert list(drawn.metadata["hospital"].unique()) == ["A", "B"]
    np.testing.assert_array_equal(read.embeddings["toy"], drawn.embeddings["toy"])
    pd.testing.assert_frame_equal(read.findings, drawn.findings)
    assert (read.metadata == drawn.metadata).all(axis=None)


@pytest.mark.parametrize(
    "model",
    [
        baselines.LinearProbe(),
        baselines.LinearProbe(sparse=True),
        baselines.LinearProbe(reweight=True),
        baselines.GroupDROProbe(),
        baselines.SparseHead(),
        baselines.LaBoHead(),
        baselines.KnoBoHead(epochs=300, rate=0.01),
        baselines.Bottleneck(Same(), baselines.SparseHead()),
        baselines.HybridBottleneck(Same(), baselines.SparseHead()),
    ],
    ids=lambda model: str(model)[:30],
)
def test_a_baseline_learns_what_is_plain_and_gives_probabilities(model):
    fitted = (model if hasattr(model, "layer") else clone(model)).fit(*blobs())
    X, y = blobs(seed=1)
    assert (fitted.predict(X) == y).mean() > 0.95
    np.testing.assert_allclose(fitted.predict_proba(X).sum(axis=1), 1)


@pytest.mark.parametrize(
    "told", [baselines.LinearProbe(reweight=True), baselines.GroupDROProbe()], ids=["weights", "dro"]
)
def test_probes_that_are_told_the_groups_do_better_on_the_worst_of_them(told):
    X, y, groups = tied()
    test_X, test_y, test_groups = tied(2000, minority=0.5, seed=1)
    validation = tied(seed=2)

    def worst(model):
        model.fit(X, y, groups=groups, validation=validation)
        right = model.predict(test_X) == test_y
        return min(right[test_groups == name].mean() for name in np.unique(test_groups))

    assert worst(told) > worst(baselines.LinearProbe()) + 0.1


def test_knobos_loop_is_pulled_to_the_literatures_signs():
    X, y = blobs()
    signs = np.zeros((3, 4))
    signs[:, 3] = 1, 0, -1  # of the value that is noise
    pulled = baselines.KnoBoHead(signs, prior_strength=20, rate=0.01).fit(X, y)
    free = baselines.KnoBoHead(rate=0.01).fit(X, y)
    assert pulled.coef_[0, 3] - pulled.coef_[2, 3] > free.coef_[0, 3] - free.coef_[2, 3] + 0.2


def test_labos_weights_are_shared_out_among_the_classes():
    head = baselines.LaBoHead(temperature=20.0).fit(*blobs())
    np.testing.assert_allclose(head.coef_.sum(axis=0), 20)


def test_concept_vectors_point_to_the_concept_and_skip_what_has_few_answers():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5))
    answers = pd.DataFrame({"seen": (X[:, 0] > 0).astype(float), "rare": np.r_[1.0, np.zeros(199)]})
    answers.loc[:20, "seen"] = np.nan
    vectors = baselines.ConceptVectors().fit(X, answers)
    assert list(vectors.names_) == ["seen"]
    assert np.corrcoef(vectors.transform(X)[:, 0], X[:, 0])[0, 1] > 0.98


def test_text_similarity_is_the_cosine_and_can_be_standardised():
    X, texts = np.array([[1.0, 0], [0, 2], [1, 1]]), np.array([[3.0, 0]])
    np.testing.assert_allclose(baselines.TextSimilarity(texts).fit(X).transform(X)[:, 0], [1, 0, 0.5**0.5])
    scaled = baselines.TextSimilarity(texts, standardise=True).fit(X).transform(X)
    assert (scaled.mean(), scaled.std()) == pytest.approx((0, 1))


def test_the_hybrid_reads_off_the_embedding_what_the_concepts_do_not_hold():
    X, y = blobs()

    class Blind:
        def transform(self, rows):
            return np.asarray(rows)[:, 3:]

    blind = baselines.Bottleneck(Blind(), baselines.SparseHead()).fit(X, y)
    hybrid = baselines.HybridBottleneck(Blind(), baselines.SparseHead()).fit(X, y)
    assert (hybrid.predict(X) == y).mean() > (blind.predict(X) == y).mean() + 0.3


def test_an_erased_column_is_told_by_chance_and_the_rest_stays():
    rng = np.random.default_rng(0)
    column, finding = rng.random(400) < 0.5, rng.random(400) < 0.5
    X = rng.normal(size=(400, 6)) + np.outer(3 * column, [1, 1, 0, 0, 0, 0]) + np.outer(3 * finding, [0, 0, 1, 0, 0, 0])
    Z = baselines.eraser(X[:200], [column[:200]])(X)
    accuracy = [LogisticRegression().fit(Z[:200], at[:200]).score(Z[200:], at[200:]) for at in (column, finding)]
    assert accuracy[0] < 0.6
    assert accuracy[1] > 0.85


def test_the_real_suite_compares_areas_in_domain_reversed_and_untied():
    rng = np.random.default_rng(0)
    n = 400
    sick, ap = np.arange(n) % 2 == 0, rng.random(n) < 0.5
    cases = pd.DataFrame(
        {
            "label": np.where(sick, "pneumonia", "no_finding"),
            "view": np.where(ap, "AP", "PA"),
            "patient_id": np.arange(n).astype(str),
        }
    )
    archive = pd.DataFrame({name: rng.integers(0, 2, 300) for name in shift_real.CONCEPTS})
    archive["view"] = rng.choice(["AP", "PA"], 300)

    def embedding(opaque, view):
        return np.column_stack([2 * opaque, 3 * view, rng.normal(size=len(view))]) + rng.normal(size=(len(view), 3))

    X = embedding(rng.random(n) < expit(4 * sick - 2), ap)
    archive_X = embedding(archive["infiltration"].to_numpy(), (archive["view"] == "AP").to_numpy())
    rows, quality = shift_real.compare(X, cases, archive_X, archive, 1, SIZES | {"n_train": 80, "n_test": 60})
    area = rows[rows["strength"] == 1].set_index("method")["ood"]
    assert area["literature's signs alone, view erased"] > area["linear probe"] + 0.2
    assert quality.loc["infiltration", "AUROC"] > 0.7
