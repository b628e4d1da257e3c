import numpy as np
import pytest

from knobo.bank import Concept
from knobo.errors import InputError
from knobo.grounding import select_reports

CONCEPT = Concept(id="effusion", name="pleural effusion", question="?", synonyms=("fluid in the pleural space",))
REPORTS = ["The heart is large."] * 40 + ["Small effusions.", "Pleural effusion.", None, " "] + ["Clear lungs."] * 40


def test_half_is_relevant_and_half_is_not():
    chosen = select_reports(REPORTS, CONCEPT, 4, random_state=0)
    assert list(chosen[:2]) == [41, 40]
    assert len(set(chosen)) == 4
    assert not {42, 43} & set(chosen)


def test_where_few_are_relevant_the_rest_is_random_and_repeats_with_the_seed():
    first, again, other = (select_reports(REPORTS, CONCEPT, 20, random_state=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)
    assert len(set(first)) == 20
    assert set(first[:2]) == {40, 41}


def test_all_are_returned_when_there_are_no_more():
    assert sorted(select_reports(REPORTS, CONCEPT, 500, random_state=0)) == [i for i in range(84) if i not in (42, 43)]


def test_unusable_input_is_named():
    with pytest.raises(InputError, match="n must be at least 1, got 0"):
        select_reports(REPORTS, CONCEPT, 0)
    with pytest.raises(InputError, match="No report has a text"):
        select_reports([None, ""], CONCEPT, 1)
