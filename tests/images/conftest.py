"""DICOM files as a scanner writes them, made by the test."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

PATIENT = {"PatientName": "DOE^SECRETARIAL", "PatientID": "SECRET-7", "PatientBirthDate": "19500101"}


@pytest.fixture
def write_dicom(tmp_path):
    """Write an array of shape (H, W), (H, W, 3) or, with ``NumberOfFrames``, (N, H, W)."""

    def write(array, *, name="image.dcm", syntax=ExplicitVRLittleEndian, bits=None, compress=None, **fields):
        array = np.asarray(array)
        colour = array.ndim == 3 and "NumberOfFrames" not in fields
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = ComputedRadiographyImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
        dataset.Rows, dataset.Columns = array.shape[:2] if colour else array.shape[-2:]
        dataset.SamplesPerPixel = 3 if colour else 1
        dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
        if colour:
            dataset.PlanarConfiguration = 0
        dataset.BitsAllocated = 8 * array.dtype.itemsize
        dataset.BitsStored = bits or dataset.BitsAllocated
        dataset.HighBit = dataset.BitsStored - 1
        dataset.PixelRepresentation = int(array.dtype.kind == "i")
        content = array.astype(array.dtype.newbyteorder("<")).tobytes()
        dataset.PixelData = content + b"\0" * (len(content) % 2)
        dataset["PixelData"].VR = "OB" if dataset.BitsAllocated == 8 else "OW"
        for keyword, value in {**PATIENT, **fields}.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        if compress is not None:
            dataset.compress(compress)
        pydicom.dcmwrite(tmp_path / name, dataset, enforce_file_format=True)
        return tmp_path / name

    return write
