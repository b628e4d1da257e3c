import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from knobo.bank import Concept, ConceptBank, PriorSign
from knobo.knowledge.kb import KnowledgeBase


@pytest.fixture(scope="module")
def banks():
    path = Path(__file__).parents[1] / "benchmarks" / "banks.py"
    spec = importlib.util.spec_from_file_location("benchmark_banks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def kb():
    return KnowledgeBase.read()


CONCEPTS = (
    Concept(id="pleural-effusion", name="pleural effusion", question="?", synonyms=("fluid in the pleural space",)),
    Concept(id="consolidation", name="consolidation", question="?"),
)


@pytest.mark.parametrize(
    ("question", "how", "ids"),
    [
        ("Is there evidence of pleural effusions on the chest X-ray?", "equals", {"pleural-effusion"}),
        ("Can fluid be seen in the pleural space?", "", set()),  # "be seen" stands inside the wording
        ("Is there fluid in the pleural space?", "equals", {"pleural-effusion"}),
        ("Is there a large pleural effusion?", "holds", {"pleural-effusion"}),
        ("Is there consolidation or pleural effusion?", "holds", {"pleural-effusion", "consolidation"}),
        ("Is the heart enlarged?", "", set()),
    ],
)
def test_a_counterpart_equals_a_concept_only_if_nothing_else_is_said(banks, question, how, ids):
    found, mentions = banks.counterpart(question, banks.finder_of(CONCEPTS))
    assert (found, {mention.entry_id for mention in mentions}) == (how, ids)


def test_class_names_of_the_same_entry_are_one_and_leak(banks, kb):
    classes = banks.resolve(["Normal", "NORMAL", "nevus", "melanocytic nevi", "COVID"], kb)
    assert len(classes) == 3
    named = ["Does it look like a nevus?", "Are there signs of Covid-19?"]
    assert banks.leaks([*named, "Is the heart of normal size?", "Is there a veil?"], classes) == named


def test_diversity_is_nought_for_repeats_and_one_without_a_common_word(banks):
    rng = np.random.default_rng(0)
    assert banks.diversity(np_rows([1, 0], [1, 0], [0, 1], [0, 1]), 4, rng)[0] == pytest.approx(0)
    assert banks.diversity(np_rows([1, 0, 0], [0, 1, 0], [0, 0, 1]), 2, rng)[0] == pytest.approx(1)
    half = banks.largest_cosines(np_rows([1, 0], [0.6, 0.8]))
    assert half == pytest.approx([0.6, 0.6])


def np_rows(*rows):
    from scipy.sparse import csr_matrix

    return csr_matrix(np.array(rows, dtype=float))


def test_kappa_is_that_of_scikit_learn(banks):
    pairs = [(1, 1), (1, -1), (-1, -1), (-1, -1), (1, 1), (-1, 1), (1, 1)]
    assert banks.kappa(pairs) == pytest.approx(cohen_kappa_score(*zip(*pairs, strict=True)))
    assert np.isnan(banks.kappa([(1, 1), (1, 1)]))


def test_pairs_need_one_stated_concept_a_class_of_ours_and_a_sign(banks, kb):
    signs = (PriorSign(class_name="pneumonia", concept_id="consolidation", sign=1, confidence=0.5),)
    bank = ConceptBank(concepts=CONCEPTS, classes=("pneumonia",), modality="chest-xray", prior=signs)
    questions = [
        "Is there consolidation?",
        "Is there no consolidation?",
        "Is there consolidation or pleural effusion?",
        "Is there pleural effusion?",
    ]
    answers = {
        "concepts": questions,
        "classes": ["PNEUMONIA", "Nodule/Mass", "Cardiomegaly"],
        "answers": [["no", "yes", "yes", "yes"]] * 3,
    }
    (row,) = banks.matched_pairs(bank, answers, kb)
    assert row[:6] == ("PNEUMONIA", "pneumonia", "Is there consolidation?", "consolidation", "equals", -1)


def test_their_names_of_one_class_are_compared_with_each_other(banks, kb):
    answers = {"classes": ["Normal", "NORMAL", "COVID"], "answers": [["yes", "no"], ["yes", "yes"], ["no", "no"]]}
    assert list(banks.themselves(answers, kb)) == [("Normal, NORMAL", 0.5)]
