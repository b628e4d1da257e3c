"""Concept activations from a vision-language chat model: each finding asked of each image, many a call."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.special import logit

from knobo.bank import Concept, ConceptBank, load_bank, slug
from knobo.errors import InputError, InputTypeError
from knobo.images import ImageSource
from knobo.knowledge.llm import Estimate, LanguageModel, Prompt
from knobo.knowledge.llm_cache import cache_key
from knobo.knowledge.llm_image import SentImage, prepare_image
from knobo.knowledge.llm_request import Answer, estimate_tokens
from knobo.knowledge.prompting import as_data, halves, known_parts, read_template

_IMAGES_A_ROUND = 64  # held in memory at a time
_ROUNDS = 4  # a batch, and what is left of it
_MOST_CERTAIN = 0.999  # as sure as an embedding ever is
_TOKENS_AN_ANSWER = 16  # the braces, names and quotation marks around an id and a word


class _Seen(BaseModel):
    model_config = ConfigDict(extra="forbid")

    concept: str
    answer: Literal["yes", "no", "unknown"]


class _LookReply(BaseModel):
    model_config = ConfigDict(extra="forbid")

    answers: list[_Seen]


@dataclass(frozen=True)
class _Question:
    """Some concepts to look for in one image."""

    row: int
    image: SentImage
    concepts: Sequence[Concept]


class ChatScorer:
    """Ask a chat model that takes images which findings it sees.

    **The pixels of the images leave this machine** for the server of the model. Nothing else of an image does: it is
    decoded, made small and compressed anew, without EXIF, DICOM tags or file name. A name that is written into the
    pixels is sent with them.

    Parameters
    ----------
    bank : ConceptBank, str or Path
        The findings to ask about, by ``Concept.question``: a bank, the name of a shipped one, or a file.
    model : LanguageModel
        Its cache, budget, retries, concurrency and ``offline`` hold.
    batch : int
        Findings a call. One a call keeps each answer free of the others, and sends each image once a finding.
    max_side : int
        Longest side of the images that are sent, in pixels.
    logprobs : bool
        Ask for log-probabilities, and make probabilities of them. A server that does not know the option is asked
        without it.

    Attributes
    ----------
    spec : str
        ``"chat:"``, the model and a hash of all that shapes its answers.

    Raises
    ------
    InputError
        If ``batch`` or ``max_side`` is less than 1, or there is no such bank.

    Notes
    -----
    With log-probabilities, an activation is P(yes) / (P(yes) + P(no)) at the token that decides the answer. Otherwise
    it is 1 or 0. Where the model says *unknown* it is NaN. How far the probabilities hold is for labelled images to
    tell: a :class:`knobo.ConceptScorer` on these log-odds (see :meth:`encode_images`) calibrates them.

    Examples
    --------
    >>> chat = ChatScorer("chest-xray", LanguageModel("my-model", base_url="http://localhost:8000/v1"))
    >>> print(chat.dry_run(images))                                     # doctest: +SKIP
    >>> answers = chat.ask(images).round()                              # doctest: +SKIP
    >>> clf = ConceptBottleneckClassifier("chest-xray", "biomedclip")   # doctest: +SKIP
    >>> clf.fit(images, y, concepts=answers)                            # doctest: +SKIP
    """

    def __init__(
        self,
        bank: ConceptBank | str | Path,
        model: LanguageModel,
        *,
        batch: int = 16,
        max_side: int = 1024,
        logprobs: bool = True,
    ) -> None:
        if min(batch, max_side) < 1:
            raise InputError(f"batch and max_side must be at least 1, got {batch} and {max_side}.")
        self.bank = bank if isinstance(bank, ConceptBank) else load_bank(bank)
        self.model, self.batch, self.max_side, self.logprobs = model, batch, max_side, logprobs
        self._column = {concept_id: j for j, concept_id in enumerate(self.bank.ids)}
        prompts = [self._prompt(concepts, ()) for concepts in self._batches()]
        asked = [(prompt.version, prompt.system, prompt.user, prompt.choices) for prompt in prompts]
        self.spec = f"chat:{model.model}:{cache_key(asked=asked, max_side=max_side)[:16]}"

    def __repr__(self) -> str:
        return f"ChatScorer({len(self.bank)} concepts, {self.model!r}, batch={self.batch}, max_side={self.max_side})"

    def ask(self, images: Sequence[ImageSource]) -> pd.DataFrame:
        """Ask about every concept in every image.

        Parameters
        ----------
        images : sequence of n images
            See :func:`knobo.images.read_image`. Equal images are asked about once.

        Returns
        -------
        DataFrame of shape (n, m), float64 in [0, 1]
            Columns are the ids of the bank. NaN where the model says *unknown*, and where it gave no usable answer;
            the latter are counted in a warning, and asked again next time. ``.round()`` makes the answers 1, 0 and NaN
            that :meth:`knobo.ConceptBottleneckClassifier.fit` takes as ``concepts``.

        Raises
        ------
        BudgetError
            If the next call would exceed the budget. What was answered is in the cache.
        ModelError
            If the server refuses all calls or cannot be reached, or answers are missing with ``offline=True``.
        FileError, InputError, InputTypeError
            If an image cannot be read.
        """
        table = np.full((len(images), len(self.bank)), np.nan)
        failed: list[tuple[_Question, str]] = []
        for questions in self._rounds(images):
            failed += self._ask(questions, table)
        if failed:
            n = sum(len(question.concepts) for question, _ in failed)
            warnings.warn(
                f"{self.model.model} gave no usable answer to {n} of {table.size} questions, first on image "
                f"{failed[0][0].row} ({failed[0][1]}). They are NaN, and are asked again next time.",
                stacklevel=2,
            )
        return pd.DataFrame(table, columns=list(self.bank.ids))

    def dry_run(self, images: Sequence[ImageSource]) -> Estimate:
        """Estimate what :meth:`ask` would take, without any call; the images are read.

        An image is taken for one token every 28 x 28 pixels. Some models count many times as many: see what a few
        images cost (``model.ledger``) before you ask about thousands.
        """
        total = Estimate(0, 0, 0, 0, None)
        reply = max(
            sum(estimate_tokens(concept.id) + _TOKENS_AN_ANSWER for concept in part) for part in self._batches()
        )
        for questions in self._rounds(images):
            prompts = [self._prompt(question.concepts, (question.image,)) for question in questions]
            part = self.model.dry_run(prompts, _LookReply, reply_tokens=reply)
            total = Estimate(
                total.calls + part.calls,
                total.cached + part.cached,
                total.prompt_tokens + part.prompt_tokens,
                total.completion_tokens + part.completion_tokens,
                None if part.usd is None else (total.usd or 0.0) + part.usd,
            )
        return total

    def encode_images(self, images: Sequence[ImageSource], *, progress: bool = False) -> NDArray[np.float32]:
        """The answers as an embedding, so that the scorer can be the encoder of a classifier.

        Parameters
        ----------
        images : sequence of n images
        progress : bool
            Not used: ``LanguageModel(progress=True)`` shows a bar.

        Returns
        -------
        ndarray of shape (n, m), float32
            Log-odds of *yes*, within those of 0.001 and 0.999; 0 where there is no answer. The rows are not of unit
            length, as each coordinate has a meaning of its own.

        Notes
        -----
        The answers are in the model's cache. An embedding store beside it gains nothing, and would keep the zeros of
        questions that are to be asked again.
        """
        answers = self.ask(images).fillna(0.5).clip(1 - _MOST_CERTAIN, _MOST_CERTAIN)
        return logit(answers.to_numpy()).astype(np.float32)

    def _rounds(self, images: Sequence[ImageSource]) -> Iterator[list[_Question]]:
        """The first questions on some images at a time, all of one image together."""
        if isinstance(images, str | Path):
            raise InputTypeError(f"images must be a sequence, got the single path {str(images)!r}; put it in a list.")
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(images), _IMAGES_A_ROUND):
                some = [images[i] for i in range(start, min(start + _IMAGES_A_ROUND, len(images)))]
                ready = pool.map(lambda image: prepare_image(image, self.max_side), some)
                yield [_Question(start + i, image, part) for i, image in enumerate(ready) for part in self._batches()]

    def _batches(self) -> list[Sequence[Concept]]:
        concepts = self.bank.concepts
        return [concepts[start : start + self.batch] for start in range(0, len(concepts), self.batch)]

    def _prompt(self, concepts: Sequence[Concept], images: tuple[SentImage, ...]) -> Prompt:
        findings = as_data({"concept": concept.id, "question": concept.question} for concept in concepts)
        modality = self.bank.modality.replace("-", " ") or "medical"
        prompt = read_template("look").fill({"modality": modality, "findings": findings})
        return replace(prompt, images=images, choices=("yes", "no", "unknown") if self.logprobs else ())

    def _ask(self, questions: list[_Question], table: NDArray[np.float64]) -> list[tuple[_Question, str]]:
        """Fill in what is answered, and return what is not, with the reason.

        What a reply leaves out is asked again; a batch without a usable reply is asked in halves. Both end after
        ``_ROUNDS``: an image that a model cannot handle must not cost a call a concept.
        """
        failed = []
        for more in reversed(range(_ROUNDS)):
            questions = [part for question in questions for part in self._known(question)]
            prompts = [self._prompt(question.concepts, (question.image,)) for question in questions]
            later = []
            for question, answer in zip(questions, self.model.ask(prompts, _LookReply), strict=True):
                silent = _fill(table, question, answer, self._column)
                if not silent:
                    continue
                rest = replace(question, concepts=silent)
                parts = [rest] if len(silent) < len(question.concepts) else _halves(rest)
                if more and parts and not answer.refused:
                    later += parts
                else:
                    failed.append((rest, answer.error or f"it says nothing about {silent[0].id}"))
            questions = later
        return failed

    def _known(self, question: _Question) -> list[_Question]:
        """The question, or its parts where an earlier run had to ask these instead."""
        parts = known_parts(
            self.model, question.concepts, lambda part: self._prompt(part, (question.image,)), _LookReply
        )
        return [replace(question, concepts=part) for part in parts or [question.concepts]]


def _halves(question: _Question) -> list[_Question]:
    return [replace(question, concepts=part) for part in halves(question.concepts)]


def _fill(
    table: NDArray[np.float64], question: _Question, answer: Answer[_LookReply], column: dict[str, int]
) -> list[Concept]:
    """Write the answers into the table, and return the concepts that there is no answer on."""
    given = answer.value.answers if answer.value is not None else []
    choices = answer.choices if len(answer.choices) == len(given) else ({},) * len(given)
    found: dict[str, float] = {}
    for item, choice in zip(given, choices, strict=True):
        found.setdefault(slug(item.concept), _activation(item.answer, choice))
    for concept in question.concepts:
        table[question.row, column[concept.id]] = found.get(concept.id, math.nan)
    return [concept for concept in question.concepts if concept.id not in found]


def _activation(answer: str, choice: dict[str, float]) -> float:
    if answer == "unknown":
        return math.nan
    yes, no = choice.get("yes", 0.0), choice.get("no", 0.0)
    return yes / (yes + no) if yes + no > 0 else float(answer == "yes")
