"""Which algorithm a convolution takes: by rule, by timing, or direct alone."""

import numpy as np
import pytest

import minitorch_cv as mt

pytest.importorskip("llvmlite", reason="llvmlite is not installed; kernels on the processor need it")

from minitorch_cv.kernels.cpu import conv2d, timing

from minitorch_cv import ops
from minitorch_cv._numerics import load_numerics_state, numerics, numerics_state

SETTINGS = ((1, 1), (1, 1), (1, 1), 1)
NO_PADDING = ((1, 1), (0, 0), (1, 1), 1)


@pytest.fixture
def mode(tmp_path, monkeypatch):
    """`set_numerics`, put back afterwards, with a file of choices of its own."""
    monkeypatch.setattr(timing, "choices_file", lambda: tmp_path / "choices.json")
    monkeypatch.setattr(timing, "_from_disk", None)
    monkeypatch.setattr(numerics, "choices", {})
    yield mt.set_numerics
    mt.set_numerics("default")


def test_rule():
    assert conv2d.chosen_by_rule("correlate", (8, 64, 56, 56), (64, 64, 3, 3), SETTINGS, 4) == "F4"
    assert conv2d.chosen_by_rule("correlate", (1, 512, 7, 7), (512, 512, 3, 3), SETTINGS, 4) == "direct"
    assert conv2d.chosen_by_rule("correlate", (8, 3, 56, 56), (64, 3, 3, 3), SETTINGS, 4) == "direct"
    assert conv2d.chosen_by_rule("correlate", (8, 64, 56, 56), (64, 64, 3, 3), ((2, 2), *SETTINGS[1:]), 4) == "direct"


def test_strict_is_direct(mode, rng):
    x, weight = rng.standard_normal((2, 64, 20, 20)), rng.standard_normal((64, 64, 3, 3))
    by_rule = ops.conv2d(x, weight, padding=1)
    mode("strict")
    assert mt.get_numerics() == "strict"
    strict = ops.conv2d(x, weight, padding=1)
    assert np.array_equal(strict, conv2d.direct.correlate(x, weight, None, *SETTINGS))
    assert not np.array_equal(strict, by_rule) and np.allclose(strict, by_rule)


def test_unknown_mode():
    with pytest.raises(ValueError, match="set_numerics: mode expects one of default, strict, fast; it is 'quick'"):
        mt.set_numerics("quick")


def test_a_timing_is_remembered(mode, rng, monkeypatch):
    x = mt.Tensor(rng.standard_normal((2, 64, 20, 20)), requires_grad=True)
    weight = mt.Tensor(rng.standard_normal((64, 64, 3, 3)), requires_grad=True)
    mode("fast")
    ops.conv2d(x, weight, padding=1).sum().backward()
    chosen = dict(numerics.choices)
    assert sorted(key.split()[0] for key in chosen) == ["correlate", "gather", "spread"]
    # Another process: the same file, and no timing.
    monkeypatch.setattr(numerics, "choices", {})
    monkeypatch.setattr(timing, "_from_disk", None)
    monkeypatch.setattr(timing, "_fastest", lambda ways: pytest.fail("timed again"))
    ops.conv2d(x, weight, padding=1).sum().backward()
    assert numerics.choices == chosen


def test_a_saved_choice_holds(mode, rng, monkeypatch):
    x, weight = rng.standard_normal((2, 64, 20, 20)), rng.standard_normal((64, 64, 3, 3))
    mode("fast")
    for name in ("direct", "F2", "F4"):
        monkeypatch.setattr(numerics, "choices", {})
        monkeypatch.setattr(timing, "_fastest", lambda ways, name=name: name)
        monkeypatch.setattr(timing, "_from_disk", {})
        y = ops.conv2d(x, weight, padding=1)
        state = numerics_state()
        monkeypatch.setattr(numerics, "choices", {})
        monkeypatch.setattr(timing, "_fastest", lambda ways: pytest.fail("timed again"))
        load_numerics_state(state)
        assert np.array_equal(ops.conv2d(x, weight, padding=1), y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_window_as_large_as_the_image(dtype, rng):
    for x_shape, outputs in (((5, 7, 4, 3), 9), ((33, 16, 4, 4), 40)):
        x = rng.standard_normal(x_shape).astype(dtype)
        weight, bias = rng.standard_normal((outputs, *x_shape[1:])).astype(dtype), rng.standard_normal(outputs)
        y = conv2d.correlate(x, weight, bias.astype(dtype), (1, 1), (0, 0), (1, 1), 1)
        dy = rng.standard_normal(y.shape).astype(dtype)
        results = y, conv2d.spread(dy, weight, x_shape, *NO_PADDING), conv2d.gather(dy, x, weight.shape, *NO_PADDING)
        expected = (
            np.einsum("nchw,ochw->no", x, weight)[:, :, None, None] + bias[:, None, None],
            np.einsum("no,ochw->nchw", dy[:, :, 0, 0], weight),
            np.einsum("no,nchw->ochw", dy[:, :, 0, 0], x),
        )
        for a, b in zip(results, expected, strict=True):
            assert (
                a.shape == b.shape and np.abs(a - b).max() < (1e-5 if dtype == "float32" else 1e-12) * np.abs(b).max()
            )
