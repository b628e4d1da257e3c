"""From concept activations to classes: sparse linear heads that respect the literature."""

from knobo.heads.base import class_weights
from knobo.heads.hybrid import HybridHead
from knobo.heads.linear import ConceptHead
from knobo.heads.multilabel import MultiLabelConceptHead
from knobo.heads.path import ConceptHeadCV, alpha_max
from knobo.heads.saving import load_head, save_head
from knobo.heads.solver import Certificate
from knobo.heads.tanh import LocalCertificate

__all__ = [
    "Certificate",
    "ConceptHead",
    "ConceptHeadCV",
    "HybridHead",
    "LocalCertificate",
    "MultiLabelConceptHead",
    "alpha_max",
    "class_weights",
    "load_head",
    "save_head",
]
