"""From embeddings and answers to concept activations."""

from knobo.grounding.annotate import annotate_reports
from knobo.grounding.answers import as_bank, concept_answers
from knobo.grounding.calibration import calibrate
from knobo.grounding.certificate import certify
from knobo.grounding.certificate_plot import plot_certificate
from knobo.grounding.logistic import LogisticFunctions, draw_balanced, fit_logistic
from knobo.grounding.prompting import concept_prompts, default_pairs, text_directions
from knobo.grounding.quality import count_answers, held_out_quality
from knobo.grounding.scorer import ConceptScorer
from knobo.grounding.zero_shot import ZeroShotScorer

__all__ = [
    "ConceptScorer",
    "LogisticFunctions",
    "ZeroShotScorer",
    "annotate_reports",
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
    "text_directions",
]
