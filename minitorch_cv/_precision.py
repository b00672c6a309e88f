"""How exactly the factors of a product enter it: in float32, or rounded, as a GPU's tensor cores read them.

Weights, activations, gradients and optimiser states are float32 in memory, and sums are float32, whatever is set: a
convolution or a linear layer rounds its two factors on their way into the multiplication, and nothing else. So

- the float32 weights are the master weights of mixed-precision training: an update smaller than a factor's rounding is
  not lost, it adds up;
- losses are not scaled. tf32 and bf16 have float32's 8 bits of exponent, so a gradient that float32 holds does not
  become zero. float16 has 5 and loses what lies below 6e-8, for which scaling was invented; it is not offered.

======  ========  ==================================  ======================
name    mantissa  largest relative error of a factor  smallest normal number
======  ========  ==================================  ======================
"fp32"  23 bits   0                                   1.2e-38
"tf32"  10 bits   2^-11                               1.2e-38
"bf16"  7 bits    2^-8                                1.2e-38
======  ========  ==================================  ======================

Source: Micikevicius et al. 2017, arXiv 1710.03740 (master weights, loss scaling); Kalamkar et al. 2019,
arXiv 1905.12322 (bfloat16 needs no scaling)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

PRECISIONS = ("fp32", "tf32", "bf16")


class _Setting:
    """The precision that is set."""

    value = "fp32"


def set_precision(value: str) -> None:
    """Let convolutions and linear layers round their factors to "tf32" or "bf16", or not at all ("fp32").

    It is a permission, used where there are tensor cores, or where the simulator plays them: by convolutions, linear
    layers and products of two matrices in float32 on "cuda-sim". The CPU computes in float32 whatever is set, as
    PyTorch's does; so do, everywhere, products of many matrices at once, attention, convolutions in groups of few
    channels, and all float64.
    Raises ValueError for another precision.
    """
    _Setting.value = checked("set_precision: value", value)


def get_precision() -> str:
    """The precision that `set_precision` has set; "fp32" at first.

    >>> get_precision()
    'fp32'
    """
    return _Setting.value


def checked(argument: str, value: str) -> str:
    """`value` itself; raises ValueError where it is no precision."""
    if value not in PRECISIONS:
        raise ValueError(f"{argument} expects one of {', '.join(PRECISIONS)}; it is {value!r}")
    return value


@contextlib.contextmanager
def in_precision(value: str) -> Iterator[None]:
    """Within it `value` is set; afterwards what was set before."""
    before = get_precision()
    set_precision(value)
    try:
        yield
    finally:
        set_precision(before)
