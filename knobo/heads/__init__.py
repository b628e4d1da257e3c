"""From concept activations to classes: sparse linear heads that respect the literature, and what follows a fit."""

from knobo.heads.abstention import abstain, abstention_threshold, coverage_curve
from knobo.heads.base import class_weights
from knobo.heads.calibration import calibrate_temperature, calibration_metrics, fit_temperature, reliability_table
from knobo.heads.comparing import compare_heads, compare_probabilities
from knobo.heads.editing import change_table, edit_head, merge_columns
from knobo.heads.edits import Edit, ForceSign, Merge, Pin, Release, Rename, Veto, read_edits, write_edits
from knobo.heads.hybrid import HybridHead
from knobo.heads.inspection import (
    contributing_concepts,
    count_concepts,
    effective_concepts,
    prior_agreement,
)
from knobo.heads.linear import ConceptHead
from knobo.heads.multilabel import MultiLabelConceptHead
from knobo.heads.operating import operating_points
from knobo.heads.path import ConceptHeadCV, alpha_max
from knobo.heads.plots import plot_coverage, plot_reliability, plot_stability
from knobo.heads.prevalence import adjust_prevalence, estimate_prevalence, with_prevalence
from knobo.heads.saving import load_head, save_head
from knobo.heads.solver import Certificate
from knobo.heads.stability import HeadBootstrap, bootstrap_head
from knobo.heads.tanh import LocalCertificate

__all__ = [
    "Certificate",
    "ConceptHead",
    "ConceptHeadCV",
    "Edit",
    "ForceSign",
    "HeadBootstrap",
    "HybridHead",
    "LocalCertificate",
    "Merge",
    "MultiLabelConceptHead",
    "Pin",
    "Release",
    "Rename",
    "Veto",
    "abstain",
    "abstention_threshold",
    "adjust_prevalence",
    "alpha_max",
    "bootstrap_head",
    "calibrate_temperature",
    "calibration_metrics",
    "change_table",
    "class_weights",
    "compare_heads",
    "compare_probabilities",
    "contributing_concepts",
    "count_concepts",
    "coverage_curve",
    "edit_head",
    "effective_concepts",
    "estimate_prevalence",
    "fit_temperature",
    "load_head",
    "merge_columns",
    "operating_points",
    "plot_coverage",
    "plot_reliability",
    "plot_stability",
    "prior_agreement",
    "read_edits",
    "reliability_table",
    "save_head",
    "with_prevalence",
    "write_edits",
]
