r"""Activations: the nonlinear functions between layers, each on every element by itself.

All hold for any finite input: where a formula would overflow, an equal one that does not is used.
"""

from __future__ import annotations

import math
from typing import Any

from .._namespace import output, raw, xp_of
from .._op import op


@op
def relu(x):
    r"""Rectified linear unit.

    Forward:   y = max(x, 0)
    Backward:  dx = dy where x > 0, else 0 (also at the kink x = 0)
    Shapes:    y as x
    Source:    Nair and Hinton 2010, "Rectified linear units improve restricted Boltzmann machines"
    Lesson:    lessons/01_alexnet.py
    Kernel:    kernels/cpu/activation.py, kernels/cuda/activation.cu
    """
    positive = raw(lambda v: v > 0, x)

    def backward(dy):
        return xp_of(dy).where(positive, dy, 0.0)

    return raw(lambda v: xp_of(v).maximum(v, 0), x), backward


@op
def relu6(x):
    r"""Rectified linear unit that saturates at 6.

    Forward:   y = min(max(x, 0), 6)
    Backward:  dx = dy where 0 < x < 6, else 0 (also at both kinks)
    Shapes:    y as x
    Source:    Krizhevsky 2010, "Convolutional deep belief networks on CIFAR-10"
    """
    inside = raw(lambda v: (v > 0) & (v < 6), x)

    def backward(dy):
        return xp_of(dy).where(inside, dy, 0.0)

    return raw(lambda v: xp_of(v).clip(v, 0, 6), x), backward


@op
def leaky_relu(x, negative_slope=0.01):
    r"""Rectified linear unit with a slope for negative inputs.

    Forward:   y = x where x > 0, else a x, with a = `negative_slope`
    Backward:  dx = dy where x > 0, else a dy
    Shapes:    y as x
    Source:    Maas, Hannun and Ng 2013, "Rectifier nonlinearities improve neural network acoustic models"
    Kernel:    kernels/cpu/activation.py, kernels/cuda/activation.cu
    """
    positive = raw(lambda v: v > 0, x)

    def backward(dy):
        return xp_of(dy).where(positive, dy, dy * negative_slope)

    return raw(lambda v: xp_of(v).where(positive, v, v * negative_slope), x), backward


@op
def elu(x, alpha=1.0):
    r"""Exponential linear unit.

    Forward:   y = x where x > 0, else a (e^x - 1), with a = `alpha`
    Backward:  dx = dy where x > 0, else a e^x dy
    Shapes:    y as x
    Source:    Clevert, Unterthiner and Hochreiter 2015, arXiv 1511.07289, equation 15
    """
    positive = raw(lambda v: v > 0, x)

    def bend(v):
        return xp_of(v).where(positive, v, xp_of(v).expm1(xp_of(v).minimum(v, 0)) * alpha)

    def backward(dy):
        xp = xp_of(dy)
        # The exponential of positive inputs is not used, and must not overflow.
        below = xp_of(x).where(positive, 0.0, x)
        return xp.where(positive, dy, dy * (xp_of(below).exp(below) * alpha))

    return raw(bend, x), backward


@op
def sigmoid(x):
    r"""Logistic function.

    Forward:   y = 1 / (1 + e^-x), computed from e^-|x| <= 1
    Backward:  dx = y (1 - y) dy
    Shapes:    y as x
    Kernel:    kernels/cpu/activation.py, kernels/cuda/activation.cu
    """
    y = output(sigmoid, _sigmoid, x)
    return y, lambda dy: dy * (y * (1 - y))


def _sigmoid(x: Any) -> Any:
    xp = xp_of(x)
    small = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1, small) / (1 + small)


@op
def log_sigmoid(x):
    r"""Logarithm of the logistic function.

    Forward:   y = -ln(1 + e^-x) = min(x, 0) - ln(1 + e^-|x|)
    Backward:  dx = sigmoid(-x) dy
    Shapes:    y as x
    """

    def value(v):
        xp = xp_of(v)
        return xp.minimum(v, 0) - xp.log1p(xp.exp(-xp.abs(v)))

    return raw(value, x), lambda dy: dy * sigmoid(-x)


@op
def tanh(x):
    r"""Hyperbolic tangent.

    Forward:   y = (e^x - e^-x) / (e^x + e^-x)
    Backward:  dx = (1 - y^2) dy
    Shapes:    y as x
    Lesson:    lessons/01_alexnet.py
    Kernel:    kernels/cpu/activation.py, kernels/cuda/activation.cu
    """
    y = output(tanh, lambda v: xp_of(v).tanh(v), x)
    return y, lambda dy: dy * (1 - y * y)


@op
def softplus(x, beta=1.0, threshold=20.0):
    r"""Smooth rectified linear unit.

    Forward:   y = ln(1 + e^(b x)) / b where b x <= `threshold`, else x; b = `beta`
    Backward:  dx = sigmoid(b x) dy where b x <= `threshold`, else dy
    Shapes:    y as x
    Raises:    ValueError unless beta > 0
    Source:    Dugas et al. 2000, "Incorporating second-order functional knowledge for better option pricing"
    Lesson:    lessons/07_gan.py
    """
    if not beta > 0:
        raise ValueError(f"softplus: beta expects a number > 0; it is {beta}")
    straight = raw(lambda v: v * beta > threshold, x)

    def value(v):
        xp, scaled = xp_of(v), v * beta
        curved = (xp.maximum(scaled, 0) + xp.log1p(xp.exp(-xp.abs(scaled)))) * (1 / beta)
        return xp.where(straight, v, curved)

    def backward(dy):
        return xp_of(dy).where(straight, dy, dy * sigmoid(x * beta))

    return raw(value, x), backward


@op
def silu(x):
    r"""Sigmoid linear unit, also called swish.

    Forward:   y = x s with s = sigmoid(x)
    Backward:  dx = s (1 + x (1 - s)) dy, by the product rule and ds/dx = s (1 - s)
    Shapes:    y as x
    Source:    Elfwing, Uchibe and Doya 2017, arXiv 1702.03118; Ramachandran et al. 2017, arXiv 1710.05941
    Kernel:    kernels/cpu/activation.py, kernels/cuda/activation.cu
    """
    s = sigmoid(x)
    return x * s, lambda dy: dy * (s * (1 + x * (1 - s)))


def gelu(x, approximate: str = "none"):
    r"""Gaussian error linear unit.

    Forward:   y = x P(x), P the distribution function of the normal distribution: 1/2 (1 + erf(x / sqrt 2));
               with approximate="tanh", P(x) = 1/2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
    Backward:  dx = (P + x P') dy, with P' = e^(-x^2 / 2) / sqrt(2 pi) for the first form
    Shapes:    y as x
    Raises:    ValueError unless approximate is "none" or "tanh"
    Source:    Hendrycks and Gimpel 2016, arXiv 1606.08415, section 2
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate expects 'none' or 'tanh'; it is {approximate!r}")
    return gelu_erf(x) if approximate == "none" else gelu_tanh(x)


@op
def gelu_erf(x):
    r"""Gaussian error linear unit, exact: what `gelu` records.

    Forward:   y = x P with P = 1/2 (1 + erf(x / sqrt 2))
    Backward:  dx = (P + x e^(-x^2 / 2) / sqrt(2 pi)) dy
    Shapes:    y as x
    Source:    Hendrycks and Gimpel 2016, arXiv 1606.08415, section 2
    """
    probability = (erf(x * math.sqrt(0.5)) + 1) * 0.5

    def backward(dy):
        density = xp_of(x).exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
        return dy * (probability + x * density)

    return x * probability, backward


@op
def gelu_tanh(x):
    r"""Gaussian error linear unit, approximated with a hyperbolic tangent: what `gelu` records.

    Forward:   y = x (1 + t) / 2 with t = tanh(u), u = sqrt(2 / pi) (x + 0.044715 x^3)
    Backward:  dx = ((1 + t) / 2 + x (1 - t^2) u' / 2) dy with u' = sqrt(2 / pi) (1 + 3 * 0.044715 x^2)
    Shapes:    y as x
    Source:    Hendrycks and Gimpel 2016, arXiv 1606.08415, section 2
    """
    slope, cubic = math.sqrt(2 / math.pi), 0.044715
    square = x * x
    t = tanh(x * (1 + square * cubic) * slope)

    def backward(dy):
        du = (1 + square * (3 * cubic)) * slope
        return dy * ((1 + t) * 0.5 + x * (1 - t * t) * du * 0.5)

    return x * (1 + t) * 0.5, backward


@op
def erf(x):
    r"""Error function, to the last digits of float64.

    Forward:   y = 2 / sqrt(pi) \int_0^x e^(-t^2) dt
    Backward:  dx = 2 / sqrt(pi) e^(-x^2) dy
    Shapes:    y as x
    Source:    Cody 1969, "Rational Chebyshev approximations for the error function", Mathematics of Computation 23
    """

    def backward(dy):
        return dy * (xp_of(x).exp(-(x * x)) * (2 / math.sqrt(math.pi)))

    return raw(_erf, x), backward


# Cody's rational approximations, highest power first: of erf(x) / x in x^2 up to 0.5; of e^(x^2) erfc(x) in x up to 4;
# and of (1 / sqrt(pi) - x e^(x^2) erfc(x)) x^2 in 1 / x^2 beyond.
_SMALL = (
    (
        1.85777706184603153e-1,
        3.16112374387056560e0,
        1.13864154151050156e2,
        3.77485237685302021e2,
        3.20937758913846947e3,
    ),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
_MIDDLE = (
    (
        *(2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0),
        *(6.61191906371416295e1, 2.98635138197400131e2, 8.81952221241769090e2),
        *(1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3),
    ),
    (
        *(1.0, 1.57449261107098347e1, 1.17693950891312499e2),
        *(5.37181101862009858e2, 1.62138957456669019e3, 3.29079923573345963e3),
        *(4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
    ),
)
_LARGE = (
    (
        *(1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1),
        *(1.25781726111229246e-1, 1.60837851487422766e-2, 6.58749161529837803e-4),
    ),
    (
        *(1.0, 2.56852019228982242e0, 1.87295284992346725e0),
        *(5.27905102951428412e-1, 6.05183413124413191e-2, 2.33520497626869185e-3),
    ),
)
_ERF_IS_ONE = 6.0  # 1 - erf(6) is 2e-17: less than the distance from 1 to the number before


def _erf(x: Any) -> Any:
    xp = xp_of(x)
    x = xp.asarray(x)
    size = xp.abs(x)
    y = xp.array(xp.sign(x))
    small, large = size <= 0.5, (size > 4) & (size < _ERF_IS_ONE)
    middle = (size > 0.5) & (size <= 4)
    y[small] = x[small] * _ratio(_SMALL, x[small] * x[small])
    part = size[middle]
    y[middle] *= 1 - xp.exp(-part * part) * _ratio(_MIDDLE, part)
    part = size[large]
    inverse = 1 / (part * part)
    y[large] *= 1 - xp.exp(-part * part) / part * (1 / math.sqrt(math.pi) - inverse * _ratio(_LARGE, inverse))
    return y


def _ratio(coefficients: tuple, x: Any) -> Any:
    """A quotient of two polynomials by Horner's rule."""
    values = []
    for polynomial in coefficients:
        value = polynomial[0]
        for coefficient in polynomial[1:]:
            value = value * x + coefficient
        values.append(value)
    return values[0] / values[1]
