"""Why a prediction came out as it did: contributions of concepts, what-if, plots."""

from knobo.explain.explanation import Explanation
from knobo.explain.intervene import intervene
from knobo.explain.plots import plot_case, plot_contributions, plot_weights

__all__ = ["Explanation", "intervene", "plot_case", "plot_contributions", "plot_weights"]
