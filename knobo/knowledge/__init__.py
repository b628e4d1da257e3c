"""Text to a concept bank: corpus readers, retrieval, linking, proposals, filters, prior and the builder."""

from knobo.knowledge.asking import ask_with
from knobo.knowledge.bm25 import Bm25Index
from knobo.knowledge.builder import build_bank
from knobo.knowledge.chat_scorer import ChatScorer
from knobo.knowledge.corpus import Passage, read_corpus
from knobo.knowledge.dense import DenseIndex
from knobo.knowledge.fusion import HybridRetriever, fuse
from knobo.knowledge.index_folder import open_index
from knobo.knowledge.kb import KbEntry, KnowledgeBase
from knobo.knowledge.ledger import Budget, Price
from knobo.knowledge.link import Candidate, ConceptLinker
from knobo.knowledge.llm import LanguageModel
from knobo.knowledge.passage_filter import filter_passages
from knobo.knowledge.passages import Hit, Retriever
from knobo.knowledge.propose import ExtractiveProposer, Proposal
from knobo.knowledge.propose_llm import LlmProposer
from knobo.knowledge.text_encoder import load_text_encoder
from knobo.knowledge.umls import read_umls

__all__ = [
    "Bm25Index",
    "Budget",
    "Candidate",
    "ChatScorer",
    "ConceptLinker",
    "DenseIndex",
    "ExtractiveProposer",
    "Hit",
    "HybridRetriever",
    "KbEntry",
    "KnowledgeBase",
    "LanguageModel",
    "LlmProposer",
    "Passage",
    "Price",
    "Proposal",
    "Retriever",
    "ask_with",
    "build_bank",
    "filter_passages",
    "fuse",
    "load_text_encoder",
    "open_index",
    "read_corpus",
    "read_umls",
]
