"""Why a prediction came out as it did: contributions of concepts, what-if, plots."""

from knobo.explain.activations import Prototypes, concept_correlation, prototypes
from knobo.explain.correction import correction_order, intervention_curve
from knobo.explain.counterfactual import Counterfactual
from knobo.explain.explanation import Explanation
from knobo.explain.faithfulness import check_causes
from knobo.explain.intervene import intervene
from knobo.explain.plots import plot_case, plot_contributions, plot_weights

__all__ = [
    "Counterfactual",
    "Explanation",
    "Prototypes",
    "check_causes",
    "concept_correlation",
    "correction_order",
    "intervene",
    "intervention_curve",
    "plot_case",
    "plot_contributions",
    "plot_weights",
    "prototypes",
]
