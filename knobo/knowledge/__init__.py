"""Text to a concept bank: corpus readers, retrieval, linking, proposals, filters, prior and the builder."""

from knobo.knowledge.bm25 import Bm25Index, Hit
from knobo.knowledge.builder import build_bank
from knobo.knowledge.corpus import Passage, read_corpus
from knobo.knowledge.kb import KbEntry, KnowledgeBase
from knobo.knowledge.link import Candidate, ConceptLinker
from knobo.knowledge.propose import ExtractiveProposer, Proposal

__all__ = [
    "Bm25Index",
    "Candidate",
    "ConceptLinker",
    "ExtractiveProposer",
    "Hit",
    "KbEntry",
    "KnowledgeBase",
    "Passage",
    "Proposal",
    "build_bank",
    "read_corpus",
]
