"""What it costs to vet candidate concepts with a language model: knobo's batches beside one call a question.

    python benchmarks/vetting.py [--candidates 300] [--concepts 150] [--delay 0.5]

The model is scripted (tests/knowledge/scripted_model.py, so the test extra is needed): a server on this machine that
knows each verdict beforehand. Agreement of verdicts therefore shows only that batching and parsing lose nothing; how
often a real model changes its mind when it sees 50 candidates instead of one is not measured here. The "sloppy" model
knows the same, but wraps its JSON in talk, mixes the order, leaves every seventh candidate of a batch out and adds one
that was not asked for. Tokens are characters / 4; a reply is cut at the 4,096 tokens that knobo asks for at most.

Four fifths of the candidates are visible, one in twenty is not borne out by its sentence, and two in ten are twins that
mean the same. The sequential ways stand for the KnoBo study's generator as issue 3 describes it, with prompts
written here, not its own: for each candidate one call whether it is visible and one whether it is unique beside the
accepted ones, each after the other. It asks nothing about the sentence. "One by one" is knobo's own prompt with one
candidate a call.

- Verdicts: the same candidates, batched, one by one, and by two calls each.
- Groundability: a synthetic answer for each of 100 reports; a concept is kept if the rarer answer comes at least ten
  times. How many answers are read until the verdict is sure, and whether it is that of all 100. Counted without a
  server. (knobo's own report annotator is rules, and needs no call.)
- Bank: from a synthetic corpus of 400 passages until the bank holds as many concepts as asked for. Sequential: a call
  of proposals for each query (20 passages), then two calls for each new candidate. Both ways get the same corpus and
  the same number of passages a query. The prior comes on top for knobo and is left out of the sequential way, whose
  calls for it are not known. In a row: the longest chain of calls that wait for each other, from a second run in which
  each call takes --delay seconds longer: (seconds with - seconds without) / delay. A rerun is to ask nothing.
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
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from knobo.knowledge import ConceptLinker, Passage, build_bank
from knobo.knowledge.bm25 import Bm25Index
from knobo.knowledge.filters import same_words
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
    "tuberculosis": "tuberculosis",
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
    return i % 20 != 6


def twin_of(i):
    """Name of the candidate that means the same, or None."""
    return {5: name_of((i + 1) % len(CODES)), 6: name_of(i - 1)}.get(i % 10)


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


class Limited(scripted_model.ScriptedHandler):
    """Cuts a reply at the longest that the request allows, as real servers do."""

    def do_scripted(self, body, text, reply):
        content, longest = reply(text), 4 * body["max_tokens"]
        sent = sum(len(message["content"]) for message in body["messages"])
        whole, content = len(content) <= longest, content[:longest]
        self.reply(content, text, finish="stop" if whole else "length", n_prompt=sent // 4, n_reply=len(content) // 4)


@contextmanager
def serve(reply):
    """A scripted server that answers by ``reply``."""
    with scripted_model.serve(reply) as server:
        server.RequestHandlerClass = Limited
        yield server


# ---- the ways


def two_calls(model, name, accepted):
    """Whether a candidate is visible and unique; the second call is made whatever the first gives."""
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
        ok = two_calls(model, proposal.name, accepted)
        results.append("accepted" if ok else "refused")
        accepted += [proposal.name] if ok else []
    return results


WAYS = {"batched": batched, "one by one": one_by_one, "two calls each": by_two_calls}


def candidates(n, seed=0):
    """Proposals in a random order in which twins lie near each other, as those of one passage do."""
    rng = random.Random(seed)
    numbers = sorted(range(n), key=lambda i: i + rng.uniform(0, 20))
    return [Proposal(name_of(i), name_of(i), f"p:{i}", f"The {name_of(i)} is seen in pneumonia.") for i in numbers]


def make_corpus():
    """One passage for each name; it states that and two others."""
    diseases, passages = list(CLASSES.values()), []
    for i in range(len(CODES)):
        one, two = (name_of((i + step) % len(CODES)) for step in (1, 57))
        text = f"In {diseases[i % 5]} the {name_of(i)} is seen with the {one} and the {two}. "
        passages.append(Passage(f"p:{i}", "synthetic", "T", text + "It is described. " * 40))
    return passages


def build_one_at_a_time(model, passages, n_concepts, k=20):
    """Names of the accepted concepts, and the number of candidates that were judged; no call overlaps another."""
    index, template = Bm25Index.build(passages), read_template("propose")
    queue = deque(f"{name} chest radiograph sign" for name in CLASSES.values())
    accepted, seen = [], set()
    while queue and len(accepted) < n_concepts:
        hits = [hit.passage for hit in index.search(queue.popleft(), k)]
        fields = {"modality": "chest x-ray", "classes": encode(list(CLASSES.values())), "passages": show(hits)}
        (reply,) = model.ask([template.fill(fields)], _ProposeReply)
        for name in dict.fromkeys(item.name for item in reply.value.concepts):
            if same_words(name) in seen or len(accepted) >= n_concepts:
                continue
            seen.add(same_words(name))
            if two_calls(model, name, accepted):
                accepted.append(name)
                queue.append(name)
    return accepted, len(seen)


# ---- tables


def timed(function, *arguments, **options):
    start = time.perf_counter()
    result = function(*arguments, **options)
    return result, time.perf_counter() - start


def share_of_equal(first, second):
    return np.mean([a == b for a, b in zip(first, second, strict=True)])


def show_verdicts(n):
    """Agreement is with knobo's own prompt, one candidate a call, and the careful model."""
    print(f"Verdicts on {n} candidates; agreement with one by one, careful model")
    print("model    way              calls   tokens  calls a candidate  same verdict  same decision")
    proposals, results = candidates(n), {}
    for label, reply in (("careful", answer), ("sloppy", sloppy)):
        for way, judged in WAYS.items():
            with serve(reply) as server:
                found = judged(LanguageModel("scripted", base_url=server.url), proposals)
                results[label, way] = (found, server.n_calls, server.tokens)
    truth = results["careful", "one by one"][0]
    for (label, way), (found, calls, tokens) in results.items():
        same = "" if way == "two calls each" else f"{share_of_equal(found, truth):.3f}"
        decision = share_of_equal([x == "accepted" for x in found], [x == "accepted" for x in truth])
        print(f"{label:8s} {way:15s} {calls:6d} {tokens:8d} {calls / n:18.2f} {same:>13s} {decision:14.3f}")
        odd = Counter((b, a) for a, b in zip(found, truth, strict=True) if (a == "accepted") != (b == "accepted"))
        for (right, given), count in odd.items():
            print(f"             {count} of them: {right!r} one by one, here {given!r}")
    print("one by one:", ", ".join(f"{count} {reason}" for reason, count in Counter(truth).most_common()))


def read_until_sure(answers, n_total):
    """Verdict of ``is_groundable``, and how many answers it took."""
    n_read = 0

    def counted():
        nonlocal n_read
        for value in answers:
            n_read += 1
            yield value

    return is_groundable(counted(), n_total), n_read


def show_groundability(n_concepts, n_reports=100, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for share in np.geomspace(0.005, 0.6, n_concepts):
        answers = (rng.random(n_reports) < share).tolist()
        rows.append((share, *read_until_sure(answers, n_reports), 10 <= sum(answers) <= n_reports - 10))
    print(f"\nGroundability of {n_concepts} concepts on {n_reports} reports each")
    print('share of "yes"  concepts  answers read  kept')
    for low, high in ((0, 0.05), (0.05, 0.2), (0.2, 1.0), (0, 1.0)):
        part = [row for row in rows if low <= row[0] < high]
        n_kept = sum(row[1] for row in part)
        print(f"{low:4.2f} to {high:4.2f} {len(part):11d} {np.mean([row[2] for row in part]):13.1f} {n_kept:5d}")
    same = np.mean([row[1] == row[3] for row in rows])
    print(f"same verdict as after all answers: {same:.3f} of the concepts")


def build_batched(server, n_concepts, cache, linker):
    model = LanguageModel("scripted", base_url=server.url, cache=cache)
    options = {"modality": MODALITY, "linker": linker, "model": model, "n_concepts": n_concepts}
    return build_bank(tuple(CLASSES), make_corpus(), **options), model


def show_bank(n_concepts, delay):
    print(f"\nA bank of {n_concepts} concepts")
    linker = ConceptLinker.load("open", engine="knobo")
    with tempfile.TemporaryDirectory() as scratch:
        with serve(answer) as server:
            (bank, model), seconds = timed(build_batched, server, n_concepts, f"{scratch}/a", linker)
            kinds = Counter(scripted_model.kind_of(text) for text in server.calls.elements())
            calls, tokens, longest = server.n_calls, server.tokens, model.ledger.to_frame()["completion_tokens"].max()
            again, _ = build_batched(server, n_concepts, f"{scratch}/a", linker)
            n_rerun = server.n_calls - calls
        with serve(lambda user: time.sleep(delay) or answer(user)) as server:
            _, slower = timed(build_batched, server, n_concepts, f"{scratch}/b", linker)
    with serve(answer) as server:
        model = LanguageModel("scripted", base_url=server.url)
        (accepted, n_judged), _ = timed(build_one_at_a_time, model, make_corpus(), n_concepts)
        there, there_tokens = server.n_calls, server.tokens
    print("way            concepts  calls  in a row  calls a concept   tokens  tokens a concept")
    rows = (
        ("knobo", len(bank), calls, (slower - seconds) / delay, tokens),
        ("one at a time", len(accepted), there, there, there_tokens),
    )
    for way, n, n_calls, chain, n_tokens in rows:
        print(f"{way:14s} {n:8d} {n_calls:6d} {chain:9.0f} {n_calls / n:16.2f} {n_tokens:8d} {n_tokens / n:17.0f}")
    print(f"knobo's calls: {dict(kinds)}; longest reply {longest} tokens; rerun: {n_rerun}; same: {again == bank}")
    print(f"one at a time: {there - 2 * n_judged} calls of proposals and 2 for each of {n_judged} candidates")
    common = {same_words(concept.name) for concept in bank} & {same_words(name) for name in accepted}
    print(f"{len(common)} concepts are in both banks")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=300, help="at most 400")
    parser.add_argument("--concepts", type=int, default=150)
    parser.add_argument("--delay", type=float, default=0.5, help="seconds")
    args = parser.parse_args()
    if not 1 <= args.candidates <= len(CODES):
        parser.error(f"--candidates must be 1 to {len(CODES)}")
    os.environ["NO_PROXY"] = "127.0.0.1"
    show_verdicts(args.candidates)
    show_groundability(args.concepts)
    show_bank(args.concepts, args.delay)


if __name__ == "__main__":
    main()
