"""Images and tables of images: files to RGB arrays, manifests and datasets to labels, reports and concept columns."""

from knobo.images.datasets import list_datasets, load_dataset, write_manifest
from knobo.images.dicom import dicom_tags
from knobo.images.manifest import Manifest, concept_columns, read_manifest
from knobo.images.read import ImageSource, read_image

__all__ = [
    "ImageSource",
    "Manifest",
    "concept_columns",
    "dicom_tags",
    "list_datasets",
    "load_dataset",
    "read_image",
    "read_manifest",
    "write_manifest",
]
