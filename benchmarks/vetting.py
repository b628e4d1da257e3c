"""What it costs to vet candidate concepts with a language model: knobo's batches beside one call a question.

    python benchmarks/vetting.py [--candidates 300] [--concepts 150] [--delay 0.05]

The model is scripted (tests/knowledge/scripted_model.py, so the test extra is needed): a server on this machine that
knows each verdict beforehand. Agreement of verdicts therefore shows only that batching and parsing lose nothing; how
often a real model changes its mind when it sees 50 candidates instead of one is not measured here. The "sloppy" model
knows the same, but wraps its JSON in talk, mixes the order, leaves every seventh candidate of a batch out and adds one
that was not asked for. Tokens are characters / 4.

Four fifths of the candidates are visible, one in twenty is not borne out by its sentence, one in ten means the same as
the one before it. The sequential ways stand for the KnoBo study's generator as issue 3 describes it, with prompts
written here, not its own: for each candidate one call whether it is visible and one whether it is unique beside the
accepted ones, each after the other. It asks nothing about the sentence. "One by one" is knobo's own prompt with one
candidate a call.

- Verdicts: the same candidates, batched, one by one, and by two calls each.
- Groundability: a synthetic answer for each of 100 reports; a concept is kept if the rarer answer comes at least ten
  times. How many answers are read until the verdict is sure, and whether it is that of all 100. Counted without a
  server. (knobo's own report annotator is rules, and needs no call.)
- Bank: from a synthetic corpus of 400 passages until the bank holds as many concepts as asked for. Sequential: a call of
  proposals for each query (20 passages), then two calls for each new candidate. Both ways get the same corpus, index
  and passages a query. The prior comes on top for knobo and is left out of the sequential way, whose calls for it are
  not known. Seconds in a row: longest chain of calls that wait for each other, from a second run with --delay seconds
  a call: (seconds with - seconds without) / delay. A rerun takes every answer from the cache.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter, deque
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from knobo.knowledge import ConceptLinker, Passage, build_bank
from knobo.knowledge.bm25 import Bm25Index
from knobo.knowledge.filters import Verdict, same_words
from knobo.knowledge.llm import LanguageModel, Prompt
from knobo.knowledge.prompting import Asker, encode, read_template, show
from knobo.knowledge.propose import Proposal
from knobo.knowledge.propose_llm import _ProposeReply
from knobo.knowledge.verdicts import ask_verdicts, is_groundable

sys.path.append(str(Path(__file__).parents[1] / "tests" / "knowledge"))
import scripted_model

LETTERS = "abcdefghijklmnopqrst"
CODES = [a + b + "q" for a in LETTERS for b in LETTERS]
NUMBER = {code: i for i, code in enumerate(CODES)}
CLASSES = {
    "pneumonia": "pneumonia",
    "heart_failure": "heart failure",
    "copd": "chronic obstructive pulmonary disease",
    "lung_cancer": "lung cancer",
    "pneumothorax": "pneumothorax",
}
MODALITY = "chest-xray"
VISIBLE = "Can this finding be seen in a chest x-ray image? Answer true or false.\nFinding: "
UNIQUE = "Does this finding mean something that is not in the list? Answer true or false.\nFinding: "


class YesNo(BaseModel):
    answer: bool


# ---- what the scripted model knows


def name_of(i):
    return f"opacity number {CODES[i]}"


def number_of(name):
    return NUMBER[name.split()[-1]]


def is_seen(i):
    return i % 5 != 2


def is_borne_out(i):
    return i % 20 != 7


def twin_of(i):
    """Name of the candidate that means the same, or None."""
    return name_of(i - 1) if i % 10 == 9 else None


def judge(user):
    """Verdicts for the candidates of knobo's prompt."""
    known = set(json.loads(re.search(r"^Known findings: (.*)$", user, re.MULTILINE)[1]))
    verdicts = []
    for row in scripted_model.rows_of(user):
        i = number_of(row["name"])
        same = twin_of(i) if twin_of(i) in known else None
        verdicts.append({"number": row["number"], "visible": is_seen(i), "entailed": is_borne_out(i), "same_as": same})
        known.add(row["name"])
    return verdicts


def answer(user):
    """Reply of the careful model."""
    if user.startswith(VISIBLE):
        return json.dumps({"answer": is_seen(number_of(user))})
    if user.startswith(UNIQUE):
        name, known = re.search(r"Finding: (.*)\nList: (.*)", user).groups()
        return json.dumps({"answer": twin_of(number_of(name)) not in json.loads(known)})
    if scripted_model.kind_of(user) == "judge":
        return json.dumps({"verdicts": judge(user)})
    return scripted_model.answer(user)


def sloppy(user):
    """The same knowledge, badly delivered."""
    if user.startswith((VISIBLE, UNIQUE)) or scripted_model.kind_of(user) != "judge":
        return answer(user)
    verdicts = judge(user)
    if len(verdicts) > 1:
        verdicts = [v for i, v in enumerate(verdicts) if i % 7 != 3]
        random.Random(len(user)).shuffle(verdicts)
        verdicts.append({"number": 10_000, "visible": True, "entailed": True, "same_as": None})
    return f"Here are my verdicts:\n```json\n{json.dumps({'verdicts': verdicts}, indent=1)}\n```\nAnything else?"


# ---- the ways


def two_calls(model, name, accepted):
    """Whether a candidate is visible and unique; one call after the other."""
    for question in (VISIBLE + name, f"{UNIQUE}{name}\nList: {encode(accepted)}"):
        (reply,) = model.ask([Prompt(system="You are a radiologist.", user=question, version="1")], YesNo)
        if not reply.value.answer:
            return False
    return True


def always_two_calls(model, name, accepted):
    """The same, but the second call is made whatever the first gives."""
    prompts = (VISIBLE + name, f"{UNIQUE}{name}\nList: {encode(accepted)}")
    asked = [model.ask([Prompt(system="You are a radiologist.", user=user, version="1")], YesNo) for user in prompts]
    return all(reply.value.answer for (reply,) in asked)


def settled(proposals, verdicts):
    """Accepted or the reason, in order, as the builder settles it: a twin counts only if it was accepted."""
    accepted, results = set(), []
    for proposal, verdict in zip(proposals, verdicts, strict=True):
        twin = bool(verdict.same_as) and same_words(verdict.same_as) in accepted
        results.append(verdict.reason or ("the same as another" if twin else "accepted"))
        if results[-1] == "accepted":
            accepted.add(same_words(proposal.name))
    return results


def batched(model, proposals):
    return settled(proposals, ask_verdicts(Asker(model, MODALITY), proposals, []))


def one_by_one(model, proposals):
    asker, accepted, verdicts = Asker(model, MODALITY), [], []
    for proposal in proposals:
        (verdict,) = ask_verdicts(asker, [proposal], accepted)
        verdicts.append(verdict)
        if verdict.ok and not verdict.same_as:
            accepted.append(proposal.name)
    return settled(proposals, verdicts)


def by_two_calls(model, proposals):
    accepted, results = [], []
    for proposal in proposals:
        ok = always_two_calls(model, proposal.name, accepted)
        results.append("accepted" if ok else "refused")
        accepted += [proposal.name] if ok else []
    return results
