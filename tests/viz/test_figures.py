"""Curves, images, filters, feature maps and confusion matrices: what is drawn is what was given."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

import minitorch_cv as mt
from minitorch_cv import viz
from minitorch_cv.training import History


@pytest.fixture
def history():
    found = History()
    for epoch in range(1, 6):
        found.append(
            {
                "epoch": epoch,
                "lr": 0.1,
                "loss": 2.0 / epoch,
                "top1": 1 - 0.5 / epoch,
                "test_loss": 2.1 / epoch,
                "test_top1": 1 - 0.6 / epoch,
                "seconds": 1.0,
                "images_per_second": 100.0,
            }
        )
    return found


def drawn_array(figure):
    """The picture of a mosaic."""
    return np.ma.filled(figure.axes[0].images[0].get_array(), np.nan)


def test_importing_viz_does_not_import_matplotlib():
    code = "import sys, minitorch_cv.viz as v; dir(v); assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_exists():
    for name in viz.__all__:
        assert callable(getattr(viz, name)) and name in dir(viz)
    with pytest.raises(AttributeError, match="has no attribute 'pie'"):
        viz.pie  # noqa: B018


def test_nothing_is_kept_by_pyplot(history):
    code = (
        "import sys, numpy as np, minitorch_cv.viz as v\n"
        "v.curves({'a': [1, 2]}); v.image_grid(np.zeros((2, 1, 3, 3))); v.confusion_matrix(np.eye(2, dtype=int))\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_figures_show_themselves_in_a_notebook(history, rng):
    x = mt.Tensor(rng.standard_normal(3), requires_grad=True)
    report = mt.check_gradient(np.square, lambda dy, x: 2 * dy * x, rng.standard_normal(3))
    figures = (
        viz.curves({"loss": [2.0, 1.0]}, ylabel="loss"),
        viz.curves(history),
        viz.image_grid(rng.random((2, 1, 4, 4))),
        viz.confusion_matrix(np.eye(3, dtype=int)),
        report.plot(),
        mt.graph(x * x).draw(),
    )
    for figure in figures:
        assert isinstance(figure, Figure) and figure._repr_png_().startswith(b"\x89PNG")


def test_curves_draw_each_series_apart():
    figure = viz.curves({"a": [3, 2, 1], "b": ([0, 10], [1, 2])}, ylabel="loss", title="title", log=True)
    (ax,) = figure.axes
    a, b = ax.lines
    assert a.get_xydata().tolist() == [[1, 3], [2, 2], [3, 1]] and b.get_xydata().tolist() == [[0, 1], [10, 2]]
    for look in ("get_color", "get_linestyle", "get_marker"):
        assert getattr(a, look)() != getattr(b, look)()
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title(), ax.get_yscale()) == ("epoch", "loss", "title", "log")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_a_history_gets_a_panel_for_each_kind_of_measurement(history):
    figure = history.plot(title="AlexNet")
    loss, accuracy = figure.axes
    assert [line.get_label() for line in loss.lines] == ["training loss", "test loss"]
    assert [line.get_label() for line in accuracy.lines] == ["training top-1", "test top-1"]
    assert [line.get_linestyle() for line in loss.lines] == ["-", "--"]
    assert loss.lines[1].get_ydata().tolist() == history["test_loss"]
    assert accuracy.yaxis.get_major_formatter()(0.5) == "50%"
    assert figure.get_suptitle() == "AlexNet"


def test_given_axes_are_drawn_in(history):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert viz.curves(history, ax=left) is figure and len(left.lines) == 4
    assert viz.image_grid(np.zeros((4, 3, 5, 5)), ax=right) is figure and len(right.images) == 1


def test_curves_say_what_does_not_fit():
    with pytest.raises(ValueError, match=r"^curves: series expects at least one value; there is none"):
        viz.curves({})
    with pytest.raises(ValueError, match=r"^curves: series expects at least one value; there is none"):
        viz.curves(History())
    with pytest.raises(ValueError, match=r"^curves: 'a' of shape \(2,\) expects x of its shape; it is \(3,\)"):
        viz.curves({"a": [1, 2]}, x=[1, 2, 3])
    with pytest.raises(ValueError, match=r"^curves: series expects a measurement besides epoch; there is none"):
        viz.curves({"epoch": [1, 2]})
    with pytest.raises(TypeError, match=r"^curves: series expects a History or a mapping .*; it is \[1, 2\]"):
        viz.curves([1, 2])


def test_an_axis_of_nothing_above_zero_stays_linear():
    figure = viz.curves({"error": [0.0, 0.0]}, log=True)
    assert figure.axes[0].get_yscale() == "linear"
    assert viz.curves({"error": [0.1, 0.0]}, log=True).axes[0].get_yscale() == "log"


def test_image_grid_places_images_row_by_row(rng):
    images = rng.integers(0, 256, (5, 1, 30, 26), dtype=np.uint8)
    picture = drawn_array(viz.image_grid(images, columns=3))
    gap = 2
    assert picture.shape == (2 * 30 + gap, 3 * 26 + 2 * gap)
    np.testing.assert_allclose(picture[:30, :26], images[0, 0] / 255)
    np.testing.assert_allclose(picture[32:, 28:54], images[4, 0] / 255)
    assert np.isnan(picture[32:, 56:]).all() and np.isnan(picture[:, 26:28]).all()


def test_image_grid_in_colour_with_titles(rng):
    images = rng.random((3, 3, 24, 24))
    figure = viz.image_grid(mt.Tensor(images), titles=["a", 1, "c"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["a", "1", "c"]
    picture = drawn_array(figure)
    np.testing.assert_allclose(picture[-24:, :24], images[0].transpose(1, 2, 0))
    figure.canvas.draw()
    extents = [text.get_window_extent() for text in figure.axes[0].texts]
    assert all(a.x1 < b.x0 for a, b in zip(extents, extents[1:])), "titles lie over each other"


def test_normalised_images_span_black_to_white(rng):
    images = rng.normal(size=(2, 24, 24))
    picture = drawn_array(viz.image_grid(images))
    assert np.nanmin(picture) == 0 and np.nanmax(picture) == 1
    clipped = drawn_array(viz.image_grid(images, limits=(-1, 1)))
    np.testing.assert_allclose(clipped[:, :24], np.clip((images[0] + 1) / 2, 0, 1))


def test_filters_show_zero_as_middle_grey(rng):
    weight = rng.normal(size=(4, 1, 24, 24))
    weight[:, :, 0, 0] = 0
    picture = drawn_array(viz.filters(mt.Tensor(weight), columns=4))
    assert picture[0, 0] == 0.5
    np.testing.assert_allclose(picture[:, :24], 0.5 + 0.5 * weight[0, 0] / abs(weight[0]).max())
    assert drawn_array(viz.filters(rng.normal(size=(64, 3, 11, 11)))).shape[-1] == 3
    assert drawn_array(viz.filters(rng.normal(size=(2, 5, 24, 24)))).shape == (50 - 1, 125 - 1)


def test_small_tiles_are_enlarged_by_whole_pixels(rng):
    picture = drawn_array(viz.filters(rng.normal(size=(1, 1, 5, 3))))
    assert picture.shape == (40, 24) and (picture[:8, :8] == picture[0, 0]).all()


def test_feature_maps_share_a_scale_with_its_bar(rng):
    maps = rng.normal(size=(1, 3, 24, 30))
    figure = viz.feature_maps(maps, titles="abc")
    image = figure.axes[0].images[0]
    assert image.get_clim() == (maps.min(), maps.max()) and figure.axes[1].get_ylabel() == "activation"
    np.testing.assert_array_equal(drawn_array(figure)[-24:, :30], maps[0, 0])


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: viz.image_grid(np.zeros((2, 4, 3, 3))), r"^image_grid: images expects shape .* it is \(2, 4, 3, 3\)"),
        (lambda: viz.image_grid(np.zeros((2, 3, 3)), titles="a"), r"^image_grid: titles expects 2, .* there are 1"),
        (lambda: viz.image_grid(np.zeros((2, 3, 3)), columns=-1), r"^images: columns expects 1 or more; it is -1"),
        (lambda: viz.filters(np.zeros((2, 3))), r"^filters: weight expects shape \(O, C, kh, kw\); it is \(2, 3\)"),
        (lambda: viz.feature_maps(np.zeros((2, 3, 4, 4))), r"^feature_maps: maps expects .* it is \(2, 3, 4, 4\)"),
        (lambda: viz.feature_maps(np.zeros((3, 4, 4)), titles="a"), r"^feature_maps: titles expects 3, .* there are 1"),
        (lambda: viz.confusion_matrix(np.zeros((2, 3))), r"^confusion_matrix: matrix expects .* it is \(2, 3\)"),
        (lambda: viz.confusion_matrix(np.eye(2), ["a"]), r"^confusion_matrix: names expects 2, .* there are 1"),
    ],
)
def test_wrong_shapes_are_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_confusion_matrix_shows_counts_and_shares():
    matrix = np.array([[8, 2, 0], [1, 1, 0], [0, 0, 0]])
    figure = viz.confusion_matrix(matrix, ["cat", "dog", "aeroplane"], title="test")
    ax = figure.axes[0]
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.8, 0.2, 0], [0.5, 0.5, 0], [0, 0, 0]])
    assert {(t.get_position(), t.get_text()) for t in ax.texts} == {
        ((0, 0), "8"),
        ((1, 0), "2"),
        ((0, 1), "1"),
        ((1, 1), "1"),
    }
    assert ax.get_title() == "test\n9 of 12 right (75.0%)"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cat", "dog", "aeroplane"]


def test_a_large_confusion_matrix_has_no_numbers():
    figure = viz.confusion_matrix(np.eye(100, dtype=int))
    assert not figure.axes[0].texts and len(figure.axes[0].get_xticks()) == 50


def test_colours_differ_in_lightness_and_for_colour_blind_eyes():
    from matplotlib.colors import to_rgb

    from minitorch_cv.viz._style import COLORS

    # Viénot, Brettel, Mollon 1999: how a dichromat sees linear RGB (protanopia, deuteranopia).
    views = [
        np.eye(3),
        np.array([[0.1124, 0.8876, 0.0], [0.1124, 0.8876, 0.0], [0.0040, -0.0040, 1.0]]),
        np.array([[0.2927, 0.7073, 0.0], [0.2927, 0.7073, 0.0], [-0.0223, 0.0223, 1.0]]),
    ]
    linear = np.array([[((c + 0.055) / 1.055) ** 2.4 if c > 0.04 else c / 12.92 for c in to_rgb(k)] for k in COLORS])
    for view in views:
        seen = np.clip(linear @ view.T, 0, 1) ** (1 / 2.2)
        distances = np.linalg.norm(seen[:, None] - seen[None], axis=-1) + 9 * np.eye(len(COLORS))
        assert distances.min() > 0.1
