import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def paths(tmp_path):
    """Eleven different images in files."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    for n in range(11):
        pixels = np.kron(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8), np.ones((12, 10, 1), np.uint8))
        Image.fromarray(pixels).save(folder / f"{n:02d}.png")
    return sorted(folder.iterdir())
