"""One HTML page for clinical review."""

from knobo.reporting.report import write_report

__all__ = ["write_report"]
