"""The language model is a function here: what it is asked, and what becomes of its replies."""

import json

import numpy as np
import pytest

from knobo.bank import ConceptBank
from knobo.errors import InputError
from knobo.grounding import annotate_reports_with
from knobo.grounding.annotate_llm import FindingAnswer, ReportAnswers

BANK = ConceptBank.from_names(["mass", "nodule", "effusion"])
REPORTS = ["A mass. No nodule.", None, " ", "Effusion.", "A mass. No nodule."]


class Model:
    """Says yes to what the report names, no to what follows "No", and unknown otherwise."""

    def __init__(self):
        self.asked = []

    def __call__(self, texts, schema):
        assert schema is ReportAnswers
        self.asked += [json.loads(user) for _, user in texts]
        return [self.reply(json.loads(user)) for _, user in texts]

    def reply(self, question):
        report = question["report"].lower()
        return ReportAnswers(
            findings=[
                FindingAnswer(
                    id=item["id"],
                    answer="no"
                    if f"no {item['finding']}" in report
                    else ("yes" if item["finding"] in report else "unknown"),
                )
                for item in question["findings"]
            ]
        )


@pytest.mark.parametrize("batch", [1, 2, 50])
def test_answers_do_not_depend_on_the_batch(batch):
    table = annotate_reports_with(Model(), REPORTS, BANK, batch=batch)
    blank = [np.nan] * 3
    first = [1, 0, np.nan]
    np.testing.assert_equal(table.to_numpy(), [first, blank, blank, [np.nan, np.nan, 1], first])
    assert list(table.columns) == list(BANK.ids)


def test_findings_are_asked_together_and_equal_reports_once():
    model = Model()
    annotate_reports_with(model, REPORTS, BANK, batch=2)
    assert [(q["report"], [item["id"] for item in q["findings"]]) for q in model.asked] == [
        (report, ids) for report in ("A mass. No nodule.", "Effusion.") for ids in (["mass", "nodule"], ["effusion"])
    ]


def test_replies_that_are_missing_or_about_something_else_answer_nothing():
    def ask(texts, schema):
        stray = ReportAnswers(findings=[FindingAnswer(id="zebra", answer="yes")])
        return [stray, None][: len(texts)]

    table = annotate_reports_with(ask, ["A mass.", "A nodule."], BANK)
    assert table.isna().all(axis=None)


def test_unusable_input_is_named():
    with pytest.raises(InputError, match="got one string"):
        annotate_reports_with(Model(), "A mass.", BANK)
    with pytest.raises(InputError, match="Report 0 is int"):
        annotate_reports_with(Model(), [3], BANK)
    with pytest.raises(InputError, match="batch must be at least 1, got 0"):
        annotate_reports_with(Model(), ["a"], BANK, batch=0)
