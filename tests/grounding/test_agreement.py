import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score

from knobo.errors import InputError
from knobo.grounding import annotation_agreement


def test_it_equals_scikit_learn_on_cells_that_both_answer():
    rng = np.random.default_rng(0)
    a = pd.DataFrame(rng.choice([0, 1, np.nan], (200, 3)), columns=["x", "y", "z"])
    b = a.where(rng.random((200, 3)) < 0.7, rng.choice([0, 1, np.nan], (200, 3)))
    table = annotation_agreement(a, b[["z", "y", "x"]])
    assert list(table.index) == ["x", "y", "z"]
    for concept, row in table.iterrows():
        both = a[concept].notna() & b[concept].notna()
        x, y = a[concept][both], b[concept][both]
        assert row["n"] == both.sum()
        assert row["only_a"] == (a[concept].notna() & b[concept].isna()).sum()
        assert row["only_b"] == (a[concept].isna() & b[concept].notna()).sum()
        np.testing.assert_allclose(
            [row["agreement"], row["kappa"], row["f1"]],
            [(x == y).mean(), cohen_kappa_score(x, y), f1_score(y, x)],
        )


def test_what_cannot_be_said_is_missing():
    a = pd.DataFrame({"never": [np.nan, 1.0], "same": [0.0, 0.0]})
    b = pd.DataFrame({"never": [1.0, np.nan], "same": [0.0, 0.0]})
    table = annotation_agreement(a, b)
    assert list(table["n"]) == [0, 2]
    assert table["kappa"].isna().all()
    assert table["f1"].isna().all()
    np.testing.assert_equal(table["agreement"].to_numpy(), [np.nan, 1.0])


def test_unusable_tables_are_named():
    a = pd.DataFrame({"x": [1.0, 0.0]})
    with pytest.raises(InputError, match="different rows"):
        annotation_agreement(a, a.head(1))
    with pytest.raises(InputError, match="no concept in common"):
        annotation_agreement(a, a.rename(columns={"x": "y"}))
    with pytest.raises(InputError, match="'x' has the answer 2"):
        annotation_agreement(a, a + 1)
    with pytest.raises(InputError, match="'x' has the answer 'yes'"):
        annotation_agreement(a, a.astype(object).replace(1.0, "yes"))
