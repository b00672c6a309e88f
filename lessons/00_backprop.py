# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Backpropagation, from two nodes to a convolution
#
# **The question.** A network is a program that ends in one number, the loss $L$. Training needs the slope of $L$ with
# respect to millions of numbers at once. Differences would need a run of the program for each of them.
# Backpropagation needs one run forward and one backward. How can that be, and how do you know that the slopes are
# right?
#
# You will derive it on a graph that fits on a napkin, see it break in two instructive ways, and then derive by hand
# the gradients of the three operations that nearly every classifier is made of: a linear layer, softmax with
# cross-entropy, and a convolution. Each is checked in front of you, and so are the mistakes that everybody makes.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minitorch_cv as mt
from minitorch_cv import ops, viz
from minitorch_cv.course import Lesson

lesson = Lesson("backprop", step_sizes=(25, 60, 200))  # (--quick, default, --full)
rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. A graph of two nodes
#
# Take one weight, one input, one target: $u = w x$, then $L = (u - t)^2$. The chain rule is the whole secret:
#
# $$\frac{dL}{du} = 2 (u - t), \qquad \frac{dL}{dw} = \frac{dL}{du} \cdot \frac{du}{dw} = 2 (u - t) \, x. $$
#
# The second line *uses* the first. That is backpropagation: each node receives $dL/d(\text{its output})$,
# multiplies it by its own local slope, and hands the result to its inputs. Nobody needs to know the whole program.
# We write $dv$ for $dL/dv$.

# %%
lesson.section("1. A graph of two nodes")
x, t, w = 3.0, 10.0, 2.0

u = w * x
L = (u - t) ** 2

du = 2 * (u - t)
dw = du * x
print(f"forward : u = {u}, L = {L}")
print(f"backward: du = {du}, dw = {dw}")

h = 1e-6
difference = (((w + h) * x - t) ** 2 - ((w - h) * x - t) ** 2) / (2 * h)
print(f"by differences dw = {difference:.6f}")

# %% [markdown]
# ## 2. A tape
#
# To do this for any program we record what was computed. A `Value` below keeps its number and, for each of its
# inputs, the local slope. This is a whole automatic-differentiation system in 15 lines.


# %%
lesson.section("2. A tape")


class Value:
    def __init__(self, number, inputs=()):
        self.number, self.inputs, self.slope = number, inputs, 0.0  # inputs: (Value, local slope)

    def __add__(self, other):
        return Value(self.number + other.number, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        return Value(self.number * other.number, [(self, other.number), (other, self.number)])


def backward(order, accumulate=True):
    """Walk the nodes in the given order, from the loss to the inputs."""
    order[0].slope = 1.0
    for value in order:
        for operand, local in value.inputs:
            operand.slope = (operand.slope if accumulate else 0.0) + value.slope * local


def program():
    a = Value(2.0)
    b = a * a  # 4
    c = a * b  # 8
    return a, b, c, b + c  # L = a^2 + a^3, so dL/da = 2 a + 3 a^2 = 16


# %% [markdown]
# **Accumulate.** `a` is used three times, `b` twice. What comes from each use must be *added*: the multivariate
# chain rule is a sum over all paths. Overwriting keeps the last path alone.
#
# **In topological order.** A node may pass on its slope only when all of it has arrived. Here `b` must wait for
# `c`. If it goes first, it hands on the slope of one path; what comes later through `c` never reaches `a`.

# %%
a, b, c, L = program()
backward([L, c, b, a])
print(f"topological order, accumulated: dL/da = {a.slope}   (right: 2 a + 3 a^2 = 16)")
right = a.slope

a, b, c, L = program()
backward([L, c, b, a], accumulate=False)
print(f"overwritten                   : dL/da = {a.slope}")
overwritten = a.slope

a, b, c, L = program()
backward([L, b, c, a])
print(f"b before c                    : dL/da = {a.slope}   (the path a - b - c - L is lost)")
lesson.record(slope=right, slope_overwritten=overwritten, slope_in_wrong_order=a.slope)

# %% [markdown]
# The engine of this package does just that with arrays in place of numbers. Each operation that it records gets
# the time at which it was made. Inputs are always older than outputs, so "latest first" *is* a topological order.
# No recursion, no search.

# %%
a = mt.Tensor(2.0, requires_grad=True)
b = a * a
c = a * b
L = b + c
lesson.figure(viz.graph(L, names={"a": a}).draw(), "graph")
L.backward()
print("the engine: dL/da =", a.grad.item())

# %% [markdown]
# ## 3. How to know that a gradient is right
#
# The definition of the slope is also its test. With a step $h$, Taylor's series gives
#
# $$\frac{f(x+h) - f(x)}{h} = f'(x) + \tfrac{1}{2} h f''(x) + \dots, \qquad
#   \frac{f(x+h) - f(x-h)}{2h} = f'(x) + \tfrac{1}{6} h^2 f'''(x) + \dots $$
#
# A small $h$ makes that error small, but then the subtraction cancels: $f$ carries a rounding error of about
# $\epsilon |f|$ ($\epsilon = 2.2 \cdot 10^{-16}$ in float64), which is divided by $h$. The sum of both is a V. It
# is lowest at $h \approx \epsilon^{1/2}$ for the one-sided difference and at $\epsilon^{1/3}$ for the central one.

# %%
lesson.section("3. How to know that a gradient is right")
steps = np.logspace(-15, 0, lesson.settings.step_sizes)
point, truth = 0.7, np.cos(0.7)
one_sided = np.array([abs((np.sin(point + h) - np.sin(point)) / h - truth) for h in steps])
central = np.array([abs((np.sin(point + h) - np.sin(point - h)) / (2 * h) - truth) for h in steps])
single = np.float32(point)
central32 = np.array(
    [
        abs(float(np.sin(single + np.float32(h)) - np.sin(single - np.float32(h))) / (2 * h) - truth)
        for h in steps
        if h > 1e-7
    ]
)

figure, axes = plt.subplots(figsize=(6.4, 4))
axes.loglog(steps, one_sided, "-", color="#0072B2", label="one-sided, float64")
axes.loglog(steps, central, "--", color="#D55E00", label="central, float64")
axes.loglog(steps[steps > 1e-7], central32, ":", color="#009E73", label="central, float32")
axes.set(
    xlabel="step h", ylabel="error of the slope of sin at 0.7", title="The V-curve: truncation right, rounding left"
)
axes.legend()
lesson.figure(figure, "v_curve")
best_one_sided, best_central = steps[one_sided.argmin()], steps[central.argmin()]
print(f"best h, one-sided: {best_one_sided:.0e}, with an error of {one_sided.min():.0e}")
print(f"best h, central  : {best_central:.0e}, with an error of {central.min():.0e}")
print(f"float32: the best central difference is off by {central32.min():.0e}: too coarse to see a small mistake")
lesson.record(best_central_error=central.min(), best_float32_error=central32.min())

# %% [markdown]
# **The upstream gradient must be random.** An array-valued $y = f(x)$ is tested through a number, $\langle v, y
# \rangle$. It is tempting to sum, $v = 1$. But softmax sums to one whatever $x$ is: under $v = 1$ its gradient
# *is* zero, and a backward that returns zeros passes. A random $v$ catches it at once.


# %%
def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def zero_gradient(dy, x):
    return np.zeros_like(x)


logits = rng.standard_normal((3, 4))
ones = np.ones((3, 4))
moved = logits.copy()
moved[0, 0] += 1e-5
change_under_ones = (softmax(moved) * ones).sum() - (softmax(logits) * ones).sum()
print(f"v = 1: the loss changes by {change_under_ones:.1e}; a gradient of zeros passes")
print("With a random v, the same gradient of zeros:")
report = mt.check_gradient(softmax, zero_gradient, (logits,))
print(report)

# %% [markdown]
# ## 4. A linear layer
#
# Forward, for a batch of $N$ rows: $y_{ni} = \sum_j x_{nj} w_{ij} + b_i$.
#
# An entry $x_{nj}$ enters every $y_{ni}$ of its row, with slope $w_{ij}$. An entry $w_{ij}$ enters $y_{ni}$ of
# every row, with slope $x_{nj}$. Sum over all the places where it enters:
#
# $$dx_{nj} = \sum_i dy_{ni} \, w_{ij}, \qquad dw_{ij} = \sum_n dy_{ni} \, x_{nj}, \qquad db_i = \sum_n dy_{ni}. $$
#
# As matrices: $dx = dy\, w$, $dw = dy^{\mathsf T} x$, and $db$ sums $dy$ over the batch. The shapes leave hardly
# another choice.


# %%
lesson.section("4. A linear layer")


def linear(x, w, b):
    return x @ w.T + b


def linear_backward(dy, x, w, b):
    return dy @ w, dy.T @ x, dy.sum(axis=0)


inputs = {"x": rng.standard_normal((5, 3)), "w": rng.standard_normal((4, 3)), "b": rng.standard_normal(4)}
report = mt.check_gradient(linear, linear_backward, inputs)
print(report)
lesson.record(linear_is_right=bool(report))

# %% [markdown]
# The usual mistake: the bias was broadcast over the batch, and its gradient is not summed back. Or summed as a mean.


# %%
def linear_backward_mean(dy, x, w, b):
    return dy @ w, dy.T @ x, dy.mean(axis=0)


print("The bias gradient as a mean, a mistake on purpose:")
print(mt.check_gradient(linear, linear_backward_mean, inputs))

# %% [markdown]
# ## 5. Softmax and cross-entropy
#
# For logits $z_{nk}$ and labels $t_n$: $p_{nk} = e^{z_{nk}} / \sum_j e^{z_{nj}}$ and $L = -\frac{1}{N} \sum_n \ln
# p_{n t_n}$.
#
# Written out, the logarithm undoes the exponential: $-\ln p_{n t_n} = -z_{n t_n} + \ln \sum_j e^{z_{nj}}$.
# Differentiate the two terms by $z_{nk}$. The first gives $-1$ where $k = t_n$. The second gives $e^{z_{nk}} /
# \sum_j e^{z_{nj}} = p_{nk}$. So
#
# $$dz_{nk} = \frac{1}{N} \left( p_{nk} - [k = t_n] \right) dL. $$
#
# What the net believes minus what is true: no logarithm and no division is left, which is why the two are fused.
# (Subtracting the row's maximum from $z$ changes no $p$, and keeps $e^z$ from overflowing.)


# %%
lesson.section("5. Softmax and cross-entropy")


def cross_entropy(z, labels):
    z = z - z.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(z)), labels].mean()


def cross_entropy_backward(dL, z, labels):
    dz = softmax(z)
    dz[np.arange(len(z)), labels] -= 1
    return dL * dz / len(z), None


z, labels = rng.standard_normal((6, 4)), np.array([0, 3, 1, 1, 2, 0])
report = mt.check_gradient(cross_entropy, cross_entropy_backward, (z, labels))
print(report)
lesson.record(cross_entropy_is_right=bool(report))

# %% [markdown]
# Forget the mean's $1/N$, and training still works, with a learning rate that is $N$ times too large. A loss curve
# will not tell you. The check does, and names the number.


# %%
def cross_entropy_backward_sum(dL, z, labels):
    return cross_entropy_backward(dL, z, labels)[0] * len(z), None


print("Without 1/N, a mistake on purpose:")
print(mt.check_gradient(cross_entropy, cross_entropy_backward_sum, (z, labels)))

# %% [markdown]
# ## 6. A convolution
#
# One formula, and everything follows from it by collecting terms. With stride $s$ (no padding, to keep the letters
# few):
#
# $$y_{n o p q} = b_o + \sum_{c, i, j} w_{o c i j} \; x_{n, c, s p + i, s q + j}. $$
#
# $w_{ocij}$ enters $y_{nopq}$ at every image $n$ and every place $p, q$, each time with slope $x_{n, c, sp+i, sq+j}$:
#
# $$dw_{o c i j} = \sum_{n, p, q} dy_{n o p q} \; x_{n, c, s p + i, s q + j}, \qquad db_o = \sum_{n, p, q} dy_{n o
# p q}. $$
#
# $x_{n c h v}$ enters $y_{nopq}$ wherever a window covers it, that is where $h = s p + i$ and $v = s q + j$:
#
# $$dx_{n c h v} = \sum_{o} \; \sum_{\substack{p, i:\; s p + i = h \\ q, j:\; s q + j = v}} dy_{n o p q} \; w_{o c
# i j}. $$
#
# Read as a program: go over the windows as in the forward pass, and *add* into $dx$ what each window gives back.
# Windows overlap, hence "add". Written as a gather, the same sum is a convolution of $dy$ with the window flipped
# in space.


# %%
lesson.section("6. A convolution")


def conv2d(x, w, b, stride):
    (n, _, height, width), (o, _, kh, kw) = x.shape, w.shape
    oh, ow = (height - kh) // stride + 1, (width - kw) // stride + 1
    y = np.empty((n, o, oh, ow))
    for p in range(oh):
        for q in range(ow):
            window = x[:, :, p * stride : p * stride + kh, q * stride : q * stride + kw]
            y[:, :, p, q] = np.tensordot(window, w, axes=([1, 2, 3], [1, 2, 3])) + b
    return y


def conv2d_backward(dy, x, w, b, stride):
    kh, kw = w.shape[2:]
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for p in range(dy.shape[2]):
        for q in range(dy.shape[3]):
            rows, columns = slice(p * stride, p * stride + kh), slice(q * stride, q * stride + kw)
            dw += np.tensordot(dy[:, :, p, q], x[:, :, rows, columns], axes=(0, 0))
            dx[:, :, rows, columns] += np.tensordot(dy[:, :, p, q], w, axes=(1, 0))
    return dx, dw, dy.sum(axis=(0, 2, 3)), None


x = rng.standard_normal((2, 3, 7, 9))
w, b = rng.standard_normal((4, 3, 3, 2)), rng.standard_normal(4)
report = mt.check_gradient(conv2d, conv2d_backward, {"x": x, "w": w, "b": b, "stride": 2})
print(report)
lesson.record(conv2d_is_right=bool(report))

# %% [markdown]
# The seventh row of $x$ takes part here ($3 + 2 \cdot 2 = 7$); a column is left over where the stride does not
# divide, and its gradient is zero. And the mistakes: `=` for `+=`, and the window the wrong way round.


# %%
def conv2d_backward_overwriting(dy, x, w, b, stride):
    dx, dw, db, _ = conv2d_backward(dy, x, w, b, stride)
    dx = np.zeros_like(x)
    for p in range(dy.shape[2]):
        for q in range(dy.shape[3]):
            rows, columns = slice(p, p + w.shape[2]), slice(q, q + w.shape[3])
            dx[:, :, rows, columns] = np.tensordot(dy[:, :, p, q], w, axes=(1, 0))
    return dx, dw, db, None


def conv2d_backward_flipped(dy, x, w, b, stride):
    _, dw, db, _ = conv2d_backward(dy, x, w, b, stride)
    dx = conv2d_backward(dy, x, w[:, :, ::-1, ::-1], b, stride)[0]
    return dx, dw, db, None


for wrong in (conv2d_backward_overwriting, conv2d_backward_flipped):
    print("A mistake on purpose:")
    report = mt.check_gradient(conv2d, wrong, {"x": x, "w": w, "b": b, "stride": 1})
    print(report, end="\n\n")
lesson.figure(report.plot(), "conv2d_flipped")

# %% [markdown]
# ## 7. The same in the engine
#
# `ops.conv2d` holds this very derivation, with padding, dilation and groups, and matrix products in place of the
# loops. Its gradients agree with yours to the last digits. Its backward is made of operations that have
# derivatives themselves, so that derivatives of derivatives come without further code: `mt.grad(...,
# create_graph=True)`.

# %%
lesson.section("7. The same in the engine")
tensors = [mt.Tensor(v, requires_grad=True) for v in (x, w, b)]
y = ops.conv2d(*tensors, stride=2)
dy = rng.standard_normal(y.shape)
engine = mt.grad(y, tensors, dy)
yours = conv2d_backward(dy, x, w, b, 2)
for name, ours, hand in zip("xwb", engine, yours, strict=False):
    print(f"d{name}: largest difference {abs(ours.numpy() - hand).max():.1e}")
second = mt.gradcheck(lambda x, w: ops.conv2d(x, w, stride=2).tanh(), (x, w), order=2)
print("second derivatives of tanh(conv2d):", "right" if second else "wrong")
lesson.record(second_order_is_right=bool(second))

# %% [markdown]
# ## 8. How good is your own check?
#
# Two checks: the one that most tutorials show (all-ones upstream gradient, one random entry, tolerance 1e-2), and
# this package's. Plant mistakes in a right gradient and count which of them each one catches.


# %%
lesson.section("8. How good is your own check?")


def tutorial_check(forward, backward, inputs):
    x = inputs[0]
    y = forward(*inputs)
    i = tuple(np.random.default_rng(0).integers(0, n) for n in x.shape)
    moved = x.copy()
    moved[i] += 1e-5
    difference = (forward(moved, *inputs[1:]).sum() - y.sum()) / 1e-5
    return abs(backward(np.ones_like(y), *inputs)[0][i] - difference) <= 1e-2 * (1 + abs(difference))


def this_package(forward, backward, inputs):
    return bool(mt.check_gradient(forward, backward, inputs, diagnose=False))


for check in (tutorial_check, this_package):
    print(mt.score_check(check, linear, linear_backward, tuple(inputs.values())), end="\n\n")

# %%
lesson.finish()

# %% [markdown]
# ## What to try next
#
# 1. Add division to `Value`. Which local slopes do its two inputs get?
# 2. In section 3 replace $\sin$ by $x \mapsto e^{20 x}$. Where does the V move, and why?
# 3. Derive the backward of a linear layer whose weight is used twice, $y = (x w^{\mathsf T}) w$, by adding two
#    paths. Check it.
# 4. Give `conv2d` padding. What does the gradient do with the rows that it added?
# 5. Label smoothing replaces $[k = t_n]$ by $(1 - \epsilon) [k = t_n] + \epsilon / K$. What changes in $dz$, and
#    what does not?
#
# Next: `01_alexnet`, the same craft on a whole network.
