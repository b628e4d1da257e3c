"""A DICOM file ends as the picture that a viewer shows, and its patient stays in the file."""

import sys

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    MPEG2MPML,
    BasicTextSRStorage,
    EncapsulatedPDFStorage,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from knobo.errors import FileError, InputError, KnoboError, MissingDependencyError
from knobo.images import dicom_tags, read_image

RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
DEEP = np.arange(64, dtype=np.uint16).reshape(8, 8) * 60


def grey(*arguments, **options):
    pixels = read_image(*arguments, **options)
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
    np.testing.assert_array_equal(pixels[..., 0], pixels[..., 2])
    return pixels[..., 0].astype(int)


def stretched(values):
    return np.rint((values - float(values.min())) / (float(values.max()) - float(values.min())) * 255)


def test_eight_bits_keep_their_scale_and_deeper_ones_are_stretched(write_dicom):
    np.testing.assert_array_equal(grey(write_dicom(RAMP)), RAMP)
    np.testing.assert_array_equal(grey(write_dicom(DEEP, bits=12)), stretched(DEEP))


def test_monochrome1_is_inverted(write_dicom):
    np.testing.assert_array_equal(grey(write_dicom(RAMP, PhotometricInterpretation="MONOCHROME1")), 255 - RAMP)
    np.testing.assert_array_equal(grey(write_dicom(RAMP, PresentationLUTShape="INVERSE")), 255 - RAMP)


def test_the_first_window_is_used_and_another_can_be_chosen(write_dicom):
    path = write_dicom(DEEP, bits=12, WindowCenter=[1000, 2000], WindowWidth=[401, 1001])
    expected = np.clip((DEEP - 999.5) / 400 + 0.5, 0, 1) * 255
    assert np.abs(grey(path) - expected).max() <= 0.5
    np.testing.assert_array_equal(grey(path, window=0), grey(path))
    assert np.abs(grey(path, window=1) - np.clip((DEEP - 1999.5) / 1000 + 0.5, 0, 1) * 255).max() <= 0.5
    np.testing.assert_array_equal(grey(path, window=(2000.0, 1001.0)), grey(path, window=1))
    with pytest.raises(InputError, match=r"image\.dcm has no window 2: it holds 2, numbered from 0"):
        read_image(path, window=2)
    with pytest.raises(InputError, match="width of a window must be at least 1"):
        read_image(path, window=(10.0, 0.0))


def test_a_window_is_in_rescaled_units(write_dicom):
    hounsfield = DEEP.astype(np.int16) - 1024
    path = write_dicom(DEEP, bits=12, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400)
    assert np.abs(grey(path) - np.clip((hounsfield - 39.5) / 399 + 0.5, 0, 1) * 255).max() <= 0.5


@pytest.mark.parametrize(
    ("function", "formula"),
    [
        ("LINEAR_EXACT", lambda x: np.clip((x - 1000) / 400 + 0.5, 0, 1)),
        ("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x - 1000) / 400))),
    ],
)
def test_other_window_functions(write_dicom, function, formula):
    path = write_dicom(DEEP, bits=12, WindowCenter=1000, WindowWidth=400, VOILUTFunction=function)
    assert np.abs(grey(path) - formula(DEEP.astype(float)) * 255).max() <= 0.5


def test_a_window_without_width_is_as_none(write_dicom):
    np.testing.assert_array_equal(grey(write_dicom(DEEP, WindowCenter=0, WindowWidth=0)), stretched(DEEP))


@pytest.mark.parametrize("representation", ["US", "OW"])
def test_a_voi_table_goes_before_the_window(write_dicom, representation):
    table = Dataset()
    table.LUTDescriptor = [100, 50, 12]
    values = [4095 - 40 * n for n in range(100)]
    table.add_new("LUTData", representation, values if representation == "US" else np.array(values, "<u2").tobytes())
    small = np.array([[0, 50], [60, 500]], np.uint16)
    path = write_dicom(small, bits=12, VOILUTSequence=[table], WindowCenter=30, WindowWidth=50)
    expected = np.array([[4095, 4095], [4095 - 400, 4095 - 3960]]) / 4095 * 255
    assert np.abs(grey(path) - expected).max() <= 0.5
    assert np.abs(grey(path, window=0) - expected).max() > 100


def test_padding_is_black_and_does_not_count(write_dicom):
    values = DEEP.astype(np.int16)
    values[0, 0] = -2000
    for polarity in ("MONOCHROME1", "MONOCHROME2"):
        shades = grey(write_dicom(values, PixelPaddingValue=-2000, PhotometricInterpretation=polarity))
        assert shades[0, 0] == 0
        assert sorted({shades[0, 1], shades[-1, -1]}) == [0, 255]


def test_a_constant_deep_image_is_black(write_dicom):
    assert (grey(write_dicom(np.full((4, 4), 900, np.uint16))) == 0).all()


@pytest.mark.parametrize("planar", [0, 1])
def test_colour_in_both_orders(write_dicom, planar):
    rgb = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    content = np.moveaxis(rgb, -1, 0).tobytes() if planar else rgb.tobytes()
    path = write_dicom(rgb, PlanarConfiguration=planar, PixelData=content)
    np.testing.assert_array_equal(read_image(path), rgb)


def test_ybr_and_sixteen_bit_colour(write_dicom):
    rgb = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    ybr = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
    back = read_image(write_dicom(ybr, PhotometricInterpretation="YBR_FULL"))
    assert np.abs(back.astype(int) - rgb).max() <= 3
    np.testing.assert_array_equal(read_image(write_dicom(rgb.astype(np.uint16) * 257)), rgb)


def test_palette_colour(write_dicom):
    table = np.random.default_rng(0).integers(0, 65536, (3, 256), dtype=np.uint16)
    fields = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, channel in zip(("Red", "Green", "Blue"), table, strict=True):
        fields[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        fields[f"{name}PaletteColorLookupTableData"] = channel.astype("<u2").tobytes()
    pixels = read_image(write_dicom(RAMP, **fields))
    assert np.abs(pixels - table.T[RAMP] / 257).max() <= 0.51


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compressed_files_come_back_pixel_for_pixel(write_dicom, syntax):
    noise = np.random.default_rng(0).integers(0, 4096, (32, 32), dtype=np.uint16)
    plain, compressed = write_dicom(noise, bits=12), write_dicom(noise, bits=12, compress=syntax, name="small.dcm")
    assert pydicom.dcmread(compressed).file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(read_image(compressed), read_image(plain))


def test_jpeg_is_decoded(write_dicom, tmp_path):
    smooth = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8) * 4
    Image.fromarray(smooth).save(tmp_path / "frame.jpg", quality=95)
    content = encapsulate([(tmp_path / "frame.jpg").read_bytes()])
    path = write_dicom(smooth, syntax=JPEGBaseline8Bit, PixelData=content)
    assert np.abs(grey(path) - smooth).mean() < 2


def test_a_missing_decoder_is_named_with_the_way_to_get_it(write_dicom, monkeypatch):
    path = write_dicom(RAMP, syntax=HTJ2K, PixelData=encapsulate([b"\0" * 64]))
    monkeypatch.setattr(pydicom.pixels.get_decoder(HTJ2K), "_available", {})
    with pytest.raises(
        MissingDependencyError, match=r'image\.dcm: it is compressed as High.*pip install "knobo\[dicom\]"'
    ):
        read_image(path)


def test_without_pydicom_the_way_to_get_it_is_named(write_dicom, monkeypatch):
    path = write_dicom(RAMP)
    for name in ("pydicom", "pydicom.config"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=r'image\.dcm: DICOM files need pydicom.*"knobo\[dicom\]"'):
        read_image(path)


def test_video_is_no_image(write_dicom):
    path = write_dicom(RAMP, syntax=MPEG2MPML, PixelData=encapsulate([b"\0" * 64]))
    with pytest.raises(FileError, match=r"is compressed as MPEG2.*which is no image format"):
        read_image(path)


def test_one_of_several_frames_is_chosen(write_dicom):
    frames = np.stack([RAMP, RAMP // 2, RAMP // 4])
    path = write_dicom(frames, NumberOfFrames=3)
    with pytest.raises(FileError, match=r"image\.dcm holds 3 frames; choose one with frame=0 to frame=2"):
        read_image(path)
    np.testing.assert_array_equal(grey(path, frame=1), RAMP // 2)
    with pytest.raises(InputError, match="has no frame 3: it holds 3"):
        read_image(path, frame=3)


@pytest.mark.parametrize("kind", [BasicTextSRStorage, EncapsulatedPDFStorage])
def test_files_without_pixels_say_what_they_are(write_dicom, kind):
    path = write_dicom(RAMP, PixelData=None, Rows=None, Columns=None, SOPClassUID=kind)
    with pytest.raises(FileError, match=rf"DICOM file without an image.*it is a {kind.name}"):
        read_image(path)
    with pytest.raises(FileError, match=r"no pixel data\): it is a Computed Radiography"):
        read_image(write_dicom(RAMP, PixelData=None))


def test_truncated_and_foreign_files_are_named(write_dicom, tmp_path):
    whole = write_dicom(DEEP)
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(FileError, match=r"cut\.dcm: damaged or truncated"):
        read_image(cut)
    (tmp_path / "text.dcm").write_text("not an image " * 30)
    with pytest.raises(FileError, match=r"text\.dcm"):
        read_image(tmp_path / "text.dcm")


def test_bombs_are_refused_before_they_are_decoded(write_dicom):
    path = write_dicom(RAMP, Rows=65000, Columns=65000)
    with pytest.raises(FileError, match=r"image\.dcm is refused as too large \(65000 x 65000"):
        read_image(path)


def test_the_name_does_not_matter_and_the_marker_may_be_missing(write_dicom, tmp_path):
    path = write_dicom(RAMP, name="scan.png")
    np.testing.assert_array_equal(grey(path), RAMP)
    dataset = pydicom.dcmread(path)
    bare = Dataset()
    bare.update({tag: dataset[tag] for tag in dataset._dict})
    bare.save_as(tmp_path / "bare.dcm", implicit_vr=True, little_endian=True)
    np.testing.assert_array_equal(grey(tmp_path / "bare.dcm"), RAMP)


def test_an_encoder_sees_the_picture_also_when_threads_read(write_dicom, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    from knobo.encoders import load_encoder

    noise = np.random.default_rng(0).integers(0, 4096, (40, 40), dtype=np.uint16)
    scans = [write_dicom(noise + n, bits=13, compress=RLELossless, name=f"{n}.dcm") for n in range(8)]
    for n, scan in enumerate(scans):
        Image.fromarray(read_image(scan)).save(tmp_path / f"{n}.png")
    encoder = load_encoder("classical")
    np.testing.assert_array_equal(
        encoder.encode_images(scans), encoder.encode_images([tmp_path / f"{n}.png" for n in range(8)])
    )
    with ThreadPoolExecutor(4) as pool:
        for n, pixels in enumerate(pool.map(read_image, scans)):
            np.testing.assert_array_equal(pixels, read_image(tmp_path / f"{n}.png"))


def test_only_named_tags_leave_the_file(write_dicom):
    path = write_dicom(RAMP, PatientSex="F", ImageType=["DERIVED", "PRIMARY"])
    assert dicom_tags(path, ["PatientSex", "ImageType", "Manufacturer"]) == {
        "PatientSex": "F",
        "ImageType": "DERIVED|PRIMARY",
        "Manufacturer": "",
    }
    with pytest.raises(InputError, match=r"'PatientSexx' is no keyword.*Did you mean 'PatientSex'"):
        dicom_tags(path, ["PatientSexx"])


def test_the_reader_never_parses_the_patient(write_dicom, monkeypatch):
    path = write_dicom(RAMP)
    seen = []
    read = pydicom.dcmread
    monkeypatch.setattr(pydicom, "dcmread", lambda *args, **kw: seen.append(read(*args, **kw)) or seen[-1])
    read_image(path)
    assert "Rows" in seen[0]
    assert not [element.keyword for element in seen[0] if element.keyword.startswith("Patient")]


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), bits=st.sampled_from([8, 10, 12, 16]), signed=st.booleans(), inverted=st.booleans())
def test_random_monochrome_images_come_back_in_order(write_dicom, data, bits, signed, inverted):
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    dtype = np.dtype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")
    values = data.draw(arrays(dtype, (3, 5), elements=st.integers(low, high)))
    polarity = "MONOCHROME1" if inverted else "MONOCHROME2"
    shades = grey(write_dicom(values, bits=bits, PhotometricInterpretation=polarity))
    span = int(values.max()) - int(values.min())
    kept = bits == 8 and not signed
    expected = values.astype(float) if kept else (values.astype(float) - values.min()) / max(span, 1) * 255
    assert np.abs(shades - (255 - expected if inverted else expected)).max() <= 0.5 + 1e-6


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 2000), byte=st.integers(0, 255), compress=st.sampled_from([None, RLELossless]))
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_byte_gives_an_image_or_a_knobo_error_without_the_patient(write_dicom, at, byte, compress):
    path = write_dicom(RAMP, compress=compress)
    content = bytearray(path.read_bytes())
    content[at % len(content)] = byte
    path.write_bytes(bytes(content))
    try:
        message = ""
        pixels = read_image(path)
    except KnoboError as error:
        pixels, message = None, str(error)
    assert pixels is not None or str(path) in message
    assert "SECRET" not in message
