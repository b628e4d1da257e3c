"""How far a classifier falls in another domain, and splits that make another domain of one's own data."""

from knobo.shift._decision import threshold_at_specificity
from knobo.shift.audit import ConfounderAudit
from knobo.shift.confounders import audit_confounders
from knobo.shift.domain_splits import DomainSplit, PatientSplit, leave_one_domain_out, patient_split
from knobo.shift.drift import DriftReport, check_drift
from knobo.shift.gap import check_shift, compare_models, shift_table
from knobo.shift.gap_by_concept import explain_gap
from knobo.shift.gap_explanation import GapExplanation
from knobo.shift.label_shift import LabelShift, estimate_label_shift
from knobo.shift.metrics import evaluate
from knobo.shift.report import ShiftReport
from knobo.shift.shortcut import check_shortcut
from knobo.shift.splits import ConfoundedSplit, confounded_split
from knobo.shift.stress import StressReport, stress_test
from knobo.shift.subgroup_report import SubgroupReport
from knobo.shift.subgroups import check_subgroups

__all__ = [
    "ConfoundedSplit",
    "ConfounderAudit",
    "DomainSplit",
    "DriftReport",
    "GapExplanation",
    "LabelShift",
    "PatientSplit",
    "ShiftReport",
    "StressReport",
    "SubgroupReport",
    "audit_confounders",
    "check_drift",
    "check_shift",
    "check_shortcut",
    "check_subgroups",
    "compare_models",
    "confounded_split",
    "estimate_label_shift",
    "evaluate",
    "explain_gap",
    "leave_one_domain_out",
    "patient_split",
    "shift_table",
    "stress_test",
    "threshold_at_specificity",
]
