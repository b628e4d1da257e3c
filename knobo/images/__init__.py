"""Images and tables of images: files to RGB arrays, manifests and datasets to labels, reports and concept columns."""

from knobo.images.check import check_images
from knobo.images.datasets import list_datasets, load_dataset, write_manifest
from knobo.images.dicom import dicom_tags
from knobo.images.manifest import Manifest, concept_columns, read_manifest
from knobo.images.read import read_image
from knobo.images.source import ImageFile, ImageSource
from knobo.images.thumbnails import model_view, thumbnail_sheet

__all__ = [
    "ImageFile",
    "ImageSource",
    "Manifest",
    "check_images",
    "concept_columns",
    "dicom_tags",
    "list_datasets",
    "load_dataset",
    "model_view",
    "read_image",
    "read_manifest",
    "thumbnail_sheet",
    "write_manifest",
]
