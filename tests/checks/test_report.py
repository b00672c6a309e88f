"""The report reads well in a terminal, in a notebook, as a figure and as JSON."""

import io
import json
import sys

import numpy as np
import pytest

from minitorch_cv.checks import Report, check_gradient
from minitorch_cv.checks.report import CheckError, Hypothesis, InputReport, _wants_colour


def linear(x, w):
    return x @ w


def right_backward(dy, x, w):
    return dy @ w.T, x.T @ dy


def wrong_backward(dy, x, w):
    return dy @ w.T, 4 * x.T @ dy


@pytest.fixture
def inputs():
    rng = np.random.default_rng(0)
    return rng.standard_normal((4, 3)), rng.standard_normal((3, 2))


@pytest.fixture
def right(inputs):
    return check_gradient(linear, right_backward, inputs)


@pytest.fixture
def wrong(inputs):
    return check_gradient(linear, wrong_backward, inputs)


def test_truth_and_lookup(right, wrong):
    assert right and not wrong
    assert wrong["x"].ok and not wrong["w"].ok
    with pytest.raises(KeyError, match="no input 'z'"):
        wrong["z"]


def test_nothing_checked_is_not_right():
    assert not Report("nothing")
    assert "Nothing was checked." in str(Report("nothing"))


def test_a_problem_makes_right_values_wrong(right):
    right.problems.append("backward changes its input x in place")
    assert not right
    assert "problem: backward changes its input x in place" in str(right)
    assert "The gradient is right" not in str(right)


def test_text_of_a_right_gradient(right):
    text = right.text()
    assert "right_backward against differences of linear" in text
    assert "12 of 12" in text and "6 of 6" in text
    assert text.endswith("The gradient is right.")
    assert "\033" not in text


def test_text_of_a_wrong_gradient(wrong):
    text = wrong.text()
    index = wrong["w"].worst
    assert f"w: worst at {index}: expected {wrong['w'].expected[index]:.6g}" in text
    assert "-> dw is 4 times the numeric gradient everywhere" in text
    assert text.endswith("The gradient is WRONG.")


def test_colours_only_on_a_terminal(wrong, right, monkeypatch):
    assert "\033[31mWRONG\033[0m" in wrong.text(colour=True)
    assert "\033[32mright\033[0m" in right.text(colour=True)
    assert "\033" not in str(wrong)

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert _wants_colour()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not _wants_colour()


def test_html_is_escaped(wrong):
    wrong.title = "<script>"
    wrong.notes.append("a < b")
    page = wrong._repr_html_()
    assert "<script>" not in page and "&lt;script&gt;" in page and "a &lt; b" in page
    assert page.count("<tr>") == 3 and "wrong" in page


def test_json(wrong):
    values = json.loads(json.dumps(wrong.to_dict(), allow_nan=False))
    assert values["ok"] is False
    (w,) = [entry for entry in values["inputs"] if entry["name"] == "w"]
    assert w["checked"] == 6 and w["hypotheses"][0]["kind"] == "constant factor"
    assert w["given"] == pytest.approx(4 * w["expected"])


def test_json_without_numbers():
    entry = InputReport("x", (2,), ok=False, expected=np.array([1.0, np.nan]), given=np.array([np.nan, 1.0]))
    values = json.loads(json.dumps(entry.to_dict(), allow_nan=False))
    assert values["max_error"] is None and values["given"] is None
    assert entry.error is not None and np.isinf(entry.error[0]) and np.isnan(entry.error[1])


def test_error_is_relative_with_a_floor():
    expected = np.array([1.0, 1e-12, 0.0])
    entry = InputReport("x", (3,), ok=True, expected=expected, given=np.array([1.1, 2e-12, 0.0]))
    assert entry.error is not None
    np.testing.assert_allclose(entry.error, [0.1 / 1.1, 1e-6, 0.0])


def test_skipped_entries_are_counted_in_the_text():
    x = np.array([[0.0, 1.0, -1.0, 2.0]])
    report = check_gradient(lambda x: np.maximum(x, 0), lambda dy, x: dy * (x > 0), x)
    assert report
    assert "3 of 4, 1 at kinks" in str(report)


def test_hypotheses_are_gathered(wrong):
    assert [hypothesis.kind for hypothesis in wrong.hypotheses][:1] == ["constant factor"]
    assert Hypothesis("sign", "wrong sign").confidence == 1


def test_check_error_has_an_exit_code():
    assert CheckError.exit_code == 2


@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 4), (2, 3, 4, 5), (2, 2, 2, 3, 4)])
def test_figure_of_every_number_of_axes(shape):
    x = np.random.default_rng(0).standard_normal(shape) + 3
    for report in (
        check_gradient(np.square, lambda dy, x: 2 * dy * x, (x,)),
        check_gradient(np.square, lambda dy, x: dy * x + 1, (x,)),
    ):
        figure = report.plot()
        heat = figure.axes[0]
        assert len(heat.images) == 1
        assert np.isfinite(np.asarray(heat.images[0].get_array().filled(np.nan))).sum() == x.size
        figure.canvas.draw()


def test_figure_marks_the_worst_entry(wrong):
    figure = wrong.plot()
    heat = next(axes for axes in figure.axes if axes.get_title().startswith("w"))
    (mark,) = heat.lines
    row, column = wrong["w"].worst
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (column, row)


def test_figure_tells_the_likeliest_explanation(wrong):
    told = " ".join(axes.get_title(loc="left").replace("\n", " ") for axes in wrong.plot().axes)
    assert told.strip() == wrong["w"].hypotheses[0].message
    x = np.ones((4, 3))
    unsummed = check_gradient(lambda x, b: x + b, lambda dy, x, b: (dy, dy), (x, np.ones(3))).plot()
    assert any("was broadcast" in text.get_text() for axes in unsummed.axes for text in axes.texts)


def test_figure_of_a_wrong_shape_and_of_nothing(inputs):
    report = check_gradient(linear, lambda dy, x, w: (dy @ w.T, dy), inputs)
    titles = [axes.get_title() for axes in report.plot().axes]
    assert any("w (3, 2): WRONG" in title for title in titles)
    assert not Report("nothing").plot().axes
