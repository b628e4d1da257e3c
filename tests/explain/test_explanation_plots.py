"""Plots show the right numbers, return their axes, and keep all text inside the figure."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from knobo.bank import ConceptBank
from knobo.errors import FileError, InputError
from knobo.explain import Explanation, plot_case, plot_contributions, plot_weights


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in (*ax.texts, *ax.get_yticklabels(), ax.title, ax._left_title) if text.get_text()]


def assert_nothing_is_cut(figure):
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 > -0.01
    assert box.y0 > -0.01
    assert box.x1 < width + 0.01
    assert box.y1 < height + 0.01


def assert_no_text_overlaps(ax):
    ax.figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in ax.texts if text.get_text()]
    boxes += [(label.get_text(), label.get_window_extent()) for label in ax.get_yticklabels()]
    for i, (first, a) in enumerate(boxes):
        for second, b in boxes[i + 1 :]:
            overlap = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
            assert min(overlap) < 1.5, (first, second)


def test_the_waterfall_leads_from_the_base_to_the_logit(why):
    ax = why[0].plot()
    bars = ax.patches
    k, values = 0, why.contributions[0, 0]
    order = [j for j in np.argsort(-np.abs(values)) if why.weights[k, j]]
    np.testing.assert_allclose([bar.get_width() for bar in bars], values[order])
    assert bars[0].get_x() == pytest.approx(why.base[k])
    assert bars[-1].get_x() + bars[-1].get_width() == pytest.approx(why.logits[0, k])
    shown = texts(ax)
    assert "heart failure: probability 0.82" in shown
    assert "enlarged heart  0.80" in shown
    assert "consolidation †  0.50" in shown  # the literature expects the other sign
    assert any("Effusions go with heart failure." in text.replace("\n", " ") for text in shown)
    assert_nothing_is_cut(ax.figure)
    assert_no_text_overlaps(ax)


def test_other_concepts_share_one_bar(why):
    ax = plot_contributions(why, class_name="heart_failure", max_concepts=2)
    assert "2 other findings" in texts(ax)
    assert sum(bar.get_width() for bar in ax.patches) == pytest.approx(why.logits[0, 0] - why.base[0])


def test_evidence_can_be_left_out(why):
    assert not any("Effusions" in text for text in texts(plot_contributions(why, evidence=False)))


@pytest.mark.parametrize("layout", [None, "constrained", "tight"])
@pytest.mark.parametrize("size", [(6.4, 4.8), (8, 6), (5, 3.5)])
def test_a_given_figure_keeps_its_size_and_cuts_nothing(why, layout, size):
    figure, ax = plt.subplots(figsize=size, layout=layout)
    assert why[2].plot(ax=ax) is ax
    assert tuple(figure.get_size_inches()) == size
    assert_nothing_is_cut(figure)
    assert_no_text_overlaps(ax)


def test_neighbouring_axes_are_left_alone(why):
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5))
    before = right.get_position().bounds
    why[0].plot(ax=left)
    assert right.get_position().bounds == before
    figure.draw_without_rendering()
    assert left.get_tightbbox().x1 <= figure.bbox.width / 2 + 1


def test_long_names_dollar_signs_and_two_classes(parts, why_two):
    document = parts["bank"].model_dump()
    document["concepts"][0]["name"] = "$x_1 flattened hemidiaphragms with widened intercostal spaces on $ both sides"
    w, b = parts["weights"][0], parts["intercept"][0]
    changes = {"weights": np.vstack([-w, w]), "intercept": [-b, b], "classes": ["a$b$", "$c"], "prior_signs": None}
    why = Explanation(**parts | changes | {"bank": ConceptBank.model_validate(document)})
    ax = why[0].plot()
    assert ax.get_xlabel() == "log-odds of $c against a$b$"
    assert_nothing_is_cut(ax.figure)
    assert_no_text_overlaps(ax)


def test_a_head_without_weights_can_be_drawn(parts):
    why = Explanation(**parts | {"weights": np.zeros((3, 5))})
    ax = why[0].plot()
    assert len(ax.patches) == 0
    assert "normal: probability 0.90" in texts(ax)
    assert any(
        "No finding has a weight" in text for text in texts(plot_weights(why.weights, why.classes, list("abcde")))
    )


def test_a_case_is_drawn_beside_its_image(why):
    figure = Figure(figsize=(11, 6), layout="constrained")
    image_ax, proba_ax, ax = plot_case(why[0], np.zeros((20, 30)), figure=figure)
    assert image_ax.images[0].get_array().shape == (20, 30, 3)
    np.testing.assert_allclose([bar.get_width() for bar in proba_ax.patches], why.probabilities[0])
    assert "heart failure: probability 0.82" in texts(ax)
    assert tuple(figure.get_size_inches()) == (11, 6)
    assert_nothing_is_cut(figure)


def test_the_explanations_own_image_is_used(parts):
    why = Explanation(**parts, images=[np.full((8, 8), i * 60, dtype=np.uint8) for i in range(4)])
    image_ax, _, _ = plot_case(why, case=2)
    assert (np.asarray(image_ax.images[0].get_array()) == 120).all()


def test_weights_stand_beside_the_prior(why, parts):
    names = [concept.name for concept in why.bank]
    ax = plot_weights(why.weights, why.classes, names, why.prior_signs)
    shown = [text for text in texts(ax) if text]
    assert ax.get_yticklabels()[0].get_text() in ("enlarged heart", "consolidation")
    assert shown.count("+") == 2
    assert "−1.00" in shown
    assert any("Framed" in text for text in shown)
    frames = [patch for patch in ax.patches if not patch.get_fill()]
    assert len(frames) == 1  # consolidation against heart failure
    assert_nothing_is_cut(ax.figure)


def test_two_classes_are_drawn_as_bars(why_two):
    names = [concept.name for concept in why_two.bank]
    signs = np.array([[-1, 0, -1, 0, 0], [1, 0, 1, 0, 0]])
    ax = plot_weights(why_two.weights, why_two.classes, names, signs, max_concepts=3)
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [3, 2, -1])
    assert any("Not shown, with smaller weights: 1 of 4 findings" in text for text in texts(ax))
    assert_nothing_is_cut(ax.figure)
    assert_no_text_overlaps(ax)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_name": "copd"}, "There is no class 'copd'. There are: heart_failure, normal, pneumonia"),
        ({"case": 9}, "no case at position 9: there are 4"),
        ({"case": slice(2)}, "case must be one position"),
        ({"max_concepts": 0}, "max_concepts is 0; draw at least 1"),
    ],
)
def test_what_cannot_be_drawn_is_named(why, arguments, message):
    with pytest.raises(InputError, match=message):
        plot_contributions(why, **arguments)


def test_other_unusable_input_is_named(why, tmp_path):
    with pytest.raises(InputError, match="no image to draw: pass image="):
        plot_case(why)
    with pytest.raises(FileError, match="no such file"):
        plot_case(why, tmp_path / "a.png")
    with pytest.raises(InputError, match=r"weights has shape \(3, 5\); expected \(3, 2\)"):
        plot_weights(why.weights, why.classes, ["a", "b"])
    with pytest.raises(InputError, match="prior_signs must be -1, 0"):
        plot_weights(why.weights, why.classes, list("abcde"), np.full((3, 5), 2))
    with pytest.raises(InputError, match="max_concepts is 0"):
        plot_weights(why.weights, why.classes, list("abcde"), max_concepts=0)
