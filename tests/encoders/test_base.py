"""The protocols, and the scikit-learn transformer around an encoder."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from knobo.encoders import ClassicalEncoder, Encoder, ImageEncoder, TextEncoder
from knobo.encoders.base import as_images
from knobo.errors import InputError, InputTypeError, NotFittedError


class MeanColour:
    """An encoder from outside: three values, no names."""

    spec = "mean-colour"

    def encode_images(self, images, *, progress=False):
        rows = np.array([np.asarray(image, float).reshape(-1, 3).mean(axis=0) + 1 for image in images])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def images():
    shades = np.random.default_rng(0).integers(0, 256, (12, 1, 1, 3), dtype=np.uint8)
    return list(np.repeat(np.repeat(shades, 6, axis=1), 5, axis=2))


def test_protocols_look_at_methods():
    assert isinstance(MeanColour(), Encoder)
    assert not isinstance(MeanColour(), TextEncoder)
    assert not isinstance(object(), Encoder)


def test_transform_is_the_encoder(images):
    transformer = ImageEncoder(MeanColour())
    rows = transformer.fit_transform(images)
    np.testing.assert_array_equal(rows, MeanColour().encode_images(images))
    np.testing.assert_array_equal(transformer.transform(np.stack(images)), rows)
    assert transformer.n_features_out_ == 3
    assert transformer.get_feature_names_out().tolist() == ["embedding0", "embedding1", "embedding2"]


def test_frames_carry_feature_names_and_index(tmp_path, images):
    paths = [tmp_path / f"{n}.png" for n in range(2)]
    for path, image in zip(paths, images, strict=False):
        Image.fromarray(image).save(path)
    series = pd.Series([str(path) for path in paths], index=[4, 9])
    transformer = ImageEncoder("classical:shape").set_output(transform="pandas")
    frame = transformer.fit_transform(series)
    assert list(frame.columns) == list(ClassicalEncoder(["shape"]).feature_names)
    assert frame.index.tolist() == [4, 9]
    np.testing.assert_array_equal(frame, transformer.transform(series.to_frame()))


def test_it_clones_and_works_in_a_pipeline(images):
    y = np.array([image[0, 0, 0] > 128 for image in images])
    pipeline = clone(make_pipeline(ImageEncoder(MeanColour()), LogisticRegression(C=1e3)))
    assert pipeline.fit(images, y).score(images, y) > 0.8
    params = ImageEncoder("classical", batch_size=8, progress=True).get_params()
    assert params == {"encoder": "classical", "store": None, "batch_size": 8, "workers": None, "progress": True}


def test_before_fit_and_with_a_wrong_encoder(images):
    with pytest.raises(NotFittedError, match="ImageEncoder"):
        ImageEncoder(MeanColour()).transform(images)
    with pytest.raises(InputTypeError, match="encoder must have spec and encode_images, got int"):
        ImageEncoder(3).fit(images)


def test_what_counts_as_several_images(images):
    assert len(as_images(np.stack(images))) == 12
    assert len(as_images(np.zeros((4, 8, 9)))) == 4
    assert as_images(("a.png", "b.png")) == ["a.png", "b.png"]
    assert as_images(pd.DataFrame({"image": ["a.png", "b.png"]})) == ["a.png", "b.png"]
    for one in (images[0], images[0][..., 0], "a.png", Image.fromarray(images[0]), None):
        with pytest.raises(InputTypeError, match="put a single image in a list"):
            as_images(one)
    with pytest.raises(InputError, match="no images"):
        as_images([])


def test_progress_shows_a_bar(images, capsys):
    quiet = ClassicalEncoder(["colour"]).encode_images(images)
    assert capsys.readouterr().err == ""
    loud = ClassicalEncoder(["colour"]).encode_images(images, progress=True)
    assert "encoding images: 100%" in capsys.readouterr().err
    np.testing.assert_array_equal(quiet, loud)
