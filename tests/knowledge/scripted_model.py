"""A "language model" that reads the prompts of knobo and answers by rules, the same on every run."""

import json
import re
from contextlib import contextmanager

import llm_server

from knobo.knowledge.kb import KnowledgeBase
from knobo.knowledge.mentions import MentionFinder
from knobo.knowledge.text import split_sentences

OWN = re.compile(r"\b(?:willow-leaf pattern|crow-foot shadow|opacity number [a-z]+)\b", re.IGNORECASE)
_ENTRIES = [e for e in KnowledgeBase.read() if e.kind != "disease" and e.modality in ("", "chest-xray")]
_NAMES = {entry.id: entry.name for entry in _ENTRIES}
_FINDER = MentionFinder(_ENTRIES)


def rows_of(user):
    """The data block of a prompt."""
    return [json.loads(line) for line in re.search(r"<data>\n(.*)\n</data>", user, re.DOTALL)[1].splitlines()]


def kind_of(user):
    return (
        "propose"
        if "sentence of that passage that names the finding, copied" in user
        else ("judge" if "Give one verdict for every candidate" in user else "prior")
    )


def findings(sentence):
    """Names of the findings in a sentence, with whether it denies them."""
    found = [(_NAMES[m.entry_id], m.polarity) for m in _FINDER.find(sentence)]
    return found + [(m.group().lower(), "asserted") for m in OWN.finditer(sentence)]


def propose(user):
    return {
        "concepts": [
            {"name": name, "question": f"Is there a {name}?", "passage_id": row["id"], "sentence": sentence}
            for row in rows_of(user)
            for sentence in split_sentences(row["text"])
            for name, _ in findings(sentence)
        ]
    }


def judge(user):
    return {
        "verdicts": [
            {"number": row["number"], "visible": True, "entailed": row["name"] != "crow-foot shadow", "same_as": None}
            for row in rows_of(user)
        ]
    }


def prior(user):
    disease = json.loads(re.search(r"The diagnosis is: (\".*?\")\. The images", user)[1])
    known = set(re.findall(r'^\{"concept": "(.*)"\}$', user, re.MULTILINE))
    return {
        "signs": [
            {
                "concept": name,
                "verdict": "supports" if polarity == "asserted" else "against" if polarity == "denied" else "unknown",
                "confidence": 0.8,
                "passage_id": row["id"],
                "sentence": sentence,
            }
            for row in rows_of(user)
            for sentence in split_sentences(row["text"])
            for name, polarity in findings(sentence)
            if disease in sentence.lower() and name in known
        ]
    }


def answer(user):
    """Reply of the scripted model, as a JSON text."""
    return json.dumps({"propose": propose, "judge": judge, "prior": prior}[kind_of(user)](user))


class ScriptedHandler(llm_server._Handler):
    """Answers each prompt with what the function in ``server.default`` makes of it, and counts real sizes as tokens."""

    def do_scripted(self, body, text, reply):
        content = reply(text)
        sent = sum(len(message["content"]) for message in body["messages"])
        self.reply(content, text, n_prompt=sent // 4, n_reply=len(content) // 4)


@contextmanager
def serve(reply=answer):
    """A loopback server that answers by ``reply``."""
    with llm_server.serve() as server:
        server.RequestHandlerClass = ScriptedHandler
        server.default = ("scripted", reply)
        yield server
