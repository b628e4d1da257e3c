import json

import numpy as np
import pandas as pd
import pytest
from activations_data import make_activations
from sklearn.linear_model import LogisticRegression

from knobo.errors import FileError, FormatError, InputTypeError, NotFittedError
from knobo.heads import ConceptHead, ConceptHeadCV, HybridHead, MultiLabelConceptHead, load_head, save_head

SIGNS = np.random.default_rng(0).integers(-1, 2, (4, 12))


@pytest.mark.parametrize(
    "head",
    [
        ConceptHead(0.01, prior="hard", prior_signs=SIGNS, concept_groups=np.arange(12) // 2),
        ConceptHead(0.01, prior_signs=SIGNS, class_weight={"a": 2.0}, max_concepts_per_class=np.int64(3)),
        ConceptHeadCV(alphas=3, cv=2),
        MultiLabelConceptHead(np.full(4, 0.01), prior_signs=SIGNS, prior_confidence=np.full((4, 12), 0.5)),
        HybridHead(9, head=ConceptHead(0.02)),
        HybridHead(9, head=ConceptHeadCV(alphas=3, cv=2)),
    ],
    ids=lambda head: type(head).__name__,
)
def test_loaded_head_predicts_the_same(head, tmp_path, four_classes):
    A, y = four_classes
    table = pd.DataFrame(A, columns=[f"finding {j}" for j in range(12)])
    head.fit(table, np.array(["a", "b", "c", "d"])[y])
    again = load_head(save_head(head, tmp_path / "head"))
    np.testing.assert_array_equal(again.predict_proba(table), head.predict_proba(table))
    np.testing.assert_array_equal(again.predict(table), head.predict(table))
    assert list(again.feature_names_in_) == list(table.columns)


def test_loaded_head_can_be_fitted_again(tmp_path, four_classes):
    A, y = four_classes
    head = ConceptHead(0.01, prior="shrink", prior_signs=SIGNS, class_weight={0: 2.0, 3: 0.5}).fit(A, y)
    again = load_head(save_head(head, tmp_path / "head"))
    assert again.prior_conflicts().equals(head.prior_conflicts())
    np.testing.assert_array_equal(again.fit(A, y).coef_, head.coef_)


def test_labels_and_their_gaps_survive(tmp_path):
    A, y = make_activations(100, 6, 3)
    Y = pd.DataFrame(np.column_stack([y == 0, y == 1]).astype(float), columns=["effusion", "nodule"])
    Y.iloc[:10, 0] = np.nan
    head = MultiLabelConceptHead([0.01, 0.02]).fit(A, Y)
    again = load_head(save_head(head, tmp_path / "head"))
    assert list(again.classes_) == ["effusion", "nodule"]
    assert again.multilabel_
    assert again.score(A, Y) == head.score(A, Y)
    np.testing.assert_array_equal(again.fit(A, Y).coef_, head.coef_)


def test_hybrid_keeps_its_share(tmp_path, two_classes):
    head = HybridHead(9).fit(*two_classes)
    again = load_head(save_head(head, tmp_path / "head"))
    pd.testing.assert_series_equal(again.residual_share_, head.residual_share_)
    np.testing.assert_array_equal(again.split_logits(two_classes[0])[1], head.split_logits(two_classes[0])[1])


def test_other_estimators_and_unfitted_heads_are_refused(tmp_path, two_classes):
    with pytest.raises(InputTypeError, match=r"keeps ConceptHead, MultiLabelConceptHead, HybridHead .* got Logistic"):
        save_head(LogisticRegression().fit(*two_classes), tmp_path / "head")
    with pytest.raises(NotFittedError, match="not fitted yet"):
        save_head(HybridHead(3), tmp_path / "head")
    assert not (tmp_path / "head").exists()


def test_broken_folder_is_named(tmp_path, two_classes):
    with pytest.raises(FileError):
        load_head(tmp_path / "nothing")
    folder = save_head(ConceptHead().fit(*two_classes), tmp_path / "head")
    document = json.loads((folder / "head.json").read_text())
    (folder / "head.json").write_text(json.dumps({**document, "kind": "os.system"}))
    with pytest.raises(FormatError, match=r"head.json does not describe a head: KeyError at 'os.system'"):
        load_head(folder)
    (folder / "head.json").write_text(json.dumps({**document, "n_features": 5}))
    with pytest.raises(FormatError, match="for 5 concepts"):
        load_head(folder)
