"""The counter-based generator: the published vectors, the distributions, the state."""

import math

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import Generator
from minitorch_cv._random import _philox_rounds, philox

# Random123 (Salmon et al. 2011), file kat_vectors, philox4x32 with 10 rounds: counter, key, result.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN_ANSWERS, ids=["zeros", "ones", "digits of pi"])
def test_known_answers(counter, key, result):
    words = tuple(np.array([int(word, 16)], np.uint64) for word in counter.split())
    low, high = (int(word, 16) for word in key.split())
    block = np.empty((1, 4), np.uint32)
    _philox_rounds(low | high << 32, words, block)
    assert [f"{word:08x}" for word in block[0]] == result.split()


def test_blocks_do_not_depend_on_how_many_are_drawn():
    whole = philox(5, 0, 20_000)
    np.testing.assert_array_equal(philox(5, 8_190, 5), whole[8_190:8_195])
    np.testing.assert_array_equal(philox(5, 19_999, 1), whole[19_999:])
    assert philox(5, 0, 0).shape == (0, 4)
    assert not (philox(6, 0, 4) == whole[:4]).any()


def test_the_counter_passes_32_bits_and_wraps_at_64():
    around = philox(5, 2**32 - 1, 2)
    assert len({tuple(row) for row in (*around.tolist(), *philox(5, 0, 1).tolist())}) == 3
    np.testing.assert_array_equal(philox(5, 2**64 - 1, 2)[1], philox(5, 0, 1)[0])


# ---- distributions: fixed seeds, so these cannot fail by chance


def _kolmogorov_smirnov(values, distribution):
    """The largest distance of the values' distribution from the expected one, times sqrt(n): 1.63 is the 99 % point."""
    ordered = np.sort(values.astype(float))
    expected = np.array([distribution(v) for v in ordered])
    steps = np.arange(len(ordered) + 1) / len(ordered)
    return max(np.abs(expected - steps[1:]).max(), np.abs(expected - steps[:-1]).max()) * math.sqrt(len(ordered))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", [0, 1, 2**63 + 5])
def test_uniform(seed, dtype):
    values = Generator(seed).random(20_000, dtype)
    assert values.dtype == dtype and values.min() >= 0 and values.max() < 1
    assert _kolmogorov_smirnov(values, lambda v: v) < 1.63
    values = Generator(seed).uniform(-2.0, 3.0, (100, 50), dtype)
    assert values.dtype == dtype and values.shape == (100, 50) and values.min() >= -2 and values.max() < 3
    assert _kolmogorov_smirnov(values.ravel(), lambda v: (v + 2) / 5) < 1.63


def test_uniform_never_reaches_its_upper_end(monkeypatch):
    generator = Generator(0)
    monkeypatch.setattr(generator, "_words64", lambda count: np.full(count, 2**64 - 1, np.uint64))
    assert (generator.uniform(0.0, 1.0, 4) < 1).all()
    assert (generator.uniform(1.0, 2.0, 4, np.float64) < 2).all()
    assert (generator.random(4, np.float64) < 1).all()
    assert generator.uniform(3.0, 3.0, 2).tolist() == [3, 3]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_normal(seed, dtype):
    values = Generator(seed).normal((101, 99), mean=2.0, std=0.5, dtype=dtype)
    assert values.dtype == dtype and values.shape == (101, 99)
    assert _kolmogorov_smirnov(values.ravel(), lambda v: 0.5 * (1 + math.erf((v - 2) / 0.5 / math.sqrt(2)))) < 1.63
    pairs = values.ravel()[:-1].reshape(2, -1)
    assert abs(np.corrcoef(pairs)[0, 1]) < 0.05


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_integers(seed):
    values = Generator(seed).integers(-3, 7, 20_000)
    assert values.dtype == np.int64 and values.min() == -3 and values.max() == 6
    counts = np.bincount(values + 3, minlength=10)
    assert ((counts - 2000) ** 2 / 2000).sum() < 21.67  # chi-square, 9 degrees of freedom, 99 %


def test_integers_of_the_widest_range():
    values = Generator(0).integers(-(2**63), 2**63, 1000)
    assert values.min() < -(2**62) and values.max() > 2**62
    values = Generator(0).integers(-(2**63), 2**63 - 1, 1000)
    assert values.min() < -(2**62) and values.max() > 2**62
    assert Generator(0).integers(5, 6, 3).tolist() == [5, 5, 5]


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_bernoulli(p):
    values = Generator(3).bernoulli(p, (100, 100))
    assert values.dtype == np.bool_
    assert abs(values.mean() - p) <= 2.58 * math.sqrt(p * (1 - p) / 10_000)


def test_permutation():
    generator = Generator(4)
    orders = np.array([generator.permutation(5) for _ in range(2000)])
    assert (np.sort(orders, axis=1) == np.arange(5)).all()
    for position in range(5):
        counts = np.bincount(orders[:, position], minlength=5)
        assert ((counts - 400) ** 2 / 400).sum() < 13.28  # chi-square, 4 degrees of freedom, 99 %
    assert generator.permutation(0).tolist() == []


@pytest.mark.parametrize("shape", [(), 3, (3,), [2, 3], (0,), (2, 0, 3), np.int64(4)], ids=repr)
def test_shapes(shape):
    expected = tuple(shape) if isinstance(shape, (tuple, list)) else (int(shape),)
    generator = Generator(0)
    for values in (
        generator.random(shape),
        generator.uniform(0, 1, shape),
        generator.normal(shape),
        generator.integers(0, 9, shape),
        generator.bernoulli(0.5, shape),
    ):
        assert np.shape(values) == expected


# ---- the state


def _draw(generator):
    return np.concatenate(
        [
            generator.random(5).ravel(),
            generator.normal((3, 3)).ravel(),
            generator.integers(0, 100, 7),
            generator.bernoulli(0.5, 3),
            generator.permutation(4),
        ]
    )


def test_a_state_can_be_saved_and_restored():
    generator = Generator(11)
    _draw(generator)
    state = generator.state
    assert state["seed"] == 11 and state["offset"] > 0
    expected = _draw(generator)
    assert not (_draw(generator) == expected).all()
    generator.state = state
    np.testing.assert_array_equal(_draw(generator), expected)
    other = Generator(0)
    other.state = state
    np.testing.assert_array_equal(_draw(other), expected)
    assert repr(Generator(11)) == "Generator(seed=11, offset=0)"


def test_equal_seeds_give_equal_streams_and_others_do_not():
    np.testing.assert_array_equal(_draw(Generator(1)), _draw(Generator(1)))
    assert not (Generator(1).random(10) == Generator(2).random(10)).any()
    assert not (Generator(1).spawn(0).random(10) == Generator(1).spawn(1).random(10)).any()
    generator = Generator(1)
    generator.random(10)
    np.testing.assert_array_equal(generator.spawn(3).random(4), Generator(1).spawn(3).random(4))


def test_the_default_generator():
    saved = mt.default_generator().state
    try:
        assert mt.manual_seed(5) is mt.default_generator()
        first = mt.default_generator().random(4)
        mt.manual_seed(5)
        np.testing.assert_array_equal(mt.default_generator().random(4), first)
        np.testing.assert_array_equal(Generator(5).random(4), first)
    finally:
        mt.default_generator().state = saved


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda g: Generator(1.5), TypeError, "Generator: seed expects a whole number; it is 1.5"),
        (lambda g: g.random((2, -1)), ValueError, r"random: shape expects no negative size; it is \(2, -1\)"),
        (lambda g: g.random(2.5), TypeError, "random: shape expects a whole number; it is 2.5"),
        (lambda g: g.random(2, np.float16), TypeError, "random: dtype expects float32 or float64; it is float16"),
        (lambda g: g.uniform(1.0, 0.0), ValueError, "uniform: high expects at least low = 1.0; it is 0.0"),
        (lambda g: g.integers(3, 3), ValueError, "integers: high expects more than low = 3; it is 3"),
        (lambda g: g.integers(0, 2**63 + 1), ValueError, "integers: low and high expect the range of int64"),
        (lambda g: g.bernoulli(1.5), ValueError, r"bernoulli: p expects a probability in \[0, 1\]; it is 1.5"),
        (lambda g: g.bernoulli(math.nan), ValueError, "bernoulli: p expects a probability"),
        (lambda g: g.permutation(-1), ValueError, "permutation: n expects a number >= 0; it is -1"),
        (lambda g: setattr(g, "state", {"seed": 1}), ValueError, "Generator: state expects {'seed'"),
        (lambda g: mt.manual_seed("a"), TypeError, "manual_seed: seed expects a whole number; it is 'a'"),
    ],
)
def test_errors_come_before_the_state_changes(call, error, message):
    generator = Generator(0)
    with pytest.raises(error, match=message):
        call(generator)
    assert generator.state == {"seed": 0, "offset": 0}
