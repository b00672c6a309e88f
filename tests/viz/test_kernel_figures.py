"""Rooflines, sectors and banks: what is drawn is what was given."""

import numpy as np
import pytest

from minitorch_cv import viz


def test_a_roof_is_the_lesser_of_peak_and_bandwidth():
    figure = viz.roofline({"fast": (100e12, 2e12), "slow": (10e12, 1e12)}, {"a": (8.0, None), "b": (80.0, 3e12)})
    fast, slow, *_ = figure.axes[0].lines
    for line, peak, bandwidth in ((fast, 100, 2), (slow, 10, 1)):
        np.testing.assert_allclose(line.get_ydata(), np.minimum(peak, bandwidth * line.get_xdata()))
    points = {line.get_label(): line for line in figure.axes[0].lines if not line.get_label().startswith("_")}
    assert [text.partition(":")[0] for text in points] == ["a", "b"]
    a, b = points.values()
    assert (a.get_xdata()[0], a.get_ydata()[0]) == (8.0, 16.0) and a.get_markerfacecolor() == "white"
    assert (b.get_xdata()[0], b.get_ydata()[0]) == (80.0, 3.0) and b.get_markerfacecolor() != "white"


@pytest.mark.parametrize(
    ("roofs", "points"), [({}, {}), ({"a": (0, 1)}, {}), ({"a": (1, 1)}, {"b": (float("nan"), None)})]
)
def test_a_roofline_of_nothing(roofs, points):
    with pytest.raises(ValueError, match="roofline: roofs expects at least one, and all numbers positive"):
        viz.roofline(roofs, points)


def test_sectors_are_those_of_the_words():
    figure = viz.sectors((4, 16), [0, 1, 9, 50], title="some")
    axes = figure.axes[0]
    assert axes.get_title() == "some\n3 sectors for 4 lanes: 16 of 96 bytes wanted"
    picture = axes.images[0].get_array()
    white = (picture == 1).all(-1)
    assert (~white).sum() == 24 and not white[0].any() and not white[3, :8].any()
    assert len(np.unique(picture[~white], axis=0)) == 2
    with pytest.raises(ValueError, match=r"sectors: words expects numbers of a matrix \(4, 16\)"):
        viz.sectors((4, 16), [64])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (range(32), "1 wavefront"),
        (range(0, 64, 2), "2 wavefronts"),
        (range(0, 1024, 32), "32 wavefronts"),
        ([5] * 32, "1 wavefront"),
    ],
)
def test_banks_tell_the_wavefronts(words, told):
    axes = viz.banks(list(words)).axes[0]
    assert axes.get_title() == told
    numbers = [text.get_text() for text in axes.texts if text.get_text()]
    assert len(numbers) == len(set(words))


def test_banks_of_nothing():
    with pytest.raises(ValueError, match="banks: words expects at least one, none negative"):
        viz.banks([])
