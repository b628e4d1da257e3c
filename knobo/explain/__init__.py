"""Why a prediction came out as it did: contributions of concepts, what-if, where in the image, plots."""

from knobo.explain._saliency_region import keep_region
from knobo.explain.activations import Prototypes, concept_correlation, prototypes
from knobo.explain.concept_displays import (
    ActivationDisplay,
    CorrelationDisplay,
    InterventionCurveDisplay,
    PrototypeDisplay,
)
from knobo.explain.contribution_displays import BarDisplay, StripDisplay, WaterfallDisplay, WeightsDisplay
from knobo.explain.correction import correction_order, intervention_curve
from knobo.explain.counterfactual import Counterfactual
from knobo.explain.explanation import Explanation
from knobo.explain.faithfulness import check_causes
from knobo.explain.intervene import intervene
from knobo.explain.plots import plot_case, plot_contributions, plot_weights
from knobo.explain.saliency import ConceptMaps, concept_maps
from knobo.explain.saliency_plots import plot_concept_map, plot_concept_maps
from knobo.explain.zones import chest_places

__all__ = [
    "ActivationDisplay",
    "BarDisplay",
    "ConceptMaps",
    "CorrelationDisplay",
    "Counterfactual",
    "Explanation",
    "InterventionCurveDisplay",
    "PrototypeDisplay",
    "Prototypes",
    "StripDisplay",
    "WaterfallDisplay",
    "WeightsDisplay",
    "check_causes",
    "chest_places",
    "concept_correlation",
    "concept_maps",
    "correction_order",
    "intervene",
    "intervention_curve",
    "keep_region",
    "plot_case",
    "plot_concept_map",
    "plot_concept_maps",
    "plot_contributions",
    "plot_weights",
    "prototypes",
]
