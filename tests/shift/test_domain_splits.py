"""No patient is in two parts, labels are kept in proportion, and what cannot be split is named."""

import numpy as np
import pytest

from knobo.errors import InputError
from knobo.shift import leave_one_domain_out, patient_split


def make_cases(n=600, n_patients=120, seed=0):
    rng = np.random.default_rng(seed)
    patients = rng.integers(n_patients, size=n)
    y = np.where(rng.random(n) < 0.25, "sick", "well")
    return y, patients


def test_patients_stay_together_and_labels_in_proportion():
    y, patients = make_cases()
    split = patient_split(y, patients)
    owners = [set(patients[at]) for at in split.parts.values()]
    assert sum(map(len, owners)) == len(set.union(*owners)) == len(set(patients))
    assert sorted(np.concatenate(list(split.parts.values()))) == list(range(600))
    np.testing.assert_allclose(
        [len(split[name]) / 600 for name in ("train", "val", "test")], [0.6, 0.2, 0.2], atol=0.02
    )
    for at in split.parts.values():
        assert np.mean(y[at] == "sick") == pytest.approx(np.mean(y == "sick"), abs=0.04)
    assert split.counts.loc["val", "patients"] == len(owners[1])
    assert split.counts.drop(columns="patients").sum().to_dict() == {
        "sick": (y == "sick").sum(),
        "well": (y == "well").sum(),
    }


def test_parts_may_have_any_names_and_the_seed_decides():
    y, patients = make_cases()
    first, second, third = (patient_split(y, patients, shares={"a": 0.5, "b": 0.5}, random_state=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first["a"], second["a"])
    assert not np.array_equal(first["a"], third["a"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shares": {"a": 0.5, "b": 0.4}}, "shares are"),
        ({"groups": [1, 2]}, "4 labels but 2 groups"),
        ({"y": ["a", "a", "b", "a"]}, "would have no case of"),
        ({"y": []}, "y is empty"),
    ],
)
def test_unusable_split_is_named(change, message):
    with pytest.raises(InputError, match=message):
        patient_split(**{"y": ["a", "b", "a", "b"], "groups": [1, 2, 3, 4], **change})


def test_each_domain_is_held_out_once():
    y, patients = make_cases()
    domain = np.array(["A", "B", "C"])[patients % 3]
    splits = leave_one_domain_out(y, domain, groups=patients)
    assert [split.domain for split in splits] == ["A", "B", "C"]
    for split in splits:
        assert set(domain[split.test]) == {split.domain}
        assert split.domain not in domain[split.train]
        assert len(split.train) + len(split.test) == 600
        assert not len(split.dropped)


def test_patient_of_two_hospitals_is_not_trained_on():
    y = ["a", "b"] * 4
    split = leave_one_domain_out(y, ["H"] * 4 + ["K"] * 4, groups=[1, 2, 3, 4, 4, 5, 6, 7])[0]
    assert split.train.tolist() == [5, 6, 7]
    assert split.dropped.tolist() == [4]


def test_unusable_domains_are_named():
    with pytest.raises(InputError, match="domain holds 'H' only"):
        leave_one_domain_out(["a", "b"], ["H", "H"])
    with pytest.raises(InputError, match="Without domain 'K' there are 0 cases of 'b' to train on"):
        leave_one_domain_out(["a", "a", "a", "b"], ["H", "H", "K", "K"])
    with pytest.raises(InputError, match="2 labels but 3 entries in domain"):
        leave_one_domain_out(["a", "b"], ["H", "K", "K"])
