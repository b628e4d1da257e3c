"""How far a classifier falls in another domain, and splits that make another domain of one's own data."""

from knobo.shift.metrics import evaluate

__all__ = ["evaluate"]
