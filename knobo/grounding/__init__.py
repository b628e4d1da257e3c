"""From embeddings and answers to concept activations."""

from knobo.grounding.annotate import annotate_reports
from knobo.grounding.answers import as_bank, concept_answers
from knobo.grounding.quality import count_answers, held_out_quality
from knobo.grounding.scorer import ConceptScorer

__all__ = ["ConceptScorer", "annotate_reports", "as_bank", "concept_answers", "count_answers", "held_out_quality"]
