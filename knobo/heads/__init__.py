"""From concept activations to classes: sparse linear heads that respect the literature."""

from knobo.heads.base import class_weights
from knobo.heads.linear import ConceptHead
from knobo.heads.path import ConceptHeadCV, alpha_max
from knobo.heads.solver import Certificate

__all__ = ["Certificate", "ConceptHead", "ConceptHeadCV", "alpha_max", "class_weights"]
