"""Images and tables of images: files to RGB arrays, manifests to labels, reports and concept columns."""

from knobo.images.dicom import dicom_tags
from knobo.images.manifest import Manifest, concept_columns, read_manifest
from knobo.images.read import ImageSource, read_image

__all__ = ["ImageSource", "Manifest", "concept_columns", "dicom_tags", "read_image", "read_manifest"]
