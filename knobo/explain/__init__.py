"""Why a prediction came out as it did: contributions of concepts, what-if, where in the image, plots."""

from knobo.explain._saliency_region import keep_region
from knobo.explain.explanation import Explanation
from knobo.explain.intervene import intervene
from knobo.explain.plots import plot_case, plot_contributions, plot_weights
from knobo.explain.saliency import ConceptMaps, concept_maps
from knobo.explain.saliency_plots import plot_concept_map, plot_concept_maps

__all__ = [
    "ConceptMaps",
    "Explanation",
    "concept_maps",
    "intervene",
    "keep_region",
    "plot_case",
    "plot_concept_map",
    "plot_concept_maps",
    "plot_contributions",
    "plot_weights",
]
