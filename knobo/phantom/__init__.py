"""Synthetic medical images with known findings, masks, reports and hospitals."""

from knobo.phantom.dataset import PhantomDataset, write_phantom
from knobo.phantom.skin import SKIN_CLASSES, SKIN_FINDINGS, make_skin_lesions

__all__ = ["SKIN_CLASSES", "SKIN_FINDINGS", "PhantomDataset", "make_skin_lesions", "write_phantom"]
