"""From embeddings and answers to concept activations."""

from knobo.grounding.agreement import annotation_agreement
from knobo.grounding.annotate import annotate_reports
from knobo.grounding.annotate_llm import annotate_reports_with
from knobo.grounding.answers import as_bank, concept_answers
from knobo.grounding.calibration import calibrate
from knobo.grounding.certificate import certify
from knobo.grounding.certificate_plot import plot_certificate
from knobo.grounding.logistic import LogisticFunctions, draw_balanced, fit_logistic
from knobo.grounding.prompting import concept_prompts, default_pairs, text_directions
from knobo.grounding.quality import count_answers, held_out_quality
from knobo.grounding.report_files import read_reports
from knobo.grounding.scorer import ConceptScorer
from knobo.grounding.select import select_reports
from knobo.grounding.zero_shot import ZeroShotScorer

__all__ = [
    "ConceptScorer",
    "LogisticFunctions",
    "ZeroShotScorer",
    "annotate_reports",
    "annotate_reports_with",
    "annotation_agreement",
    "as_bank",
    "calibrate",
    "certify",
    "concept_answers",
    "concept_prompts",
    "count_answers",
    "default_pairs",
    "draw_balanced",
    "fit_logistic",
    "held_out_quality",
    "plot_certificate",
    "read_reports",
    "select_reports",
    "text_directions",
]
