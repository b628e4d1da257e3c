"""What a language model does in a build: it proposes, judges and gives the prior. The builder decides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from knobo.bank import PriorSign
from knobo.knowledge.classes import TaskClass
from knobo.knowledge.corpus import Passage
from knobo.knowledge.filters import Verdict
from knobo.knowledge.kb import KbEntry, KnowledgeBase
from knobo.knowledge.link import ConceptLinker
from knobo.knowledge.llm import LanguageModel
from knobo.knowledge.prior_llm import Subject, ask_prior
from knobo.knowledge.prompting import Asker, read_template
from knobo.knowledge.propose import Proposal
from knobo.knowledge.propose_llm import LlmProposer
from knobo.knowledge.verdicts import ask_verdicts


class ModelAdviser:
    """One language model at work in one build.

    Parameters
    ----------
    model : LanguageModel
    linker : ConceptLinker
    modality : str
    task : sequence of TaskClass
    """

    def __init__(self, model: LanguageModel, linker: ConceptLinker, modality: str, task: Sequence[TaskClass]) -> None:
        self._task = task
        self._asker = Asker(model, modality)
        self._proposer = LlmProposer(self._asker, linker, modality, classes=[item.wordings[0] for item in task])
        self._n_dropped = 0

    def propose(self, passages: Iterable[Passage]) -> Iterator[Proposal]:
        """Proposals of all passages; those that were not read yet are asked about together."""
        return self._proposer.propose(passages)

    def verdicts(self, proposals: Sequence[Proposal], known: Sequence[str]) -> list[Verdict]:
        """Whether each candidate is visible, entailed by its sentence, and the same as a known one."""
        return ask_verdicts(self._asker, proposals, known)

    def prior(
        self,
        entries: Sequence[tuple[str, KbEntry]],
        kb: KnowledgeBase,
        passages: Mapping[str, Sequence[Passage]],
    ) -> tuple[PriorSign, ...]:
        """Signs of the concepts, given by id and entry, from the passages of each class."""
        known = {entry.id for entry in kb}
        subjects = [
            Subject(concept_id, entry, (entry, *(kb.narrower(entry.id) if entry.id in known else ())))
            for concept_id, entry in entries
        ]
        signs, self._n_dropped = ask_prior(self._asker, self._task, subjects, passages)
        return signs

    def provenance(self) -> dict[str, Any]:
        """The model, the versions of the prompts, and how many answers of each were used; the same on every rerun."""
        prompts = {name: read_template(name).version for name in ("propose", "judge", "prior")}
        return {
            "model": self._asker.model.model,
            "prompts": prompts,
            "calls": {name: self._asker.n_answered[name] for name in prompts},
            "signs_without_support": self._n_dropped,
        }
