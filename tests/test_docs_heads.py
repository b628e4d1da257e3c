"""The example of docs/heads-after-fit.md runs and shows what the page says."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

PAGE = Path(__file__).parents[1] / "docs" / "heads-after-fit.md"


def test_the_example_runs_from_top_to_bottom():
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S):
        exec(block, names)
    plt.close("all")
    assert list(names["conflicts"]["concept"]) == ["effusion"]  # the prior is wrong about this one only
    assert names["conflicts"]["frequency"].item() == 1
    assert list(names["stability"]["concept"][:2]) in (["opacity", "effusion"], ["effusion", "opacity"])
    assert "airspace opacity" in names["edited"].feature_names_in_
    assert names["edited"].coef_[0, 3] == names["edited"].coef_[0, 2] == 0
    assert np.isclose(names["clinic"].sum(), 1)
