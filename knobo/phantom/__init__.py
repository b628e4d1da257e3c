"""Synthetic medical images with known findings, masks, reports and hospitals."""

from knobo.phantom._chest_case import CHEST_CLASSES
from knobo.phantom.chest import CHEST_FINDINGS, make_chest_xrays
from knobo.phantom.dataset import PhantomDataset, write_phantom
from knobo.phantom.skin import SKIN_CLASSES, SKIN_FINDINGS, make_skin_lesions

__all__ = [
    "CHEST_CLASSES",
    "CHEST_FINDINGS",
    "SKIN_CLASSES",
    "SKIN_FINDINGS",
    "PhantomDataset",
    "make_chest_xrays",
    "make_skin_lesions",
    "write_phantom",
]
