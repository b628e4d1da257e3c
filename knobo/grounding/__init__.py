"""From embeddings and answers to concept activations."""

from knobo.grounding.annotate import annotate_reports
from knobo.grounding.quality import count_answers, held_out_quality
from knobo.grounding.scorer import ConceptScorer

__all__ = ["ConceptScorer", "annotate_reports", "count_answers", "held_out_quality"]
