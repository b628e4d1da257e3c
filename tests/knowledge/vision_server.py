"""A "vision-language model" that really looks: concept j is present where band j of the image is bright.

Scripts go by the user text as in ``llm_server``; the default step is ``server.default``.
"""

import base64
import io
import json
import math
import re
from contextlib import contextmanager

import llm_server
import numpy as np
from PIL import Image
from scripted_model import rows_of

SURE = 0.9  # the probability of the word that is chosen


def sent_images(body):
    """The image files of a request."""
    (content,) = [message["content"] for message in body["messages"] if isinstance(message["content"], list)]
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    assert all(url.startswith("data:image/jpeg;base64,") for url in urls)
    return [base64.b64decode(url.partition(",")[2]) for url in urls]


def tokens_of(content, words='"yes|"no|"unknown', sure=SURE):
    """Tokens of a reply, in OpenAI's shape; a chosen word stands in one token with the quotation mark before it."""
    other = {'"yes': '"no', '"no': '"yes', '"unknown': '"no', "yes": "no", "no": "yes", "unknown": "no"}
    found = []
    for token in re.findall(rf"(?<=: )(?:{words})(?=\")|(?<=: \")(?:{words})(?=\")|.", content, re.DOTALL):
        share = {token: sure, other[token]: 1 - sure} if token in other else {token: 1.0}
        top = [{"token": name, "logprob": math.log(p)} for name, p in share.items()]
        found.append({**top[0], "top_logprobs": top})
    return found


class LookHandler(llm_server._Handler):
    """Answers what it sees, or misbehaves."""

    order = ()

    def see(self, body, text):
        """The right answers."""
        (jpeg,) = sent_images(body)
        pixels = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L"), dtype=float)
        bright = [band.mean() > 128 for band in np.array_split(pixels, len(self.order), axis=1)]
        seen = dict(zip(self.order, bright, strict=True))
        return [{"concept": row["concept"], "answer": "yes" if seen[row["concept"]] else "no"} for row in rows_of(text)]

    def tell(self, answers, text, **more):
        self.reply(json.dumps({"answers": answers}), text, n_prompt=300, n_reply=12 * len(answers), **more)

    def do_look(self, body, text):
        """Log-probabilities where they are asked for."""
        answers = self.see(body, text)
        content = json.dumps({"answers": answers})
        logprobs = {"content": tokens_of(content)} if body.get("logprobs") else None
        self.tell(answers, text, logprobs=logprobs)

    def do_good(self, body, text):
        """What "slow" answers in the end."""
        self.do_look(body, text)

    def do_plain(self, body, text):
        self.tell(self.see(body, text), text)

    def do_old(self, body, text):
        """A server that does not know the option."""
        if "logprobs" in body:
            self.do_status(body, text, 400, "Unrecognized request argument supplied: top_logprobs")
        else:
            self.do_look(body, text)

    def do_half(self, body, text):
        self.tell(self.see(body, text)[::2], text)

    def do_named(self, body, text):
        """Names in the place of ids, another order, and a concept that nobody asked about."""
        answers = [{**item, "concept": item["concept"].replace("-", " ").title()} for item in self.see(body, text)]
        self.tell([{"concept": "made-up", "answer": "yes"}, *answers[::-1]], text)

    def do_strange(self, body, text):
        self.tell([{"concept": "made-up", "answer": "yes"}], text)

    def do_unsure(self, body, text):
        self.tell([{**item, "answer": "unknown"} for item in self.see(body, text)], text)

    def do_broken(self, body, text, most=0):
        """Broken JSON about more than ``most`` concepts at once."""
        if len(rows_of(text)) > most:
            self.reply('{"answers": [{"concept":', text)
        else:
            self.do_look(body, text)

    def do_refuse(self, body, text):
        self.reply(None, text, message={"role": "assistant", "content": None, "refusal": "I cannot judge this image."})


@contextmanager
def serve(order):
    """A loopback server for images whose bands are these concepts, from left to right."""
    with llm_server.serve() as server:
        server.RequestHandlerClass = type("Handler", (LookHandler,), {"order": tuple(order)})
        server.default = "look"
        yield server
