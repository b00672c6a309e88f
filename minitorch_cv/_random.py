r"""Random numbers from a counter: Philox 4x32-10, the same integers on every machine and device.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ._capturing import refuse_in_capture

_ROUNDS = 10
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_KEY_STEPS = 0x9E3779B9, 0xBB67AE85
_LOW_WORD, _WORD = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox(seed: int, first: int, count: int) -> np.ndarray:
    """Blocks `first` to `first + count - 1` of the stream of `seed`: uint32, shape (count, 4).

    A block is a pure function of seed (the 64-bit key) and of its number (the low half of the 128-bit counter).
    """
    blocks = np.empty((count, 4), np.uint32)
    for start in range(0, count, _CHUNK):
        part = blocks[start : start + _CHUNK]
        number = np.arange(len(part), dtype=np.uint64)
        number += np.uint64((first + start) % 2**64)
        nothing = np.zeros_like(number)
        _philox_rounds(seed, (number & _LOW_WORD, number >> _WORD, nothing, nothing), part)
    return blocks


_CHUNK = 8192  # so that what the rounds work on stays in the cache


def _philox_rounds(seed: int, counter: tuple[np.ndarray, ...], blocks: np.ndarray) -> None:
    """Fill `blocks` (n, 4) from the four 32-bit words of each counter, held in uint64 arrays of n."""
    word0, word1, word2, word3 = counter
    key0, key1 = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for _ in range(_ROUNDS):
        product0, product1 = _MULTIPLIERS[0] * word0, _MULTIPLIERS[1] * word2
        word0 = (product1 >> _WORD) ^ word1 ^ np.uint64(key0)
        word2 = (product0 >> _WORD) ^ word3 ^ np.uint64(key1)
        word1, word3 = product1 & _LOW_WORD, product0 & _LOW_WORD
        key0, key1 = (key0 + _KEY_STEPS[0]) & 0xFFFFFFFF, (key1 + _KEY_STEPS[1]) & 0xFFFFFFFF
    for column, word in enumerate((word0, word1, word2, word3)):
        blocks[:, column] = word


class Generator:
    """A stream of random numbers, fixed by its seed; its state is the seed and how many blocks were drawn.

    >>> generator = Generator(7)
    >>> generator.integers(0, 10, 5)
    array([7, 4, 3, 7, 4])
    >>> saved = generator.state
    >>> first = generator.random(3)
    >>> generator.state = saved
    >>> bool((first == generator.random(3)).all())
    True
    """

    def __init__(self, seed: int = 0):
        self._seed, self._offset = _whole("Generator", "seed", seed) % 2**64, 0

    @property
    def state(self) -> dict[str, int]:
        """Seed and offset (blocks drawn so far); assign it to go back."""
        return {"seed": self._seed, "offset": self._offset}

    @state.setter
    def state(self, state: dict[str, int]) -> None:
        try:
            seed, offset = state["seed"], state["offset"]
        except (KeyError, TypeError):
            raise ValueError(f"Generator: state expects {{'seed': ..., 'offset': ...}}; it is {state!r}") from None
        self._seed = _whole("Generator", "seed", seed) % 2**64
        self._offset = _whole("Generator", "offset", offset) % 2**64

    def __repr__(self) -> str:
        return f"Generator(seed={self._seed}, offset={self._offset})"

    def spawn(self, number: int) -> Generator:
        """An independent generator, fixed by this one's seed and `number` (this one's state does not matter)."""
        words = philox(self._seed ^ 0x9E3779B97F4A7C15, _whole("spawn", "number", number) % 2**64, 1)[0]
        return Generator(int(words[0]) | int(words[1]) << 32)

    def _words(self, count: int) -> np.ndarray:
        refuse_in_capture("Generator", "it draws on the host, and every replay would meet the same numbers")
        blocks = -(-count // 4)
        words = philox(self._seed, self._offset, blocks).reshape(-1)[:count]
        self._offset = (self._offset + blocks) % 2**64
        return words

    def _words64(self, count: int) -> np.ndarray:
        pairs = self._words(2 * count).reshape(count, 2).astype(np.uint64)
        return pairs[:, 0] | pairs[:, 1] << _WORD

    def random(self, shape: Any = (), dtype: Any = np.float32) -> np.ndarray:
        """Uniform in [0, 1): multiples of 2^-24 in float32, of 2^-53 in float64."""
        shape, count = _shape("random", shape)
        if _float_dtype("random", dtype) == np.float32:
            values = (self._words(count) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
        else:
            values = (self._words64(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return values.reshape(shape)

    def uniform(self, low: float, high: float, shape: Any = (), dtype: Any = np.float32) -> np.ndarray:
        """Uniform in [low, high)."""
        dtype = _float_dtype("uniform", dtype)
        if not low <= high:
            raise ValueError(f"uniform: high expects at least low = {low}; it is {high}")
        values = (self.random(shape, np.float64) * (high - low) + low).astype(dtype)
        below = np.nextafter(dtype.type(high), dtype.type(low))  # rounding can reach high itself
        return np.asarray(np.minimum(values, below))

    def normal(self, shape: Any = (), mean: float = 0.0, std: float = 1.0, dtype: Any = np.float32) -> np.ndarray:
        """Normal by Box and Muller's transform, computed in float64 (1958)."""
        shape, count = _shape("normal", shape)
        dtype = _float_dtype("normal", dtype)
        pairs = -(-count // 2)
        words = self._words(2 * pairs).astype(np.float64).reshape(2, pairs)
        radius = np.sqrt(-2.0 * np.log((words[0] + 0.5) * 2.0**-32))
        angle = (2.0 * math.pi * 2.0**-32) * words[1]
        values = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
        return (values * std + mean).astype(dtype).reshape(shape)

    def integers(self, low: int, high: int, shape: Any = ()) -> np.ndarray:
        """Whole numbers in low .. high - 1, int64 (64 random bits modulo the range)."""
        shape, count = _shape("integers", shape)
        low, high = _whole("integers", "low", low), _whole("integers", "high", high)
        if not low < high:
            raise ValueError(f"integers: high expects more than low = {low}; it is {high}")
        if not (-(2**63) <= low and high <= 2**63):
            raise ValueError(f"integers: low and high expect the range of int64; they are {low} and {high}")
        if high - low == 2**64:
            return self._words64(count).view(np.int64).reshape(shape)
        return (self._words64(count) % np.uint64(high - low)).astype(np.int64).reshape(shape) + low

    def bernoulli(self, p: float, shape: Any = ()) -> np.ndarray:
        """True with probability `p` (to 2^-32): a word lies below p 2^32."""
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"bernoulli: p expects a probability in [0, 1]; it is {p}")
        shape, count = _shape("bernoulli", shape)
        return (self._words(count) < np.uint64(round(p * 2.0**32))).reshape(shape)

    def permutation(self, n: int) -> np.ndarray:
        """0 .. n - 1 in random order: the order of n random keys of 64 bits."""
        n = _whole("permutation", "n", n)
        if n < 0:
            raise ValueError(f"permutation: n expects a number >= 0; it is {n}")
        return np.argsort(self._words64(n), kind="stable")


def default_generator() -> Generator:
    """The generator that is used wherever `generator=None`; it starts from seed 0."""
    return _default


def manual_seed(seed: int) -> Generator:
    """Set the default generator to the start of the stream of `seed`."""
    _default.state = {"seed": _whole("manual_seed", "seed", seed), "offset": 0}
    return _default


def _whole(function: str, argument: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{function}: {argument} expects a whole number; it is {value!r}") from None


def _shape(function: str, shape: Any) -> tuple[tuple[int, ...], int]:
    sizes = tuple(_whole(function, "shape", n) for n in (shape if isinstance(shape, (tuple, list)) else (shape,)))
    if any(n < 0 for n in sizes):
        raise ValueError(f"{function}: shape expects no negative size; it is {sizes}")
    return sizes, math.prod(sizes)


def _float_dtype(function: str, dtype: Any) -> np.dtype:
    given = np.dtype(dtype)
    if given not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(f"{function}: dtype expects float32 or float64; it is {given}")
    return given


_default = Generator(0)
