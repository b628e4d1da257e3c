"""scikit-learn's own checks, all of them."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from knobo.heads import ConceptHead, ConceptHeadCV, HybridHead, MultiLabelConceptHead


@parametrize_with_checks(
    [
        ConceptHead(),
        ConceptHead(alpha=0.001, l1_ratio=0.0, class_weight="balanced"),
        ConceptHead(prior="tanh"),
        ConceptHead(max_concepts_per_class=2),
        ConceptHeadCV(alphas=5, cv=3),
        ConceptHeadCV(alphas=[0.1, 0.01], rule="1se", l1_ratio=0.5),
        MultiLabelConceptHead(),
        MultiLabelConceptHead(l1_ratio=0.0, class_weight="balanced"),
        HybridHead(n_concepts=1),
    ]
)
def test_passes_every_check(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # else the check of array API input is skipped
    check(estimator)
