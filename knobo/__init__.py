"""knobo: interpretable medical-image classification with concept bottlenecks taken from the literature.

The public names below are loaded when they are first used, so that ``import knobo`` stays quick.
Research software, not a medical device.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Concept": "knobo.bank",
    "ConceptBank": "knobo.bank",
    "ConceptBottleneckClassifier": "knobo.classifier",
    "ConceptHead": "knobo.heads",
    "ConceptHeadCV": "knobo.heads",
    "ConceptScorer": "knobo.grounding",
    "Evidence": "knobo.bank",
    "ImageEncoder": "knobo.encoders",
    "KnoboError": "knobo.errors",
    "ZeroShotScorer": "knobo.grounding",
    "annotate_reports": "knobo.grounding",
    "build_bank": "knobo.knowledge",
    "check_shift": "knobo.shift",
    "confounded_split": "knobo.shift",
    "leakage_panel": "knobo.reporting",
    "linear_probe": "knobo.classifier",
    "load": "knobo.classifier",
    "load_bank": "knobo.bank",
    "load_encoder": "knobo.encoders",
    "make_chest_xrays": "knobo.phantom",
    "make_skin_lesions": "knobo.phantom",
    "read_manifest": "knobo.images",
    "write_report": "knobo.reporting",
}

__all__ = sorted(_HOME)

if TYPE_CHECKING:
    from knobo.bank import Concept, ConceptBank, Evidence, load_bank
    from knobo.classifier import ConceptBottleneckClassifier, linear_probe, load
    from knobo.encoders import ImageEncoder, load_encoder
    from knobo.errors import KnoboError
    from knobo.grounding import ConceptScorer, ZeroShotScorer, annotate_reports
    from knobo.heads import ConceptHead, ConceptHeadCV
    from knobo.images import read_manifest
    from knobo.knowledge import build_bank
    from knobo.phantom import make_chest_xrays, make_skin_lesions
    from knobo.reporting import leakage_panel, write_report
    from knobo.shift import check_shift, confounded_split


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'knobo' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
