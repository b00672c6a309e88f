"""Every kind of mistake is named, and a right gradient is not diagnosed."""

import math

import numpy as np
import pytest

from minitorch_cv.checks import check_gradient
from minitorch_cv.checks.diagnosis import Evidence
from minitorch_cv.checks.explain_factor import factor_along_axes

RNG = np.random.default_rng(7)


# --- right pairs -----------------------------------------------------------------------------------------------------


def linear(x, w, b):
    return x @ w + b


def linear_backward(dy, x, w, b):
    return dy @ w.T, x.T @ dy, dy.sum(0)


def padded(x, p):
    return np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))


def conv(x, w, b, stride=1, padding=0, groups=1):
    n, _, h, width = x.shape
    o, c, kh, kw = w.shape
    xp = padded(x, padding)
    oh, ow = (h + 2 * padding - kh) // stride + 1, (width + 2 * padding - kw) // stride + 1
    y = np.zeros((n, o, oh, ow)) + b[:, None, None]
    for g in range(groups):
        cs, os = slice(g * c, (g + 1) * c), slice(g * o // groups, (g + 1) * o // groups)
        for i in range(oh):
            for j in range(ow):
                window = xp[:, cs, i * stride : i * stride + kh, j * stride : j * stride + kw]
                y[:, os, i, j] += np.einsum("nckl,ockl->no", window, w[os])
    return y


def conv_backward(dy, x, w, b, stride=1, padding=0, groups=1, fault=None):
    h, width = x.shape[2:]
    o, c, kh, kw = w.shape
    xp = padded(x, padding)
    dxp, dw = np.zeros_like(xp), np.zeros_like(w)
    used = w[:, :, ::-1, ::-1] if fault == "kernel not flipped" else w
    rows = dy.shape[2] - 1 if fault == "last row" else dy.shape[2]
    for g in range(groups):
        cs, os = slice(g * c, (g + 1) * c), slice(g * o // groups, (g + 1) * o // groups)
        for i in range(rows):
            for j in range(dy.shape[3]):
                at = (slice(None), cs, slice(i * stride, i * stride + kh), slice(j * stride, j * stride + kw))
                contribution = np.einsum("no,ockl->nckl", dy[:, os, i, j], used[os])
                if fault == "overwritten":
                    dxp[at] = contribution
                else:
                    dxp[at] += contribution
                dw[os] += np.einsum("no,nckl->ockl", dy[:, os, i, j], xp[at])
    if fault == "padding":
        dx = dxp[:, :, :h, :width]
    elif fault == "padding kept":
        dx = dxp
    else:
        dx = dxp[:, :, padding : padding + h, padding : padding + width]
    return dx, dw, dy.sum((0, 2, 3))


def normalised(x, eps=1e-5):
    axes = (0, 2, 3)
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(var + eps), 1 / np.sqrt(var + eps), var


def batch_norm(x, gamma, beta):
    return gamma[:, None, None] * normalised(x)[0] + beta[:, None, None]


def batch_norm_backward(dy, x, gamma, beta, fault=None):
    axes = (0, 2, 3)
    xhat, inverse, var = normalised(x)
    dxhat = dy * (1 if fault == "gamma" else gamma[:, None, None])
    mean_term = 0 if fault in ("mean", "both") else dxhat.mean(axes, keepdims=True)
    variance_term = 0 if fault in ("variance", "both") else xhat * (dxhat * xhat).mean(axes, keepdims=True)
    if fault == "var":
        inverse = inverse**2
    if fault == "eps":
        inverse = 1 / np.sqrt(var)
    return inverse * (dxhat - mean_term - variance_term), (dy * xhat).sum(axes), dy.sum(axes)


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def cross_entropy(x, labels):
    return -np.log(softmax(x)[np.arange(len(x)), labels]).mean()


def cross_entropy_backward(dy, x, labels):
    return dy * (softmax(x) - np.eye(x.shape[1])[labels]) / len(x)


def max_pool(x, size, stride):
    h, w = ((n - size) // stride + 1 for n in x.shape[2:])
    y = np.empty((*x.shape[:2], h, w))
    for i in range(h):
        for j in range(w):
            y[:, :, i, j] = x[:, :, i * stride : i * stride + size, j * stride : j * stride + size].max((2, 3))
    return y


def max_pool_backward(dy, x, size, stride, fault=None):
    dx = np.zeros_like(x)
    for n, c, i, j in np.ndindex(dy.shape):
        at = (n, c, slice(i * stride, i * stride + size), slice(j * stride, j * stride + size))
        window = x[at]
        mask = np.zeros(window.size)
        mask[window.argmax()] = 1
        mask = mask.reshape(window.shape)
        if fault == "ties":
            mask = window == window.max()
        elif fault == "all":
            mask = np.ones_like(mask)
        elif fault == "average":
            mask = np.full_like(mask, 1 / mask.size)
        if fault == "overwritten":
            dx[at] = mask * dy[n, c, i, j]
        else:
            dx[at] += mask * dy[n, c, i, j]
    return dx


def relu(x):
    return np.maximum(x, 0)


def embedding(table, index):
    return table[index]


def embedding_backward(dy, table, index):
    dtable = np.zeros_like(table)
    np.add.at(dtable, index, dy)
    return dtable


def overwriting_embedding(dy, table, index):
    dtable = np.zeros_like(table)
    dtable[index] += dy
    return dtable


def apart(shape):
    return RNG.permutation(math.prod(shape)).reshape(shape) * 0.13 - 3.0


X = RNG.standard_normal((4, 3))
LINEAR = (X, RNG.standard_normal((3, 5)), RNG.standard_normal(5))
SQUARE = (RNG.standard_normal((4, 4)), RNG.standard_normal((4, 4)), RNG.standard_normal(4))
LABELS = np.array([2, 0, 4, 1, 1, 3, 0])
LOGITS = RNG.standard_normal((7, 5))
CONV = (RNG.standard_normal((2, 3, 6, 5)), RNG.standard_normal((4, 3, 3, 3)), RNG.standard_normal(4))
GROUPED = (RNG.standard_normal((2, 4, 5, 4)), RNG.standard_normal((4, 2, 3, 3)), RNG.standard_normal(4))
NORM = (RNG.standard_normal((4, 3, 3, 2)) * [[[1.0]], [[2.0]], [[0.3]]], np.array([0.7, 1.4, 2.2]), np.zeros(3))
TINY_NORM = (NORM[0] * 0.02, NORM[1], NORM[2])
POOL = (apart((2, 2, 5, 5)), 3, 2)
PLAIN_POOL = (apart((2, 2, 4, 6)), 2, 2)
TIED = (np.array([[[[1.0, 3.0, 3.0, 0.5], [0.0, 3.0, 1.5, 0.7]]]]), 2, 2)
TABLE = (RNG.standard_normal((5, 3)), np.array([1, 4, 1, 0, 1]))


def conv_with(**settings):
    return lambda x, w, b: conv(x, w, b, **settings)


def conv_backward_with(**settings):
    return lambda dy, x, w, b: conv_backward(dy, x, w, b, **settings)


def group_mixed(dy, x, w, b):
    mixed = w[[0, 2, 1, 3]]
    return conv_backward(dy, x, mixed, b, padding=1, groups=2)


def altered(backward, change, place=0):
    """The right backward with one of its gradients changed."""

    def wrong(dy, *inputs):
        gradients = backward(dy, *inputs)
        gradients = list(gradients) if isinstance(gradients, tuple) else [gradients]
        gradients[place] = change(gradients[place], dy, *inputs)
        return tuple(gradients)

    return wrong


def softmax_backward(dy, x):
    y = softmax(x)
    return y * (dy - (dy * y).sum(1, keepdims=True))


RIGHT = {
    "linear": (linear, linear_backward, LINEAR),
    "conv": (conv_with(stride=2, padding=1), conv_backward_with(stride=2, padding=1), CONV),
    "grouped conv": (conv_with(padding=1, groups=2), conv_backward_with(padding=1, groups=2), GROUPED),
    "batch norm": (batch_norm, batch_norm_backward, NORM),
    "cross entropy": (cross_entropy, cross_entropy_backward, (LOGITS, LABELS)),
    "softmax": (softmax, softmax_backward, (LOGITS,)),
    "max pool": (max_pool, max_pool_backward, POOL),
    "tied max pool": (max_pool, max_pool_backward, TIED),
    "relu": (relu, lambda dy, x: dy * (x > 0), (X,)),
    "embedding": (embedding, embedding_backward, TABLE),
}

# name: (forward, wrong backward, inputs, wrong input, kind, a part of the message)
WRONG = {
    "conv: kernel not flipped": (
        conv_with(padding=1),
        conv_backward_with(padding=1, fault="kernel not flipped"),
        CONV,
        "x",
        "kernel flipped",
        "w flipped along axes (2, 3)",
    ),
    "conv: weight gradient flipped": (
        conv_with(padding=1),
        altered(conv_backward_with(padding=1), lambda dw, *_: dw[:, :, ::-1, ::-1], 1),
        CONV,
        "w",
        "flipped",
        "axes (2, 3)",
    ),
    "conv: overlapping windows overwritten": (
        conv_with(padding=1),
        conv_backward_with(padding=1, fault="overwritten"),
        CONV,
        "x",
        "overwritten",
        "+=",
    ),
    "conv: padding cut off at the wrong place": (
        conv_with(padding=1),
        conv_backward_with(padding=1, fault="padding"),
        CONV,
        "x",
        "shifted",
        "by 1 along axes (2, 3)",
    ),
    "conv: last row left out": (
        conv_with(padding=1),
        conv_backward_with(padding=1, fault="last row"),
        CONV,
        "x",
        "outputs left out",
        "index 5 along axis 2",
    ),
    "conv: channels of groups mixed": (
        conv_with(padding=1, groups=2),
        group_mixed,
        GROUPED,
        "x",
        "groups mixed",
        "interleaved",
    ),
    "conv: bias summed over two axes": (
        conv_with(padding=1),
        altered(conv_backward_with(padding=1), lambda db, dy, *_: dy.sum((0, 1, 2)), 2),
        CONV,
        "b",
        "wrong axes",
        "over axes (0, 1, 2); sum it over axes (0, 2, 3)",
    ),
    "conv: mean instead of sum": (
        conv_with(),
        altered(conv_backward_with(), lambda dw, *_: dw / 2, 1),
        CONV,
        "w",
        "constant factor",
        "the batch size N of",
    ),
    "batch norm: path through the mean": (
        batch_norm,
        lambda *a: batch_norm_backward(*a, fault="mean"),
        NORM,
        "x",
        "missing mean term",
        "path through the mean",
    ),
    "batch norm: path through the variance": (
        batch_norm,
        lambda *a: batch_norm_backward(*a, fault="variance"),
        NORM,
        "x",
        "missing variance term",
        "path through the variance",
    ),
    "batch norm: both paths": (
        batch_norm,
        lambda *a: batch_norm_backward(*a, fault="both"),
        NORM,
        "x",
        "missing term",
        "both the path through the mean and the path through the variance",
    ),
    "batch norm: gamma forgotten": (
        batch_norm,
        lambda *a: batch_norm_backward(*a, fault="gamma"),
        NORM,
        "x",
        "factor along axes",
        "the factor gamma is missing",
    ),
    "batch norm: variance for standard deviation": (
        batch_norm,
        lambda *a: batch_norm_backward(*a, fault="var"),
        NORM,
        "x",
        "factor along axes",
        "variance where the standard deviation belongs",
    ),
    "batch norm: eps forgotten": (
        batch_norm,
        lambda *a: batch_norm_backward(*a, fault="eps"),
        TINY_NORM,
        "x",
        "factor along axes",
        "eps is missing",
    ),
    "batch norm: gamma and beta exchanged": (
        batch_norm,
        lambda *a: (lambda g: (g[0], g[2], g[1]))(batch_norm_backward(*a)),
        NORM,
        "gamma",
        "another input's gradient",
        "of beta, not of gamma",
    ),
    "cross entropy: mean's 1/N": (
        cross_entropy,
        altered(cross_entropy_backward, lambda dx, *_: dx * 7),
        (LOGITS, LABELS),
        "x",
        "constant factor",
        "a mean's 1/7 is missing",
    ),
    "cross entropy: sign": (
        cross_entropy,
        altered(cross_entropy_backward, lambda dx, *_: -dx),
        (LOGITS, LABELS),
        "x",
        "sign",
        "wrong sign",
    ),
    "cross entropy: one-hot": (
        cross_entropy,
        lambda dy, x, labels: dy * softmax(x) / 7,
        (LOGITS, LABELS),
        "x",
        "missing one-hot",
        "one-hot of labels",
    ),
    "cross entropy: softmax": (
        cross_entropy,
        lambda dy, x, labels: -dy * np.eye(5)[labels] / 7,
        (LOGITS, LABELS),
        "x",
        "missing softmax",
        "softmax(x) over axis 1",
    ),
    "cross entropy: upstream": (
        cross_entropy,
        lambda dy, x, labels: cross_entropy_backward(1.0, x, labels),
        (LOGITS, LABELS),
        "x",
        "upstream ignored",
        "does not depend on the upstream gradient",
    ),
    "softmax: normaliser": (
        softmax,
        lambda dy, x: softmax(x) * dy,
        (LOGITS,),
        "x",
        "missing normaliser term",
        "sum(dy * y)",
    ),
    "max pool: whole window": (
        max_pool,
        lambda *a: max_pool_backward(*a, fault="all"),
        POOL,
        "x",
        "mask forgotten",
        "every entry of a window",
    ),
    "max pool: average": (
        max_pool,
        lambda *a: max_pool_backward(*a, fault="average"),
        PLAIN_POOL,
        "x",
        "mask forgotten",
        "average pooling",
    ),
    "max pool: overwritten": (
        max_pool,
        lambda *a: max_pool_backward(*a, fault="overwritten"),
        POOL,
        "x",
        "overwritten",
        "accumulate",
    ),
    "max pool: ties": (
        max_pool,
        lambda *a: max_pool_backward(*a, fault="ties"),
        TIED,
        "x",
        "ties",
        "equal maxima each get the whole gradient",
    ),
    "linear: zero": (
        linear,
        altered(linear_backward, lambda dw, *_: 0 * dw, 1),
        LINEAR,
        "w",
        "zero",
        "zero everywhere",
    ),
    "linear: transposed": (
        linear,
        altered(linear_backward, lambda dw, *_: dw.T, 1),
        LINEAR,
        "w",
        "transposed",
        "transposed",
    ),
    "linear: square transposed": (
        linear,
        altered(linear_backward, lambda dw, *_: dw.T, 1),
        SQUARE,
        "w",
        "transposed",
        "transposed",
    ),
    "linear: weight not transposed": (
        linear,
        altered(linear_backward, lambda dx, dy, x, w, b: dy @ w),
        SQUARE,
        "x",
        "operand transposed",
        "w transposed",
    ),
    "linear: bias not summed": (
        linear,
        altered(linear_backward, lambda db, dy, *_: dy, 2),
        LINEAR,
        "b",
        "not un-broadcast",
        "sum the gradient of shape (4, 5) over axis 0",
    ),
    "linear: bias keeps its axis": (
        linear,
        altered(linear_backward, lambda db, dy, *_: dy.sum(0, keepdims=True), 2),
        LINEAR,
        "b",
        "reshaped",
        "keepdims",
    ),
    "linear: bias summed over the other axis": (
        linear,
        altered(linear_backward, lambda db, dy, *_: dy.sum(1), 2),
        LINEAR,
        "b",
        "wrong axes",
        "sum it over axis 0",
    ),
    "linear: only the last example": (
        linear,
        altered(linear_backward, lambda dw, dy, x, *_: np.outer(x[-1], dy[-1]), 1),
        LINEAR,
        "w",
        "only some outputs",
        "index 3 along axis 0",
    ),
    "linear: weight decay": (
        linear,
        altered(linear_backward, lambda dw, dy, x, w, b: dw + 0.01 * w, 1),
        LINEAR,
        "w",
        "extra multiple of the input",
        "weight decay",
    ),
    "broadcast product": (
        lambda x, s: x * s,
        lambda dy, x, s: (dy * s, dy * x),
        (X, RNG.standard_normal((4, 1))),
        "s",
        "not un-broadcast",
        "over axis 1",
    ),
    "relu: mask of dy": (relu, lambda dy, x: dy * (dy > 0), (X,), "x", "mask on upstream", "it belongs on x"),
    "relu: no mask": (relu, lambda dy, x: dy, (X,), "x", "mask forgotten", "mask is missing"),
    "relu: inverted mask": (relu, lambda dy, x: dy * (x < 0), (X,), "x", "mask inverted", "inverted"),
    "relu: dy twice": (relu, lambda dy, x: dy * dy * (x > 0), (X,), "x", "upstream squared", "square of dy"),
    "tanh: derivative at the input": (
        np.tanh,
        lambda dy, x: dy * (1 - x * x),
        (X,),
        "x",
        "input and output confused",
        "1 - t**2",
    ),
    "tanh: no derivative": (np.tanh, lambda dy, x: dy, (X,), "x", "local derivative missing", "local derivative"),
    "square: factor two": (lambda x: x * x, lambda dy, x: dy * x, (X,), "x", "constant factor", "factor 2"),
    "average pool: window size": (
        lambda x: x.reshape(2, 2, 2, 2, 3, 2).mean((3, 5)),
        lambda dy, x: dy.repeat(2, 2).repeat(2, 3),
        (RNG.standard_normal((2, 2, 4, 6)),),
        "x",
        "constant factor",
        "4 is the size of a window",
    ),
    "attention scores: scale": (
        lambda q, k: q @ k.T / math.sqrt(3),
        lambda dy, q, k: (dy @ k, dy.T @ q / math.sqrt(3)),
        (RNG.standard_normal((5, 3)), RNG.standard_normal((4, 3))),
        "q",
        "constant factor",
        "1/sqrt(3) is missing",
    ),
    "leaky relu: slope": (
        lambda x: np.where(x > 0, x, 0.1 * x),
        lambda dy, x: dy * (x > 0),
        (X,),
        "x",
        "one branch wrong",
        "exactly where x < 0",
    ),
    "residual: skip path": (
        lambda x, w: x + np.tanh(x @ w),
        lambda dy, x, w: (
            (dy * (1 - np.tanh(x @ w) ** 2)) @ w.T,
            x.T @ (dy * (1 - np.tanh(x @ w) ** 2)),
        ),
        (X, RNG.standard_normal((3, 3))),
        "x",
        "missing term",
        "the direct path is missing",
    ),
    "nonlinear in the upstream gradient": (
        lambda x: np.sin(x) * np.cos(x.sum()),
        lambda dy, x: np.cos(dy * x) * np.sin(dy) * x,
        (X,),
        "x",
        "not linear",
        "not linear in dy",
    ),
    "cosine: nothing explains it": (
        lambda x: np.sin(x) * np.exp(np.roll(x, 1)),
        lambda dy, x: dy * (np.cos(2 * x) + np.roll(x, 2) ** 2),
        (X,),
        "x",
        "unexplained",
        "no known mistake explains dx",
    ),
    "embedding: repeated index": (embedding, overwriting_embedding, TABLE, "table", "overwritten", "np.add.at"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_gradient_passes_and_is_not_diagnosed(name):
    forward, backward, inputs = RIGHT[name]
    report = check_gradient(forward, backward, inputs)
    assert report, str(report)
    assert not report.hypotheses


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_named(name):
    forward, backward, inputs, wrong, kind, words = WRONG[name]
    report = check_gradient(forward, backward, inputs, names=_names(wrong, inputs))
    assert not report
    assert not report[wrong].ok
    hypotheses = report[wrong].hypotheses
    assert hypotheses, str(report)
    assert hypotheses[0].kind == kind, str(report)
    assert words in hypotheses[0].message, hypotheses[0].message


@pytest.mark.parametrize("name", WRONG)
def test_only_the_wrong_gradient_is_called_wrong(name):
    forward, backward, inputs, wrong, _, _ = WRONG[name]
    report = check_gradient(forward, backward, inputs, names=_names(wrong, inputs), diagnose=False)
    called_wrong = {entry.name for entry in report.inputs if not entry.ok}
    exchanged = {"gamma", "beta"} if "exchanged" in name else set()
    last_row = {"x", "w"} if "last row" in name else set()
    assert called_wrong == ({wrong} | exchanged | last_row)


def _names(wrong, inputs):
    """np.tanh has no argument names to tell."""
    return [wrong] if len(inputs) == 1 else None


def test_at_least_twelve_kinds_are_named():
    assert len({row[4] for row in WRONG.values()}) >= 20


def test_a_zero_gradient_is_called_zero_and_nothing_else():
    entry = check_gradient(linear, altered(linear_backward, lambda dx, *_: 0 * dx), LINEAR)["x"]
    assert [hypothesis.kind for hypothesis in entry.hypotheses] == ["zero"]


def test_equal_factors_do_not_differ_along_an_axis():
    """Also where a slice of the right gradient is zero, as that of a unit that is never active."""
    right, x = RNG.standard_normal((4, 3)) * [1.0, 0.0, 1.0], RNG.standard_normal((4, 3))
    equal = Evidence(name="x", expected=right, given=2 * right, x=x, upstream=right, y=x)
    assert not list(factor_along_axes(equal))
    different = Evidence(name="x", expected=right, given=right * [2.0, 1.0, 3.0], x=x, upstream=right, y=x)
    assert [hypothesis.kind for hypothesis in factor_along_axes(different)] == ["factor along axes"]


def test_the_batch_is_that_of_the_first_argument_not_of_a_weight_of_the_same_length():
    x, w, b = RNG.standard_normal((4, 5)), RNG.standard_normal((5, 3)), RNG.standard_normal(3)
    square = RNG.standard_normal((4, 6)), RNG.standard_normal((4, 6))  # the weight's first axis is N long, too

    def scores(x, weight):
        return x @ weight.T

    report = check_gradient(scores, lambda dy, x, weight: (dy @ weight, dy.T @ x / 4), square)
    assert "4 is the batch size N of x" in report["weight"].hypotheses[0].message
    report = check_gradient(linear, altered(linear_backward, lambda dw, *_: dw / 4, 1), (x, w, b))
    assert "4 is the batch size N of x" in report["w"].hypotheses[0].message


def test_an_upstream_passed_to_what_was_broadcast_is_not_un_broadcast():
    """Rather than the gradient of x in the place of b's, though the two are equal."""
    report = check_gradient(lambda x, b: x + b, lambda dy, x, b: (dy, dy), (LINEAR[0], LINEAR[0][0].copy()))
    assert report["b"].hypotheses[0].kind == "not un-broadcast", str(report)
