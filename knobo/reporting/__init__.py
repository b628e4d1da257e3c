"""One HTML page for clinical review, and the check of what leaks past the findings."""

from knobo.reporting.leakage import LeakagePanel, leakage_panel
from knobo.reporting.report import write_report

__all__ = ["LeakagePanel", "leakage_panel", "write_report"]
