"""The card of a bank says what the bank holds and no more, and nothing in a bank can break its Markdown."""

import pytest

from knobo.bank import Concept, ConceptBank, Evidence, PriorSign, load_bank
from knobo.bank_card import bank_card


def cited(n, **changes):
    given = {"passage_id": f"p:{n}", "source": "A textbook", "title": "T", "sentence": f"Sentence {n}."}
    return Evidence(**given | changes)


@pytest.fixture
def bank():
    concepts = (
        Concept(id="a", name="a", question="Is there fluid?", cui="C0000001", evidence=(cited(1, verified=True),)),
        Concept(id="b", name="b", question="Is the heart large?", evidence=(cited(2, licence="CC BY 4.0"), cited(3))),
        Concept(id="c", name="c", question="Are there nodules?"),
    )
    prior = (
        PriorSign(class_name="Heart failure", concept_id="a", sign=1, confidence=1.0, evidence=(cited(1), cited(4))),
        PriorSign(class_name="heart_failure", concept_id="c", sign=-1, confidence=1.0),
    )
    rejected = [
        {"name": "ghost", "reason": "the sentence does not stand in the passage", "passage_id": "p:1"},
        {"name": "big heart", "reason": "the same as cardiomegaly, says the model", "passage_id": "p:2"},
        {"name": "wide heart", "reason": "the same as enlarged heart, says the model", "passage_id": "p:2"},
    ]
    model = {"model": "m-1", "prompts": {"propose": "7"}, "calls": {"propose": 3}}
    provenance = {"corpus_hash": "abc", "language_model": model, "rejected": rejected}
    classes = ("heart_failure", "normal")
    return ConceptBank(concepts=concepts, classes=classes, modality="chest-xray", prior=prior, provenance=provenance)


@pytest.mark.parametrize(
    "line",
    [
        "# Concept bank: chest-xray",
        "| concepts | 3 |",
        "| with a UMLS identifier | 1 |",
        "| with evidence | 2 |",
        "| different sentences | 4 |",
        "| of these found in their passage | 1 |",
        "| A textbook | not stated | 3 |",
        "| A textbook | CC BY 4.0 | 1 |",
        "| CC BY 4.0 | 1 |",
        r"| heart\_failure | 1 | 1 | 2 |",
        "| normal | 0 | 0 | 0 |",
        "The other 4 pairs of a class and a concept are unknown and have no influence.",
        "| corpus hash | abc |",
        "| language model: model | m-1 |",
        "| language model: prompts: propose | 7 |",
        "| language model: calls: propose | 3 |",
        "3 candidates were rejected, each kept in the bank with its reason:",
        "| the same as …, says the model | 2 | big heart, wide heart |",
        "- 1 concepts cite no sentence.",
        "- 1 classes have no prior sign.",
        "- Research software, not a medical device: the bank must not be used to care for a patient.",
    ],
)
def test_the_card_states(bank, line):
    assert line in bank_card(bank).splitlines()


def test_nothing_is_called_reviewed_that_the_bank_does_not_say(bank):
    assert "No one yet." in bank_card(bank)
    reviewed = bank.model_copy(update={"provenance": {"reviewed_by": ["A. Reader, signs only, 2026"]}})
    assert "- A. Reader, signs only, 2026" in bank_card(reviewed).splitlines()
    assert "No one yet." not in bank_card(reviewed)


def test_a_bank_of_names_alone_has_a_card():
    card = bank_card(ConceptBank.from_names(["nodule"]))
    assert "The bank cites no sentence." in card
    assert "The bank holds no prior" in card
    assert "The bank does not say how it was made." in card


def test_a_merged_bank_tells_of_each_of_its_banks(bank):
    other = bank.model_copy(update={"provenance": {"corpus_hash": "xyz"}})
    card = bank_card(bank.merge(other))
    assert card.index("### Bank 1") < card.index("| corpus hash | abc |")
    assert card.index("### Bank 2") < card.index("| corpus hash | xyz |")


def test_a_source_cannot_write_into_the_card(bank):
    source = "Evil | 99 |\n# Heading <script>alert(1)</script> [link](http://x) `code`"
    hostile = bank.concepts[0].model_copy(update={"evidence": (cited(9, source=source),)})
    card = bank_card(bank.model_copy(update={"concepts": (hostile, *bank.concepts[1:])}))
    assert "<script>" not in card
    assert r"| Evil \| 99 \| \# Heading &lt;script&gt;alert(1)&lt;/script&gt; \[link\](http://x) \`code\` |" in card


@pytest.mark.parametrize("value", [5, "text", {"a": 1}, None])
def test_a_provenance_written_by_hand_does_not_break_the_card(bank, value):
    provenance = dict.fromkeys(("rejected", "reviewed_by", "classes_without_passages", "merged_from"), value)
    assert "## Limits" in bank_card(bank.model_copy(update={"provenance": provenance}))


@pytest.mark.parametrize("name", ["chest-xray", "skin-lesion"])
def test_the_shipped_banks_have_cards(name):
    shipped = load_bank(name)
    card = bank_card(shipped)
    assert f"| concepts | {len(shipped)} |" in card
    assert f"{len(shipped.provenance['rejected'])} candidates were rejected" in card
    assert card == bank_card(shipped)
