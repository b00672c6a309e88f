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
# # From seven loops to twice PyTorch
#
# **The question.** A convolution is seven nested loops around one multiplication and one addition. Why does the same
# sum take a second when it is written down in one way and a few milliseconds in another, on the same processor?
#
# You will compute it in seven ways, measure each on your machine, and put all of them into one picture, the
# *roofline*: no program computes faster than the peak of its cores, and none faster than memory feeds it. A program
# whose *intensity* is $I$ operations a byte can reach $\min(\text{peak}, I \cdot \text{bandwidth})$. In the end you
# pass the roof by doing less. Numbers are printed by your own run; where the text quotes another machine, it says so.

# %%
from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time

import matplotlib.pyplot as plt
import numpy as np

import minitorch_cv as mt
from minitorch_cv import ops
from minitorch_cv.course import Lesson

try:
    import numba  # noqa: F401
    from minitorch_cv.kernels.cpu import activation, batch_norm, memory, packing, winograd
    from minitorch_cv.kernels.cpu import conv2d_direct as direct
    from minitorch_cv.kernels.cpu.kernel import kernel
    from minitorch_cv.kernels.cpu.language import Pointer, address, advanced, call_block, number
    from minitorch_cv.kernels.cpu.machine import cores, machine
    from minitorch_cv.kernels.cpu.microkernel import block
except ImportError as missing:
    print(f"This lesson compiles kernels, for which it needs numba and llvmlite ({missing}); nothing was run.")
    sys.exit(0)

lesson = Lesson(
    "fast_cpu",
    seconds=(0.05, 0.4, 2.0),  # the best of so many seconds is taken
    images=(2, 8, 32),  # of 64 channels, 56 x 56: a layer of ResNet-18
    large=(16, 48, 64),  # images for what memory limits
    rows=((1, 4, 12), (1, 2, 4, 6, 8, 10, 12, 14, 16), tuple(range(1, 17))),  # of the register blocks tried
    batch=(8, 64, 128),  # of ResNet-20's step
)
settings = lesson.settings
rng = np.random.default_rng(0)
C, SIZE = 64, 56


def measure(function, seconds=settings.seconds):
    """Seconds of the fastest run: what else the machine does can only add."""
    function()
    best, began = np.inf, time.perf_counter()
    while time.perf_counter() - began < seconds or best == np.inf:
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best


steps = {}  # name: (intensity, Gflop/s)


def step(name, function, flops, moved):
    """Measure one way of computing; `moved` is what it must carry between memory and the cores, in bytes."""
    seconds = measure(function)
    steps[name] = flops / moved, flops / seconds / 1e9
    print(f"{name:<32}{1e3 * seconds:10.3f} ms {flops / seconds / 1e9:9.3f} Gflop/s {flops / moved:8.2f} flop/byte")
    return seconds


# %% [markdown]
# ## 1. The definition
#
# $$y_{n o p q} = \sum_{c, i, j} w_{o c i j} \; x_{n, c, p + i, q + j} $$
#
# Seven letters, seven loops: $2 \cdot 9\, C O H W N$ operations. Python interprets each; `kernel` makes
# machine code of the same loops. Task $n$ is image $n$, and the tasks are spread over the cores. In our layer $C = O$.

# %%
lesson.section("1. The definition")


def by_definition(x, w, y):
    y[...] = 0
    for n, o, p, q, c, i, j in np.ndindex(*y.shape, *w.shape[1:]):
        y[n, o, p, q] += w[o, c, i, j] * x[n, c, p + i, q + j]


@kernel
def seven_loops(task, worker, x: Pointer, w: Pointer, y: Pointer, size: int, channels: int, outputs: int):
    """x [n][c][size + 2][size + 2], w [o][c][3][3], y [n][o][size][size]: as in the formula."""
    for o in range(outputs):
        for p in range(size):
            for q in range(size):
                total = number(x, 0.0)
                for c in range(channels):
                    for i in range(3):
                        for j in range(3):
                            a = x[((task * channels + c) * (size + 2) + p + i) * (size + 2) + q + j]
                            total += a * w[((o * channels + c) * 3 + i) * 3 + j]
                y[((task * outputs + o) * size + p) * size + q] = total


@kernel
def channels_last_loops(task, worker, x: Pointer, w: Pointer, y: Pointer, size: int, channels: int, outputs: int):
    """x [n][size + 2][size + 2][c], w [3][3][c][o], y [n][size][size][o]: the innermost loop meets neighbours."""
    for p in range(size):
        for q in range(size):
            to = advanced(y, ((task * size + p) * size + q) * outputs)
            for o in range(outputs):
                to[o] = number(x, 0.0)
            for i in range(3):
                for j in range(3):
                    for c in range(channels):
                        a = x[((task * (size + 2) + p + i) * (size + 2) + q + j) * channels + c]
                        taps = advanced(w, ((i * 3 + j) * channels + c) * outputs)
                        for o in range(outputs):
                            to[o] += a * taps[o]


tiny_x, tiny_w, tiny_y = rng.standard_normal((1, 4, 8, 8)), rng.standard_normal((4, 4, 3, 3)), np.zeros((1, 4, 6, 6))
tiny_flops, tiny_bytes = 2 * 9 * 4 * tiny_y.size, 8 * (tiny_x.size + tiny_w.size + tiny_y.size)
step("seven loops, Python", lambda: by_definition(tiny_x, tiny_w, tiny_y), tiny_flops, tiny_bytes)
print(
    f"  ops.conv2d in float64 is off by {abs(tiny_y - ops.conv2d(tiny_x, tiny_w)).max():.0e}: our measure from here on"
)

N = settings.images
images = lambda n: rng.standard_normal((n, SIZE, SIZE, C), np.float32).transpose(0, 3, 1, 2)  # channels last in memory
x, w = images(N), (rng.standard_normal((C, C, 3, 3)) / 24).astype(np.float32)
flops, moved = 2 * 9 * C * x.size, 4 * (2 * x.size + w.size)
truth = ops.conv2d(x.astype(np.float64), w.astype(np.float64), padding=1)
error = lambda y, truth=truth: abs(y - truth).max() / abs(truth).max()
padded = np.pad(np.ascontiguousarray(x), ((0, 0), (0, 0), (1, 1), (1, 1)))
padded_last, w_last = np.ascontiguousarray(padded.transpose(0, 2, 3, 1)), np.ascontiguousarray(w.transpose(2, 3, 1, 0))
y_first, y_last = np.empty(x.shape, np.float32), np.empty((N, SIZE, SIZE, C), np.float32)
step("seven loops, compiled", lambda: seven_loops(N, padded, w, y_first, SIZE, C, C), flops, moved)
step("... channels last", lambda: channels_last_loops(N, padded_last, w_last, y_last, SIZE, C, C), flops, moved)
print(f"  errors: {error(y_first):.0e}, {error(y_last.transpose(0, 3, 1, 2)):.0e}")

# %% [markdown]
# Compiled, the loops still take one product at a time, and walk through memory in strides. With channels last, output
# channels are neighbours, and one instruction multiplies a whole vector of them. But each multiply-add loads
# `taps[o]` and `to[o]` and stores `to[o]`: three trips to the cache for one useful instruction. Remember them.
#
# ## 2. Columns and a matrix product
#
# Copy every window into a row of its own (*im2col*); then the convolution is one matrix product, for which BLAS is
# tuned. The price: nine times the memory, written and read again.

# %%
lesson.section("2. Columns and a matrix product")


def im2col(x, w):
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))).transpose(0, 2, 3, 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))  # n p q c i j
    columns = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 9 * C)
    y = columns @ w.transpose(2, 3, 1, 0).reshape(9 * C, -1)
    return y.reshape(len(x), SIZE, SIZE, -1).transpose(0, 3, 1, 2)


step("im2col, NumPy", lambda: im2col(x, w), flops, moved + 2 * 9 * 4 * x.size)
print(f"  error {error(im2col(x, w)):.0e}")
time.sleep(0.2)  # BLAS has threads of its own, which watch for work for a while and would disturb what follows

# %% [markdown]
# ## 3. The micro-kernel
#
# Keep sums in *registers*. Take $R$ pixels and $J$ vectors of output channels: $R J$ sums. For each $k = (i, j, c)$
# load $J$ vectors of weights and $R$ numbers of $x$ (spread over a vector), and do $R J$ multiply-adds:
#
# $$\frac{\text{loads}}{\text{multiply-adds}} = \frac{R + J}{R J} = \frac{1}{R} + \frac{1}{J}. $$
#
# A core that begins two multiply-adds and two loads in a cycle, as many do, needs this below 1. Each addition to a sum
# waits for the one before, some four cycles: $2 \cdot 4 = 8$ independent sums keep both units busy. And $R J + J + 1$
# registers must exist, or sums are *spilled* to memory. Three conditions; the largest block that meets them loads
# least. `block(R, J, 4)` writes its machine code; we call it on data that stay in the first-level cache.

# %%
lesson.section("3. The micro-kernel")


@kernel
def repeat_block(
    task, worker, a: Pointer, b: Pointer, out: Pointer, code: int, rows: int, wide: int, depth: int, repeats: int
):  # fmt: skip
    """out[rows][wide] = a[rows][depth] b[depth][wide], again and again."""
    size = address(a, 1) - address(a, 0)
    for _ in range(repeats):
        call_block(
            code, address(a, 0), 0, 0, size, depth * size, address(b, 0), 0, 0, wide * size, 1, 1, depth,
            address(out, task * rows * wide), wide * size, 0, 0, 0
        )  # fmt: skip


@kernel
def copy(task, worker, x: Pointer, y: Pointer, n: int, tasks: int):
    for i in range(task * n // tasks, (task + 1) * n // tasks):
        y[i] = x[i]


LANES, DEPTH, REPEATS = machine().lanes(4), 64, 500
a, b, out = (np.ones(n, np.float32) for n in (16 * DEPTH, 4 * LANES * DEPTH, cores() * 16 * 4 * LANES))


def block_speed(rows, vectors, tasks=1):
    wide, code = vectors * LANES, block(rows, vectors, 4)
    seconds = measure(
        lambda: repeat_block(tasks, a, b, out, code, rows, wide, DEPTH, REPEATS), tasks * settings.seconds
    )
    return tasks * REPEATS * 2 * rows * wide * DEPTH / seconds / 1e9


speeds = np.array([[block_speed(rows, vectors) for vectors in (1, 2, 3, 4)] for rows in settings.rows])
print(f"{machine().vector_registers} registers of {LANES} numbers; Gflop/s of one core (loads per multiply-add):")
for rows, line in zip(settings.rows, speeds):
    print(f"  R = {rows:2}", *(f"  J = {j}: {v:6.1f} ({1 / rows + 1 / j:.2f})" for j, v in enumerate(line, 1)))
R, J = machine().rows(2), 2
peak = block_speed(R, J, tasks=cores())
source, target = np.ones((2, 2**25), np.float32)  # 128 MB each: more than caches hold
bandwidth = (
    2
    * source.nbytes
    / measure(lambda: copy(4 * cores(), source, target, 2**25, 4 * cores()), 4 * settings.seconds)
    / 1e9
)
print(f"peak {peak:.0f} Gflop/s ({R} x {J}; threads: {cores()}), a copy reads and writes {bandwidth:.1f} GB/s")
print(f"so a program needs {peak / bandwidth:.1f} flop/byte, or memory is what it waits for")
lesson.record(peak_gflops=peak, copy_gbs=bandwidth, block_gflops=speeds)

# %% [markdown]
# At the left the block: a row of the weights is loaded once for all $R$ pixels, a column of $x$ once for all $J$
# vectors. At the right what was measured: expect too few sums at the top, too few registers at the bottom right.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
for corner, width, height, color, text in (
    ((0, 0), 3, R / 4, "#56B4E9", f"x: {R}\npixels"),
    ((2.5, 0), 0.3, R / 4, "#0072B2", ""),
    ((3.4, R / 4 + 0.4), 2 * J, 3, "#E69F00", f"w: {J} vectors of {LANES}\n\n\n"),
    ((3.4, R / 4 + 1.5), 2 * J, 0.3, "#D55E00", ""),
    ((3.4, 0), 2 * J, R / 4, "#CCCCCC", f"y: {R} x {J} sums\nin registers"),
):
    left.add_patch(plt.Rectangle(corner, width, height, facecolor=color, edgecolor="black"))
    left.text(corner[0] + width / 2, corner[1] + height / 2, text, ha="center", va="center")
left.set(xlim=(-0.2, 3.6 + 2 * J), ylim=(-0.2, R / 4 + 3.6), title="one step k: R + J loads, R J multiply-adds")
left.axis("off")
drawn = right.imshow(speeds, aspect="auto", cmap="cividis")
right.set(xlabel="J vectors", ylabel="R rows", title="Gflop/s of one core", xticks=range(4), xticklabels=range(1, 5))
right.set_yticks(range(len(settings.rows)), settings.rows)
figure.colorbar(drawn)
lesson.figure(figure, "register_block")

# %% [markdown]
# **The convolution around it.** With channels last, the three pixels of a window's row are one run of $3 C$ numbers,
# and a window is three such runs: the micro-kernel walks them where they lie, and no column is copied. A *band* of
# an image's rows stays in the second-level cache while all tiles of weights pass over it; a tile of weights stays
# in the first while all pixels of the band pass. Each cache level serves the next faster one.

# %%
wide, tiles, *_ = packing.tiling(C, 4)
pixels = packing.even_rows(SIZE, machine().rows(wide))
band = direct.BAND_BYTES // ((SIZE + 2) * C * 4) - 2
print(f"{C} outputs: {tiles} tiles of {wide} x {LANES}; {SIZE} pixels: blocks of {pixels}; bands: up to {band} rows")
same = ((1, 1), (1, 1), (1, 1), 1)  # stride, padding, dilation, groups
step("direct, micro-kernel", lambda: direct.correlate(x, w, None, *same), flops, moved)
direct_error = error(direct.correlate(x, w, None, *same))
print(f"  error {direct_error:.0e}; {steps['direct, micro-kernel'][1] / peak:.0%} of the peak")

# %% [markdown]
# ## 4. Winograd: fewer multiplications
#
# Near the roof only one way is left: do less. Two outputs of a filter with three taps, $y_i = \sum_j d_{i+j} w_j$,
# cost 6 products. Take any $e_0, e_1$ and look at
#
# $$\sum_i e_i y_i = \sum_{i,j} e_i w_j d_{i+j} = \sum_k d_k s_k, \qquad s(t) = e(t)\, w(t), $$
#
# with the polynomials $e(t) = e_0 + e_1 t$ and $w(t) = w_0 + w_1 t + w_2 t^2$. Their product has degree 3: four
# coefficients $s$, known from four *values*, and a value of a product is one product, $s(p) = e(p) w(p)$. Take
# $p = 0, 1, -1$ and $\infty$ (the leading coefficient). With $A$, $G$, $V$ the matrices that evaluate polynomials of
# 2, 3 and 4 coefficients there, $s = V^{-1} (A e \odot G w)$ and so $\langle e, y \rangle = \langle V^{-\mathsf T} d,
# A e \odot G w \rangle$ for every $e$:
#
# $$y = A^{\mathsf T} \left[ G w \odot B^{\mathsf T} d \right], \qquad B^{\mathsf T} = V^{-\mathsf T}. $$
#
# A row of $G$ and one of $B^{\mathsf T}$ may trade factors; put the halves of $V^{-1}$ into $G$, with the weights:
#
# $$A^{\mathsf T} = \begin{pmatrix} 1 & 1 & 1 & 0 \\ 0 & 1 & -1 & 1 \end{pmatrix} \quad
# G = \begin{pmatrix} 1 & 0 & 0 \\ \frac12 & \frac12 & \frac12 \\ \frac12 & -\frac12 & \frac12 \\ 0 & 0 & 1
# \end{pmatrix} \quad
# B^{\mathsf T} = \begin{pmatrix} 1 & 0 & -1 & 0 \\ 0 & 1 & 1 & 0 \\ 0 & -1 & 1 & 0 \\ 0 & -1 & 0 & 1 \end{pmatrix} $$
#
# 4 products for 6. In two dimensions apply it to columns and rows, $y = A^{\mathsf T} [ G w G^{\mathsf T} \odot
# B^{\mathsf T} d B ] A$: 16 for 36. With points $\pm 2$ too, $F(4, 3)$: $6^2 = 36$ for $4^2 \cdot 9 = 144$.

# %%
lesson.section("4. Winograd: fewer multiplications")


def evaluation(points, size):
    """A row for each point, with its powers; for infinity the row that picks the leading coefficient."""
    return np.array([[p**k for k in range(size)] for p in points] + [[0] * (size - 1) + [1]], float)


def matrices(points, outputs):
    """A^T, G and B^T of F(outputs, 3)."""
    halves = np.linalg.inv(evaluation(points, outputs + 2)).T
    factor = abs(halves).max(axis=1, keepdims=True) if outputs == 2 else 1.0
    return evaluation(points, outputs).T, evaluation(points, 3) * factor, halves / factor


POINTS = {2: (0, 1, -1), 4: (0, 1, -1, 2, -2), 6: (0, 1, -1, 2, -2, 0.5, -0.5), 8: (0, 1, -1, 2, -2, 0.5, -0.5, 4, -4)}
for matrix in matrices(POINTS[2], 2):
    print(matrix, end="\n\n")
for name, f in (("F2", winograd.F2), ("F4", winograd.F4)):
    A_T, G, B_T = matrices(POINTS[f.outputs], f.outputs)
    d, taps = rng.standard_normal(f.points), rng.standard_normal(3)
    off = abs(A_T @ ((G @ taps) * (B_T @ d)) - np.correlate(d, taps)).max()
    theirs = [np.array(g(np.eye(n))) for g, n in ((f.output, f.points), (f.weight, 3), (f.input, f.points))]
    shares = [np.einsum("ok,kt,kd->kotd", *maps) for maps in ((A_T, G, B_T), theirs)]  # of each point: all factors
    adjoint = np.array_equal(np.array(f.output_adjoint(np.eye(f.outputs))), theirs[0].T)
    adjoint &= np.allclose(np.array(f.weight_adjoint(np.eye(f.points))), theirs[1].T)
    print(f"{name}: off by {off:.0e} from the definition; winograd.py's maps are these: {np.allclose(*shares)}; "
          f"their adjoints are transposed: {adjoint}; products {9 * f.outputs**2} -> {f.points**2}")  # fmt: skip

# %% [markdown]
# For images: overlapping tiles, with values $V = B^{\mathsf T} d B$, times those of the filters, $U = G w G^{\mathsf
# T}$, summed over the channels *between* the transforms: $M = \sum_c U \odot V$. For each of the $n^2$ values that is
# a matrix product, the micro-kernel's work; tiles and filters are transformed but once. The map is linear in $x$, so
# its gradient is the transposed map, read backwards: $dM = A\, dy\, A^{\mathsf T}$, $\; dV = \sum_o U \odot dM$,
# $\; dd = B\, dV\, B^{\mathsf T}$; a pixel lies in several tiles, whose gradients add up.


# %%
def winograd_forward(x, w, A_T, G, B_T):
    """x (C, H + 2, W + 2) to y (O, H, W)."""
    m, n = A_T.shape
    d = np.lib.stride_tricks.sliding_window_view(x, (n, n), axis=(1, 2))[:, ::m, ::m]  # c, rows, columns, n, n
    M = np.einsum("ocij,crsij->orsij", G @ w @ G.T, B_T @ d @ B_T.T, optimize=True)
    y = A_T @ M @ A_T.T
    return y.swapaxes(2, 3).reshape(len(w), y.shape[1] * m, y.shape[2] * m)


def winograd_dx(dy, x, w, A_T, G, B_T):
    (m, n), (_, h, v) = A_T.shape, dy.shape
    dM = A_T.T @ dy.reshape(len(w), h // m, m, v // m, m).swapaxes(2, 3) @ A_T
    dd = B_T.T @ np.einsum("ocij,orsij->crsij", G @ w @ G.T, dM) @ B_T
    dx = np.zeros_like(x)
    for i, j in np.ndindex(n, n):
        dx[:, i : i + h - m + 1 : m, j : j + v - m + 1 : m] += dd[..., i, j]
    return dx


some_x, some_w, F4 = rng.standard_normal((2, 10, 14)), rng.standard_normal((3, 2, 3, 3)), matrices(POINTS[4], 4)
report = mt.check_gradient(
    lambda x: winograd_forward(x, some_w, *F4), lambda dy, x: winograd_dx(dy, x, some_w, *F4), {"x": some_x}
)
print(report)
off = abs(winograd_forward(some_x, some_w, *F4) - ops.conv2d(some_x[None], some_w)[0]).max()
print(f"forward, off from the definition by {off:.0e} in float64")
lesson.record(winograd_gradient_is_right=bool(report))

# %% [markdown]
# **The price.** Values at 2 and $-2$ mix numbers of very different size, and their differences cost digits in
# float32. More points save more products and lose more digits; here is the trade, and then the time.

# %%
trade = {"direct": (9.0, direct_error)}
for m, points in POINTS.items():
    maps = (matrix.astype(np.float32) for matrix in matrices(points, m))
    y = winograd_forward(padded[0, :, :26, :26], w, *maps)
    trade[f"F({m})"] = (m + 2) ** 2 / m**2, error(y, truth[0, :, :24, :24])
figure, axes = plt.subplots(figsize=(6, 3.8))
for name, (products, off) in trade.items():
    axes.semilogy(products, off, "o", color="#0072B2")
    axes.annotate(name, (products, off), textcoords="offset points", xytext=(6, 5))
    print(f"{name:<12}{products:6.2f} products an output, error in float32 {off:.0e}")
axes.set(xlabel="products for each output and channel", ylabel="largest error / largest value", xlim=(1, 10.5))
axes.set_title("The price of few products, float32")
lesson.figure(figure, "error")
for name in ("F2", "F4"):
    by_tiles = lambda f=winograd.BY_NAME[name]: winograd.correlate(f, x, w, None, 1, 1)
    step(f"Winograd {name}, micro-kernel", by_tiles, flops, moved)
    print(f"  error {error(by_tiles()):.0e}")
lesson.record(trade=trade)

# %% [markdown]
# Gflop/s count the definition's operations, so Winograd may pass the peak. Why not by a factor of four? Transforms
# take time too, as much for each tile and channel as several products.
#
# ## 5. Fusion: passes over memory
#
# The end of a residual block, batch norm, sum and ReLU, is some 8 operations a number: an intensity so low that only
# memory counts. So count *passes*, how often an array of that size is read or written: the comments below do.

# %%
lesson.section("5. Fusion: passes over memory")


def line_by_line(x, residual):
    mean = x.mean(axis=(0, 2, 3), keepdims=True)  # passes: 1
    d = x - mean  # 2
    var = (d * d).mean(axis=(0, 2, 3), keepdims=True)  # 2 + 1
    xhat = d / np.sqrt(var + 1e-5)  # 2
    scaled = gamma * xhat  # 2
    shifted = scaled + beta  # 2
    return np.maximum(shifted + residual, 0)  # 3 + 2


big, residual = images(settings.large), images(settings.large)
gamma, beta = (rng.standard_normal((C, 1, 1)).astype(np.float32) for _ in "gb")


def three_kernels(x, residual):
    (y, *_), _ = batch_norm.batch_norm_train(x, gamma.ravel(), beta.ravel())  # 1 + 2
    return activation.relu(activation.each(activation.add_forward, y, residual))[0]  # 3 + 2


def fused(x, residual):
    return batch_norm.batch_norm_relu_train(x, residual, gamma.ravel(), beta.ravel())[0][0]  # 1 + 3


exact = line_by_line(big.astype(np.float64), residual)
for way, passes in ((line_by_line, 17), (three_kernels, 8), (fused, 4)):
    call, name = lambda way=way: way(big, residual), way.__name__.replace("_", " ")
    seconds = step(f"norm + add + ReLU, {name}", call, 8 * big.size, passes * big.nbytes)
    speed, off = passes * big.nbytes / seconds / 1e9, abs(call() - exact).max()
    print(f"  {passes} passes of {1e3 * seconds / passes:.2f} ms: {speed:.1f} GB/s; error {off:.0e}")

# %% [markdown]
# In the kernels the time follows the passes; more than a copy's GB/s means that a cache held part of the arrays.
# NumPy's lines run in one thread, and each makes a new array, which has its own price:
#
# ## 6. Memory: pages and layout
#
# A large fresh array is a promise. At the first touch of each page (4 KB as a rule) the processor stops, and the
# operating system finds memory and fills it with zeros. C's allocator keeps some memory of dead arrays, but gives
# back what is large. A training step makes the same arrays again and again: the package's pool keeps them all.

# %%
lesson.section("6. Memory: pages and layout")


def activations(empty):
    arrays = [empty((2**18,), np.float32) for _ in range(160)]  # of 1 MB, alive together as in a forward pass
    for array in arrays:
        array.fill(1.0)


fresh, pooled = measure(lambda: activations(np.empty)), measure(lambda: activations(memory.empty))
print(f"160 arrays of 1 MB filled: fresh {1e3 * fresh:.2f} ms, from the pool {1e3 * pooled:.2f} ms")
first = np.ascontiguousarray(x)
last_ms, first_ms = (1e3 * measure(lambda z=z: direct.correlate(z, w, None, *same)) for z in (x, first))
print(f"direct convolution: channels last {last_ms:.2f} ms, channels first, rearranged before, {first_ms:.2f} ms")
lesson.record(fresh_ms=1e3 * fresh, pooled_ms=1e3 * pooled, last_ms=last_ms, first_ms=first_ms)

# %% [markdown]
# Hence arrays here are NCHW in *shape* and NHWC in *memory*: a vector is some neighbouring channels of one pixel, in
# convolution, batch norm and pooling alike, and nothing is rearranged between them. All steps in one picture:

# %%
figure, axes = plt.subplots(figsize=(9, 5.5))
intensity = np.logspace(-1.5, 3, 100)
axes.loglog(intensity, np.minimum(peak, bandwidth * intensity), "-", color="black", label="roof: peak, bandwidth")
for (name, place), color in zip(steps.items(), plt.cm.tab10.colors):
    axes.loglog(*place, "o", color=color, label=f"{name}: {place[1]:.3g}")
axes.set(xlabel="intensity (flop / byte)", ylabel="Gflop/s, the definition's", title=f"Roofline; threads: {cores()}")
axes.legend(bbox_to_anchor=(1.02, 1), loc="upper left")
lesson.figure(figure, "roofline")
lesson.record(steps=steps)

# %% [markdown]
# ## 7. The whole step
#
# ResNet-20 on 32 x 32: forward, backward, update. With the readable NumPy bodies (`MINITORCH_CV_KERNELS=portable`),
# with the kernels, and the same net in PyTorch where it is installed; each in a process of its own.

# %%
lesson.section("7. The whole step")
BEGIN = f"""
import time, numpy as np
rng = np.random.default_rng(0)
images = rng.standard_normal(({settings.batch}, 3, 32, 32)).astype(np.float32)
labels = rng.integers(0, 10, {settings.batch})
"""
OURS = """
import minitorch_cv as mt
from minitorch_cv import models, optim
from minitorch_cv.ops import cross_entropy
net, x, t = models.resnet20(), mt.Tensor(images), labels
"""
TORCH = f"""
import torch
from torch import nn, optim
from torch.nn.functional import cross_entropy, pad, relu
torch.set_num_threads({cores()})
class Block(nn.Module):
    def __init__(self, i, o, s):
        super().__init__()
        self.s, self.new, self.bn1, self.bn2 = s, o - i, nn.BatchNorm2d(o), nn.BatchNorm2d(o)
        self.conv1, self.conv2 = nn.Conv2d(i, o, 3, s, 1, bias=False), nn.Conv2d(o, o, 3, 1, 1, bias=False)
    def forward(self, x):
        y = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        return relu(y + pad(x[:, :, :: self.s, :: self.s], (0, 0, 0, 0, 0, self.new)))
widths = [16] * 4 + [32] * 3 + [64] * 3
blocks = [Block(i, o, 1 if i == o else 2) for i, o in zip(widths, widths[1:])]
net = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), *blocks,
                    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
x, t = torch.from_numpy(images), torch.from_numpy(labels)
"""
END = """
optimizer, times = optim.SGD(net.parameters(), lr=0.1, momentum=0.9), []
while len(times) < 3 or sum(times) < %g:
    start = time.perf_counter()
    optimizer.zero_grad()
    cross_entropy(net(x), t).backward()
    optimizer.step()
    times.append(time.perf_counter() - start)
print(min(times))
"""


def whole_step(program, bodies=""):
    code = BEGIN + program + END % (5 * settings.seconds)
    environment = {**os.environ, "MINITORCH_CV_KERNELS": bodies}
    run = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return 1e3 * float(run.stdout.split()[-1])


whole = {"NumPy": whole_step(OURS, "portable"), "kernels": whole_step(OURS)}
if importlib.util.find_spec("torch"):
    whole["PyTorch"] = whole_step(TORCH)
else:
    print("PyTorch is not installed: no comparison with it")
for name, milliseconds in whole.items():
    print(f"{name:<8} {milliseconds:8.1f} ms a step, {milliseconds / whole['kernels']:5.2f} times the kernels'")
lesson.record(step_ms=whole)
lesson.finish()

# %% [markdown]
# ## What was measured, and what to try next
#
# `results.json` holds your numbers. Other programs on the same cores distort them, PyTorch's most, whose threads wait
# for each other: close them. The title's "twice" was measured elsewhere: on two AVX-512 cores of an AMD EPYC the first
# version of these kernels took 0.49 to 0.52 of PyTorch 2.13's time for a step of ResNet-20 with batches of 64. A direct
# convolution runs near the peak there in PyTorch as well; Winograd, fused passes and memory that is used again make
# the difference. Where none of them applies (strided convolutions, 1 x 1 windows), expect a tie.
#
# 1. **The weight gradient in Winograd's form.** Transpose the map from $w$ to $y$ as section 4 did for $x$: what is
#    $dU$, and what brings it back to 3 x 3? Write it and have it checked by `mt.check_gradient`.
# 2. Replace $\pm 2$ in `POINTS[4]` by other pairs. Which gives the smallest error? Why must all points differ?
# 3. Let `channels_last_loops` compute two pixels at once, so that they share each `taps[o]`. Predict the gain from the
#    loads, then measure. And `MINITORCH_CV_VECTORS=avx2` halves AVX-512's vectors: which steps become slower?
