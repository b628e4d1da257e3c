"""How far a classifier falls in another domain, and splits that make another domain of one's own data."""

from knobo.shift.audit import ConfounderAudit
from knobo.shift.confounders import audit_confounders
from knobo.shift.gap import check_shift, compare_models, shift_table
from knobo.shift.metrics import evaluate
from knobo.shift.report import ShiftReport
from knobo.shift.splits import ConfoundedSplit, confounded_split

__all__ = [
    "ConfoundedSplit",
    "ConfounderAudit",
    "ShiftReport",
    "audit_confounders",
    "check_shift",
    "compare_models",
    "confounded_split",
    "evaluate",
    "shift_table",
]
