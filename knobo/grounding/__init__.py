"""From embeddings and answers to concept activations."""

from knobo.grounding.agreement import annotation_agreement
from knobo.grounding.annotate import annotate_reports
from knobo.grounding.annotate_llm import annotate_reports_with
from knobo.grounding.answers import as_bank, concept_answers
from knobo.grounding.quality import count_answers, held_out_quality
from knobo.grounding.report_files import read_reports
from knobo.grounding.scorer import ConceptScorer
from knobo.grounding.select import select_reports

__all__ = [
    "ConceptScorer",
    "annotate_reports",
    "annotate_reports_with",
    "annotation_agreement",
    "as_bank",
    "concept_answers",
    "count_answers",
    "held_out_quality",
    "read_reports",
    "select_reports",
]
