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
# # From a loop to a tensor core
#
# **The question.** A GPU's data sheet promises 495 million million operations a second for a product of matrices. The
# obvious program has three lines, and asks memory for so much that memory alone would allow 0.2 of these 495. What is
# wrong with three lines, and what do longer programs do about it?
#
# You will climb six steps, each a small file of CUDA C++ in `lessons/kernels/`: the obvious loop, the same with its
# threads turned round, tiles in shared memory, tiles in registers, tiles that are fetched while others are multiplied,
# and tensor cores. No GPU is needed. A simulator runs each file on your processor, holds it to NumPy's result, watches
# every load and store, and counts what the memory of a GPU would have to do. It cannot tell time: of speed you will
# see only upper bounds, derived from the counts. With a GPU, section 10 measures. In the end seven kernels wait for
# you, six of them broken.

# %%
from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyBboxPatch, Rectangle

import minitorch_cv as mt
from minitorch_cv import ops, viz
from minitorch_cv._device import usable_gpu
from minitorch_cv._lessons import lessons_folder
from minitorch_cv.course import Lesson

lesson = Lesson(
    "kernels",
    sizes=((64, 128, 64), (128, 128, 128), (256, 256, 256)),  # M, N, K: multiples of 64
    image=((1, 8, 8, 32, 32), (2, 16, 16, 32, 64), (4, 28, 28, 64, 64)),  # images, height, width, channels in and out
    on_gpu=(1024, 4096, 8192),  # M = N = K there
)
settings = lesson.settings
rng = np.random.default_rng(0)
KERNELS = lessons_folder() / "kernels"
sys.path.insert(0, str(KERNELS))  # for exercises.py
BLUE, RED, GREEN, ORANGE, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"

try:
    from minitorch_cv.kernels.simulator.module import ORDERS, compiler
    from minitorch_cv.kernels.simulator.watched import WatchedModule

    WatchedModule(KERNELS / "matmul_naive.cu")
    print(f"The kernels are built for the simulator by {compiler()}.")
    simulated, whole_vectors = True, "clang" not in compiler()
    if not whole_vectors:
        print(
            "clang splits loads of 16 bytes into four before they are counted: steps 4 to 6 show more than a GPU does."
        )
except RuntimeError as missing:
    simulated = whole_vectors = False
    print(f"{missing}.\nSo no kernel runs here; derivations are shown, and the figures that follow from them.")


def show(name, since=None):
    """A kernel's file, or the lines in which it differs from another's."""
    text = (KERNELS / f"{name}.cu").read_text(encoding="utf-8").splitlines()
    if since:
        before = (KERNELS / f"{since}.cu").read_text(encoding="utf-8").splitlines()
        header = lambda lines: next(i for i, line in enumerate(lines) if not line.startswith("//"))
        text = [line for line in difflib.ndiff(before[header(before) :], text[header(text) :]) if line[0] in "+-"]
        print(f"{name}.cu, where it differs from {since}.cu:")
    print("\n".join(text), end="\n\n")


# %% [markdown]
# ## 1. Who computes, and where numbers live
#
# A *kernel* is a function that many *threads* run at once. You launch a *grid* of *blocks*, each of up to 1024
# threads. A block runs on one of the GPU's processors, its *streaming multiprocessor* (SM); its threads can share
# memory there and wait for each other, `__syncthreads()`. Blocks know nothing of each other and run in any order.
# Within a block, each 32 threads in sequence are a *warp*: its *lanes* receive the same instruction at the same time.
# So a load is never one thread's: a warp *requests* 32 numbers at once, and what a request costs depends on where
# the 32 lie.
#
# The nearer a memory, the smaller and the faster. The published numbers of NVIDIA's H100 (SXM):
#
# | memory | whose | size | who must care |
# |---|---|---|---|
# | registers | a thread's | 256 KB an SM | the compiler, up to 255 a thread |
# | shared memory | a block's | up to 227 KB a block | you: 32 *banks*, one 4-byte word of each a cycle |
# | L2 cache | all | 50 MB | nobody, it works by itself, in *sectors* of 32 bytes |
# | global memory | all | 80 GB, 3.35 TB/s | you: arrays live there |
#
# **Occupancy.** A load from global memory takes hundreds of cycles. An SM hides them by having other warps to go on
# with: as many as its limits allow, 2048 threads, 65,536 registers and 228 KB of shared memory at once. The share of
# the 2048 that a kernel reaches is its occupancy. A thread with 64 registers leaves room for
# $65{,}536 / 64 = 1024$ of them, one half. More is not always better. What must be covered is the product of latency
# and bandwidth: take 600 ns, then $3.35\,\text{TB/s} \cdot 600\,\text{ns} = 2.0$ MB must be under way at any time,
# 15 KB for each of the 132 SMs; many threads with one load each can do that, or few threads with many.

# %%
lesson.section("1. Who computes, and where numbers live")
SM_THREADS, SM_REGISTERS, SM_SHARED, SM_BLOCKS = 2048, 65_536, 228 << 10, 32  # H100; 1 KB of each block's is reserved


def occupancy(threads, registers, shared_bytes):
    """The share of an SM's threads that blocks of so many threads can fill."""
    registers += -registers % 8  # a warp gets them by 256
    blocks = min(
        SM_BLOCKS, SM_THREADS // threads, SM_REGISTERS // (registers * threads), SM_SHARED // (shared_bytes + 1024)
    )
    return blocks * threads / SM_THREADS


in_flight = 3.352e12 * 600e-9
print(f"to be under way: {in_flight / 1e6:.1f} MB, {in_flight / 132 / 1e3:.0f} KB an SM")
assert occupancy(256, 64, 0) == 0.5
for registers in (32, 64, 128, 255):
    print(f"{registers:4} registers, blocks of 256 threads: occupancy {occupancy(256, registers, 8192):.1%}")

figure, axes = plt.subplots(figsize=(9.6, 4.3))
for y, width, color, text in (
    (3.0, 2.4, BLUE, "registers\n256 KB an SM"),
    (2.0, 4.0, GREEN, "shared memory\n228 KB an SM"),
    (1.0, 5.6, ORANGE, "L2 cache\n50 MB"),
    (0.0, 7.2, RED, "global memory\n80 GB, 3.35 TB/s"),
):
    axes.add_patch(
        FancyBboxPatch((9.4 - width / 2, y + 0.08), width, 0.72, "round,pad=0.05", facecolor=color, edgecolor="none")
    )
    axes.text(9.4, y + 0.44, text, ha="center", va="center", color="black" if color == ORANGE else "white")
for block in range(3):
    for warp in range(4):
        for lane in range(32):
            lit = (block, warp) == (1, 2)
            place = (0.1 + lane * 0.125, 3.3 - block * 1.2 - warp * 0.22)
            axes.add_patch(Rectangle(place, 0.1, 0.16, facecolor=RED if lit else SKY, edgecolor="none"))
    axes.add_patch(Rectangle((0, 2.55 - block * 1.2), 4.2, 1.0, fill=False, edgecolor="#666666"))
    axes.text(4.3, 3.05 - block * 1.2, f"block {block}", va="center")
axes.text(2.1, 3.7, "a grid: 3 blocks of 128 threads", ha="center")
axes.annotate("a warp:\n32 lanes", (4.05, 1.74), (4.5, 0.9), color=RED, arrowprops={"arrowstyle": "-", "color": RED})
axes.text(9.4, 3.95, "near and small, far and large", ha="center")
axes.set(xlim=(-0.1, 13.2), ylim=(-0.1, 4.2))
axes.axis("off")
lesson.figure(figure, "hierarchy")

# %% [markdown]
# ## 2. Three lines, and a roof
#
# $$C_{ij} = \sum_{k} A_{ik} B_{kj}, \qquad A: M \times K, \quad B: K \times N$$
#
# takes a multiplication and an addition for each $i, j, k$: $2MNK$ operations. At the least each matrix is moved once:
# $4(MK + KN + MN)$ bytes in float32. Their quotient is the *intensity* that a perfect program has; for $M = N = K = n$
#
# $$I = \frac{2 n^3}{12 n^2} = \frac{n}{6} \;\; \text{operations a byte}. $$
#
# A machine of peak $P$ and bandwidth $b$ lets a program of intensity $I$ run at $\min(P, I b)$ and no faster. The two
# meet at the *ridge*, $I = P / b$. Now the obvious program, a thread for each $C_{ij}$:
#
# ```cpp
# const int row = blockIdx.x * blockDim.x + threadIdx.x;
# const int column = blockIdx.y * blockDim.y + threadIdx.y;
# float sum = 0.0f;
# for (int k = 0; k < K; ++k) sum += A[row * K + k] * B[k * N + column];
# C[row * N + column] = sum;
# ```
#
# Two numbers, 8 bytes, for 2 operations: an intensity of 1/4? It is worse. `threadIdx.x` runs through a warp, so its
# lanes stand in 32 rows. Memory moves sectors of 32 bytes, whole. Of $A$ the lanes want 32 numbers in 32 sectors; of
# $B$ they want the same one. For each $k$: 33 sectors, for 64 operations:
#
# $$I_\text{naive} = \frac{64}{33 \cdot 32} = 0.061. $$
#
# **Step 2** trades $x$ for $y$. The lanes stand in 32 columns of one row; $A_{ik}$ is one number for all, and their
# numbers of $B$ fill 4 sectors: the request is *coalesced*.
#
# $$I_\text{coalesced} = \frac{64}{5 \cdot 32} = 0.4. $$

# %%
lesson.section("2. Three lines, and a roof")
PUBLISHED = {  # operations a second without sparsity, bytes a second. Published by NVIDIA, not measured here:
    # "NVIDIA H100 Tensor Core GPU Architecture" (2022), SXM5; "NVIDIA A100" data sheet (2021), 80 GB SXM
    "H100, tf32 on tensor cores": (494.7e12, 3.352e12),
    "H100, float32": (66.9e12, 3.352e12),
    "A100, tf32 on tensor cores": (156e12, 2.039e12),
    "A100, float32": (19.5e12, 2.039e12),
}
for name, (peak, bandwidth) in PUBLISHED.items():
    print(f"{name:<28} ridge at {peak / bandwidth:6.1f} operations a byte")


class Step(NamedTuple):
    name: str
    block: tuple[int, ...]
    tile: tuple[int, int]  # rows and columns of C that a block computes
    moved: Callable  # M, N, K -> bytes between global memory and the SMs: sectors, 32 bytes each


def tiles(T):
    return lambda M, N, K: 4 * (M * N * K * 2 // T + M * N)


STEPS = [
    Step("naive", (32, 8), (32, 8), lambda M, N, K: M * N // 32 * (33 * K + 32) * 32),
    Step("coalesced", (32, 8), (8, 32), lambda M, N, K: M * N // 32 * (5 * K + 4) * 32),
    Step("tiled", (32, 32), (32, 32), tiles(32)),
    Step("registers", (256,), (64, 64), tiles(64)),
    Step("async", (256,), (64, 64), tiles(64)),
    Step("mma", (256,), (64, 64), tiles(64)),
]
BY_NAME = {step.name: step for step in STEPS}


def blocks_of(step, M, N):
    rows, columns = -(-M // step.tile[0]), -(-N // step.tile[1])
    return (rows, columns) if step.name == "naive" else (columns, rows)


def line_with(path, text):
    """The number of the first line that contains `text`."""
    return next(i for i, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if text in line)


def multiply(name, A, B, order="forward", path=None, options=()):
    """Run a step on the simulator: C, and what was seen."""
    (M, K), N, step = A.shape, B.shape[1], BY_NAME[name]
    C = np.full((M, N), np.nan, np.float32)
    module = WatchedModule(path or KERNELS / f"matmul_{name}.cu", options, order=order)
    values = [A, B, C, np.int32(M), np.int32(N), np.int32(K)]
    seen = module.launch(f"matmul_{name}", blocks_of(step, M, N), step.block, values)
    return C, seen, sum(variable.size for variable in module.variables if variable.is_shared)


M, N, K = settings.sizes
A, B = rng.standard_normal((M, K), np.float32), rng.standard_normal((K, N), np.float32)
truth, sizes_of_terms = A.astype(float) @ B, abs(A).astype(float) @ abs(B)
flops, ladder = 2 * M * N * K, {}


def climb(name):
    """Run a step, hold it to NumPy's result and to its derivation, and keep its counts."""
    step = BY_NAME[name]
    derived = flops / step.moved(M, N, K)
    ladder[name] = {"derived": derived}
    if not simulated:
        print(f"{name:<10} {derived:7.3f} operations a byte, as derived; not run")
        return
    C, seen, shared = multiply(name, A, B)
    assert not seen.findings, seen.findings
    rounding = 2**-10 if name == "mma" else 0.0  # what each product may be off, besides the sums' own rounding
    assert (abs(C - truth) <= (rounding + K * 2**-23) * sizes_of_terms).all()
    total = seen.total
    bytes_counted = 32 * (total.global_load_sectors + total.global_store_sectors)
    assert bytes_counted == step.moved(M, N, K) or not whole_vectors, (bytes_counted, step.moved(M, N, K))
    ladder[name] |= {
        "counted": flops / bytes_counted, "error": abs(C - truth).max(), "shared_bytes": shared,
        "requests": total.global_loads, "sectors": total.global_load_sectors,
        "wavefronts": total.shared_wavefronts, "shared_requests": total.shared_accesses,
    }  # fmt: skip
    print(
        f"{name:<10} error {abs(C - truth).max():.0e}; loads: {total.global_loads:,} requests of warps, "
        f"{total.global_load_sectors / total.global_loads:.1f} sectors each; {flops / bytes_counted:.3f} operations a "
        f"byte, derived {derived:.3f}; shared memory: {total.shared_accesses:,} requests, {total.shared_wavefronts:,} cycles"
    )


print(f"\nC ({M} x {N}) = A ({M} x {K}) B ({K} x {N}), {flops:,} operations; errors against NumPy in float64")
climb("naive")
climb("coalesced")
assert round(64 / (33 * 32), 3) == 0.061 and 64 / (5 * 32) == 0.4
print(f"memory alone would allow the naive kernel {64 / (33 * 32) * 3.352:.1f} Tflop/s of an H100's 494.7")
figure, axes = plt.subplots(1, 2, figsize=(11.5, 3.6), layout="constrained")
viz.sectors((32, 64), [row * 64 + 5 for row in range(32)], "naive, A[row][5]: a warp, 32 rows", ax=axes[0])
viz.sectors(
    (32, 64), [5 * 64 + column for column in range(32)], "coalesced, B[5][column]: a warp, 32 columns", ax=axes[1]
)
lesson.figure(figure, "sectors")

# %% [markdown]
# A matrix of 64 columns in memory, each square a number, eight of them a sector. Dark is what the warp wants; light
# comes with it. On a GPU a cache may keep the light squares until the next $k$ wants them. That is a hope, not a plan:
# 32 sectors for each of an SM's 64 warps have to stay, 64 KB, while others come and go.
#
# ## 3. Tiles in shared memory
#
# Each number of $A$ is wanted by $N$ threads. Let a block of $T \times T$ threads fetch a tile of $A$ and one of $B$
# into shared memory, once, and read each number there $T$ times. For $T$ steps of $k$ the block fetches $2 T^2$
# numbers, $8 T^2$ bytes, and does $2 T^3$ operations:
#
# $$I = \frac{2 T^3}{8 T^2} = \frac{T}{4}, \qquad \text{and with the stores of } C: \quad
# \frac{2 T^2 K}{8 T K + 4 T^2} = \frac{T}{4} \cdot \frac{1}{1 + T / 2K}. $$
#
# ```cpp
# a_tile[y][x] = A[row * K + k0 + x];
# b_tile[y][x] = B[(k0 + y) * N + column];
# __syncthreads();  // the tiles are there
# for (int k = 0; k < T; ++k) sum += a_tile[y][k] * b_tile[k][x];
# __syncthreads();  // and are read, before the next ones overwrite them
# ```
#
# (The file also has an `if` for what lies outside of the matrices.) Both barriers are needed; section 8 takes them away.

# %%
lesson.section("3. Tiles in shared memory")
show("matmul_tiled")
climb("tiled")
for name, (peak, bandwidth) in PUBLISHED.items():
    print(f"{name:<28} memory suffices from T = {4 * peak / bandwidth:5.0f} on, if L2 kept nothing")

# %% [markdown]
# $T = 32$ fills a block's 1024 threads. To reach the ridge from memory alone takes larger tiles: more results than
# threads.
#
# ## 4. Tiles in registers
#
# A second reason for more results a thread: now shared memory is what everybody waits for. For each multiply-add,
# step 3 reads two numbers there. A thread with $R \times R$ results reads $2R$ numbers for $R^2$ multiply-adds:
#
# $$\frac{\text{numbers read}}{\text{multiply-adds}} = \frac{2R}{R^2} = \frac{2}{R}: \qquad
# R = 1: \; 2, \qquad R = 4: \; \tfrac12. $$
#
# Step 4: $R = 4$, 256 threads, tiles of $T = 64$, so $I = 16$. Rows of a thread are 16 apart, its columns neighbours:
# one load of 16 bytes brings four of them.
#
# ```cpp
# for (int k = 0; k < DEPTH; ++k) {
#     const float4 b = *reinterpret_cast<const float4*>(&b_tile[k][x]);
#     for (int i = 0; i < 4; ++i) {
#         const float a = a_tile[y + 16 * i][k];
#         sum[i][0] += a * b.x, sum[i][1] += a * b.y, sum[i][2] += a * b.z, sum[i][3] += a * b.w;
#     }
# }
# ```

# %%
lesson.section("4. Tiles in registers")
show("matmul_registers")
climb("registers")
if simulated:
    for name in ("tiled", "registers"):
        per_add = 32 * ladder[name]["wavefronts"] / (flops / 2)
        print(f"{name:<10} {per_add:.2f} cycles of a bank for each multiply-add, stores included")

# %% [markdown]
# ## 5. Fetch and multiply at the same time
#
# Step 4 fetches, waits, multiplies, waits. While it fetches nothing is multiplied. Other blocks of the same SM may fill
# the gap (occupancy); but registers, which made it fast, leave room for few. So let the block itself do both.
# `cp.async` (Ampere and later) copies 16 bytes from global to shared memory in the background. With *two* pairs of
# tiles, the next is under way while this one is multiplied:
#
# ```cpp
# if (k0 + DEPTH < K) fetch(pair ^ 1, k0 + DEPTH);
# cp_async_commit();   // at the end a group without copies, so that there are always two
# cp_async_wait<1>();  // all but the newest group are there: the thread's own copies,
# __syncthreads();     // and behind the barrier everybody's
# ```
#
# Bytes and operations stay the same, and so does every count. What changes is time, which the simulator does not have.
# It does know which copies are still under way: a number read too early is a finding, *stale-copy*. Below, what
# should happen, drawn with lengths of our choice.

# %%
lesson.section("5. Fetch and multiply at the same time")
show("matmul_async", since="matmul_registers")
climb("async")
if simulated and whole_vectors:
    assert ladder["async"]["sectors"] == ladder["registers"]["sectors"]
FETCH, MULTIPLY, ROUNDS = 3, 4, 5
one_pair, two_pairs = ROUNDS * (FETCH + MULTIPLY), FETCH + ROUNDS * max(FETCH, MULTIPLY)
figure, axes = plt.subplots(figsize=(10, 2.9), layout="constrained")
for i in range(ROUNDS):
    shade = 0.55 + 0.45 * (i % 2 == 0)
    began = i * (FETCH + MULTIPLY)
    for row, start, length, color in (
        (0, began, FETCH, ORANGE),
        (1, began + FETCH, MULTIPLY, BLUE),
        (2.6, 0 if i == 0 else FETCH + (i - 1) * MULTIPLY, FETCH, ORANGE),
        (3.6, FETCH + i * MULTIPLY, MULTIPLY, BLUE),
    ):
        axes.barh(row, length, left=start, color=color, edgecolor="white", alpha=shade, height=0.85)
        axes.text(
            start + length / 2, row, f"{i}", ha="center", va="center", color="black" if row in (0, 2.6) else "white"
        )
axes.set(yticks=[0, 1, 2.6, 3.6], yticklabels=["fetch", "multiply"] * 2, xlabel="time, drawn and not measured")
axes.text(one_pair + 0.3, 0.5, "one pair of tiles", va="center")
axes.text(two_pairs + 0.3, 3.1, f"two pairs: {two_pairs} for {one_pair}", va="center")
axes.set(xlim=(0, one_pair + 7), ylim=(4.2, -0.6))
axes.spines[["top", "right", "left"]].set_visible(False)
axes.tick_params(left=False)
lesson.figure(figure, "overlap")

# %% [markdown]
# ## 6. Tensor cores
#
# The last step replaces the multiply-adds. `mma.sync` is an instruction of a whole warp: $D \mathrel{+}= A B$ with $A$ of
# $16 \times 8$, $B$ of $8 \times 8$ and $D$ of $16 \times 8$ numbers; 1024 multiply-adds where a `fmaf` of a warp does
# 32. Each lane holds four numbers of $A$, two of $B$ and four of $D$, in registers; which, the instruction prescribes.
# With $g = \lfloor \text{lane} / 4 \rfloor$ and $l = \text{lane} \bmod 4$:
#
# $$A: (g + \{0, 8\}, \; l + \{0, 4\}), \qquad B: (l + \{0, 4\}, \; g), \qquad D: (g + \{0, 8\}, \; 2l + \{0, 1\}). $$
#
# **The price** is precision. Factors are rounded to tf32: float32's exponent, but 10 bits of mantissa. A factor is off
# by at most $2^{-11}$ of itself, and a product by $2 \cdot 2^{-11} + 2^{-22}$. So, with sums in float32,
#
# $$|\hat C_{ij} - C_{ij}| \lesssim 2^{-10} \sum_k |A_{ik}| |B_{kj}|. $$

# %%
lesson.section("6. Tensor cores")
show("matmul_mma", since="matmul_async")
climb("mma")
if simulated:
    rounded = multiply("mma", A, B)[0]
    share = (abs(rounded - truth) / (2**-10 * sizes_of_terms)).max()
    print(f"tf32: the largest error is {share:.2f} of its bound, {ladder['mma']['error'] / ladder['async']['error']:.0f} "
          "times that of float32")  # fmt: skip
    assert share <= 1
lanes = np.arange(32)
g, l = lanes // 4, lanes % 4
fragments = {
    "A, 16 x 8": ((16, 8), [(g, l), (g + 8, l), (g, l + 4), (g + 8, l + 4)]),
    "B, 8 x 8": ((8, 8), [(l, g), (l + 4, g)]),
    "D, 16 x 8": ((16, 8), [(g, 2 * l), (g, 2 * l + 1), (g + 8, 2 * l), (g + 8, 2 * l + 1)]),
}
figure, axes = plt.subplots(1, 3, figsize=(9.5, 5.8), layout="constrained")
for axis, (name, (shape, places)) in zip(axes, fragments.items()):
    owner = np.full(shape, -1)
    for rows, columns in places:
        owner[rows, columns] = lanes
    assert sorted(owner.ravel()) == sorted(
        [*range(32)] * len(places)
    )  # each number has one lane, and lanes equally many
    axis.imshow(owner // 4, cmap="Blues", vmin=-3, vmax=9)
    mine = np.argwhere(owner == 6)
    for row, column in np.ndindex(*shape):
        lane, lit = owner[row, column], [row, column] in mine.tolist()
        if lit:
            axis.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=ORANGE))
        light = lane // 4 > 4 and not lit
        axis.text(column, row, str(lane), ha="center", va="center", fontsize=8, color="white" if light else "black")
    axis.set(title=name, xticks=range(shape[1]), yticks=range(shape[0]), ylim=(15.5, -0.5))
    axis.tick_params(length=0, labelsize=7, labeltop=True, labelbottom=False)
    axis.spines[:].set_visible(False)
figure.suptitle("Which lane holds which number; lane 6 in orange")
lesson.figure(figure, "fragments")

# %% [markdown]
# **Banks.** Shared memory has 32 banks; word $w$ (4 bytes) lies in bank $w \bmod 32$, and each bank serves one word a
# cycle. Lane $(g, l)$ reads `a_tile[row + g][k + l]`, word $g \cdot \text{pitch} + l$. With rows of 16 words, $16 g \bmod
# 32$ is 0 or 16: four rows share their banks, and the request takes four *wavefronts*. Leave 4 words free at the end of
# each row, and $20 g \bmod 32$ takes the values 0, 20, 8, 28, 16, 4, 24, 12, each with room for four. It costs nothing
# but space. The kernel has `PAD` as an option of the compiler, so that we can look:

# %%
figure, axes = plt.subplots(3, 1, figsize=(10, 5.2), layout="constrained")
assert [20 * row % 32 for row in range(8)] == [0, 20, 8, 28, 16, 4, 24, 12]
conflicts = {}
for axis, pad in zip(axes, (0, 4, 8)):
    viz.banks(g * (16 + pad) + l, f"rows of {16 + pad} words", ax=axis)
    if simulated:
        _, seen, shared = multiply("mma", A, B, options=(f"-DPAD={pad}",))
        counts = seen.counts[line_with(KERNELS / "matmul_mma.cu", "a[0] = to_tf32")]
        conflicts[pad] = counts.shared_wavefronts / counts.shared_accesses
        print(
            f"PAD {pad}: {conflicts[pad]:.0f} wavefronts for each request of a_tile; {shared:,} bytes of shared memory"
        )
        stored = seen.counts[line_with(KERNELS / "matmul_mma.cu", "cp_async16(&a_tile")]
        print(
            f"       its stores by cp.async: {stored.shared_wavefronts / stored.shared_accesses:.0f} wavefronts a request"
        )
        assert axis.get_title().split(": ")[1].startswith(f"{conflicts[pad]:.0f} wavefront")
axes[-1].set_xlabel("bank; in it the lane that wants the word, and by colour whose turn it is")
lesson.figure(figure, "banks")
lesson.record(conflicts=conflicts)

# %% [markdown]
# ## 7. The ladder
#
# All six, counted; and under a roof. The roof's peaks are NVIDIA's, and the hollow marks no measurement: they say how
# fast a kernel of this intensity could be at most if every sector came from global memory. L2 delivers some, since
# neighbouring blocks want the same rows and columns; how many, only a GPU can tell.

# %%
lesson.section("7. The ladder")
REGISTERS = {"naive": 32, "coalesced": 32, "tiled": 32, "registers": 64, "async": 61, "mma": 44}  # for sm_90a
intensity = {name: found.get("counted", found["derived"]) for name, found in ladder.items()}
bounds = {name: min(66.9e12, value * 3.352e12) / 1e12 for name, value in intensity.items() if name != "mma"}
print(
    f"{'':<12}{'requests':>10}{'sectors each':>14}{'flop/byte':>11}{'shared cycles':>15}{'shared bytes':>14}{'occupancy':>11}"
)
for name, found in ladder.items():
    if simulated:
        occupied = occupancy(int(np.prod(BY_NAME[name].block)), REGISTERS[name], found["shared_bytes"])
        print(
            f"{name:<12}{found['requests']:>10,}{found['sectors'] / found['requests']:>14.1f}{intensity[name]:>11.3f}"
            f"{found['wavefronts']:>15,}{found['shared_bytes']:>14,}{occupied:>11.0%}"
        )
    else:
        print(f"{name:<12}{'':>24}{intensity[name]:>11.3f}")
if simulated:
    print("occupancy of an H100 with the registers that NVRTC 13.0 takes for it:", REGISTERS)
alike = {}  # steps of one intensity share a mark
for name, value in intensity.items():
    alike.setdefault(round(value, 9), []).append(name)
points = {", ".join(names): (value, None) for value, names in alike.items()}
figure = viz.roofline(PUBLISHED, points, f"{M} x {N} x {K}: what memory alone would allow (published peaks)")
lesson.figure(figure, "roofline")

names = list(ladder)
figure, axes = plt.subplots(1, 2, figsize=(11, 3.6), sharey=True, layout="constrained")
values = [
    [2 / intensity[name] for name in names],
    [32 * ladder[name].get("wavefronts", 0) / (flops / 2) for name in names],
]
titles = ("bytes of global memory for each multiply-add", "cycles of a bank of shared memory for each multiply-add")
for axis, numbers, title, color in zip(axes, values, titles, (RED, GREEN)):
    axis.barh(names, numbers, color=color, height=0.7)
    for row, number in enumerate(numbers):
        axis.text(
            number,
            row,
            f"  {number:.3g}" if number else "  none" if simulated else "  not counted",
            va="center",
            fontsize=9,
        )
    axis.set_title(title, fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.18)
axes[0].invert_yaxis()
axes[0].set_xscale("log")
lesson.figure(figure, "ladder")
lesson.record(ladder=ladder, bound_tflops_h100=bounds)

# %% [markdown]
# ## 8. Take a barrier away
#
# Step 3 has two. Without the first, a thread may read a tile before its neighbours have filled it; without the second,
# a fast thread overwrites what a slow one still reads. Whether it *happens* depends on who is fast. On a GPU that is
# the dangerous kind of mistake: right in every test, wrong on Thursday. The simulator runs the threads in three orders,
# and results may differ; but it does not have to be lucky. It remembers of each word who touched it last, and reports
# two accesses of which one writes, with no barrier between: a *race*, whatever came out. Look at the last three lines:
# `broken_race.cu`, an exercise below, lacks a barrier too, and is right in one of the three orders.

# %%
lesson.section("8. Take a barrier away")
races = []
if simulated:
    text = (KERNELS / "matmul_tiled.cu").read_text(encoding="utf-8")
    for which, comment in (("first", "  // the tiles are there"), ("second", "  // and are read, before the next")):
        planted = lesson.folder / f"without_the_{which}_barrier.cu"
        start = text.index("__syncthreads();" + comment)
        planted.write_text(text[:start] + text[start + len("__syncthreads();") :], encoding="utf-8")
        for order in ORDERS:
            C, seen, _ = multiply("tiled", A[:32], np.ascontiguousarray(B[:, :32]), order, planted)
            wrong = int((~(abs(C - truth[:32, :32]) <= K * 2**-23 * sizes_of_terms[:32, :32])).sum())
            kinds = sorted({finding.kind for finding in seen.findings})
            print(f"without the {which:<6} barrier, {order:<7}: {wrong:4} of {C.size} wrong; found: {', '.join(kinds)}")
            assert "race" in kinds
            races.append({"barrier": which, "order": order, "wrong": wrong, "found": kinds})
        finding = next(finding for finding in seen.findings if finding.kind == "race")
        print(f"  {planted.name}:{finding.line}: block {finding.block} thread {finding.thread} {finding.what}\n")
    numbers = rng.standard_normal(256, np.float32)
    for order in ORDERS:
        total = np.full(1, np.nan, np.float32)
        broken = WatchedModule(KERNELS / "broken_race.cu", order=order)
        seen = broken.launch("block_sums", (1,), (256,), [numbers, total, np.int32(256)])
        is_right = bool(np.allclose(total, numbers.sum(), atol=1e-4))
        print(f"broken_race.cu, {order:<7}: {'right' if is_right else 'wrong'}; found: {seen.findings[0].kind}")
        assert {finding.kind for finding in seen.findings} == {"race"}
        races.append({"barrier": "of a sum", "order": order, "wrong": int(not is_right), "found": ["race"]})
    assert [race["wrong"] for race in races[-3:]].count(0) == 1
lesson.record(races=races)

# %% [markdown]
# Step 3 once more, in Python: Numba compiles it for a GPU, and `simulate` runs it without one and without a compiler, a
# thread of the block after the other, with the same checks. Its author writes the barrier twice as well.

# %%
try:
    from minitorch_cv.kernels.numba_cuda import matmul as in_numba
    from minitorch_cv.kernels.simulator.numba_cuda import simulate

    print(inspect.getsource(in_numba.matmul_tiled.py_func))
    C = np.full((32, 32), np.nan, np.float32)
    tile = in_numba.TILE, in_numba.TILE
    found = simulate(in_numba.matmul_tiled, (2, 2), tile, A[:32], np.ascontiguousarray(B[:, :32]), C)
    assert found == () and (abs(C - truth[:32, :32]) <= K * 2**-23 * sizes_of_terms[:32, :32]).all()
    print(f"matmul_tiled in Numba CUDA: right, and {len(found)} findings")
except ImportError as missing:
    print(f"{missing}: the kernels in Numba CUDA are not shown")

# %% [markdown]
# ## 9. Convolution, and its gradients
#
# With images channels-last and padding 1, a convolution of 3 x 3 is
#
# $$y_{npqo} = \sum_{i, j, c} x_{n,\, p + i - 1,\, q + j - 1,\, c} \; w_{ijco} = \sum_k X_{rk} W_{ko},
# \qquad r = (n, p, q), \quad k = (i, j, c). $$
#
# $X$, the matrix of windows, holds each pixel nine times. Nobody has to write it: where a kernel fetches a tile of $A$,
# let it fetch from the image. `conv2d_tiled.cu` is step 3 with one line of its loop changed. And the gradients of a product are
# products. From $dL = \sum dY_{ro}\, dy_{ro}$:
#
# $$dW = X^{\mathsf T} dY, \qquad dX = dY\, W^{\mathsf T}. $$
#
# $dX$ belongs to the windows; a pixel adds up what its nine windows give it. Collect, for pixel $(h, v)$, those with
# $p = h - i + 1$, $q = v - j + 1$, and name $i' = 2 - i$, $j' = 2 - j$:
#
# $$dx_{nhvc} = \sum_{i', j', o} dy_{n,\, h + i' - 1,\, v + j' - 1,\, o} \; w_{2 - i',\, 2 - j',\, c,\, o}. $$
#
# That is the first formula again, of $dy$, with the filters turned by half a turn and their channels swapped: *the same
# kernel* computes it. (With a stride it is not the same any more; `kernels/cuda/conv2d.h` has all three, and the
# tensor cores too.)

# %%
lesson.section("9. Convolution, and its gradients")
show("conv2d_tiled", since="matmul_tiled")
images, H, W, C_in, C_out = settings.image
x = rng.standard_normal((images, H, W, C_in), np.float32)
w = (rng.standard_normal((3, 3, C_in, C_out)) / np.sqrt(9 * C_in)).astype(np.float32)
first = lambda channels_last: channels_last.transpose(0, 3, 1, 2)
y_true = ops.conv2d(first(x).astype(float), w.transpose(3, 2, 0, 1).astype(float), padding=1).transpose(0, 2, 3, 1)
conv_flops = 2 * 9 * C_in * y_true.size


def windows(x):
    """The matrix X, written out."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    seen = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))  # n p q c i j
    return np.ascontiguousarray(seen.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 9 * x.shape[3]))


def convolution(x, w):
    return (windows(x) @ w.reshape(-1, w.shape[3])).reshape(*x.shape[:3], -1)


def convolution_backward(dy, x, w):
    turned = w[::-1, ::-1].transpose(0, 1, 3, 2)
    return convolution(dy, turned), (windows(x).T @ dy.reshape(-1, dy.shape[3])).reshape(w.shape)


small = {"x": rng.standard_normal((2, 4, 5, 3)), "w": rng.standard_normal((3, 3, 3, 2))}
report = mt.check_gradient(convolution, convolution_backward, small)
print(report)
assert report
assert np.allclose(convolution(x, w), y_true, atol=1e-4)


def convolve(kernel, x, w, path=None):
    """Run a convolution on the simulator: y, and what was seen."""
    n, h, v, c = x.shape
    out, pixels = w.shape[3], n * h * v
    y = np.full((n, h, v, out), np.nan, np.float32)
    numbers = (n, h, v, c, out)
    block, grid = ((32, 8), (-(-out // 32), -(-pixels // 8)))
    if kernel == "conv2d_tiled":
        block, grid = (32, 32), (-(-out // 32), -(-pixels // 32))
    values = [x, w, y]
    if kernel.startswith("conv2d_forward"):  # the package's own, which take every shape
        block, grid, values = (256,), (-(-pixels // 64), -(-out // 64)), [x, w, None, y]
        numbers = (n, c, h, v, out, 3, 3, h, v, *[1] * 7)
    seen = WatchedModule(path or KERNELS / f"{kernel}.cu").launch(
        kernel, grid, block, [*values, *map(np.int32, numbers)]
    )
    assert not seen.findings, seen.findings
    return y, seen


if simulated:
    from minitorch_cv.kernels.cuda.source import HERE as PACKAGE

    convolutions = {}
    print(f"\n{images} images, {H} x {W}, {C_in} channels to {C_out}:")
    for kernel, path in (
        ("conv2d_naive", None), ("conv2d_tiled", None),
        ("conv2d_forward", PACKAGE / "conv2d.cu"), ("conv2d_forward_tf32", PACKAGE / "conv2d_tensor_core.cu"),
    ):  # fmt: skip
        y, seen = convolve(kernel, x, w, path)
        moved = 32 * (seen.total.global_load_sectors + seen.total.global_store_sectors)
        off = abs(y - y_true).max()
        assert off < (2e-2 if kernel.endswith("tf32") else 1e-4)
        convolutions[kernel] = conv_flops / moved
        print(f"{kernel:<20} error {off:.0e}; {conv_flops / moved:6.2f} operations a byte")
    dy = rng.standard_normal(y_true.shape, np.float32)
    dx_true, dw_true = convolution_backward(dy.astype(float), x.astype(float), w.astype(float))
    dx, _ = convolve("conv2d_tiled", dy, np.ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2)))
    dw, _, _ = multiply("tiled", np.ascontiguousarray(windows(x).T), dy.reshape(-1, C_out))
    print(f"dx by conv2d_tiled, of dy: error {abs(dx - dx_true).max():.0e}")
    print(f"dw by matmul_tiled, X^T dY: error {abs(dw.reshape(w.shape) - dw_true).max():.0e}")
    assert np.allclose(dx, dx_true, atol=1e-3) and np.allclose(dw.reshape(w.shape), dw_true, atol=1e-3)
    lesson.record(convolution_flops_a_byte=convolutions)

# %% [markdown]
# ## 10. On a GPU
#
# The same files, unchanged, compiled by NVRTC and launched on CuPy's arrays. If this machine has a GPU, here is what it
# says; compare each speed with its roof.

# %%
lesson.section("10. On a GPU")


def measured_on_the_gpu(n):
    """{step: Tflop/s} for n x n matrices; each kernel's result is held to the GPU's own product first."""
    import cupy
    from minitorch_cv.kernels.cuda.source import Source

    A, B = (cupy.random.standard_normal((n, n), dtype=cupy.float32) for _ in "AB")
    C, expected, found = cupy.empty((n, n), cupy.float32), A.astype(float) @ B, {}
    for step in STEPS:
        source = Source(KERNELS / f"matmul_{step.name}.cu")
        run = lambda step=step, source=source: source.launch(
            f"matmul_{step.name}", blocks_of(step, n, n), step.block, A, B, C, n, n, n
        )
        run()
        if not float(abs(C - expected).max()) < 2e-2 * np.sqrt(n):
            raise ValueError(f"{step.name} is wrong on this GPU")
        times = []
        for _ in range(7):
            begin, end = cupy.cuda.Event(), cupy.cuda.Event()
            begin.record()
            run()
            end.record()
            end.synchronize()
            times.append(cupy.cuda.get_elapsed_time(begin, end))
        found[step.name] = 2 * n**3 / (1e-3 * float(np.median(times))) / 1e12
        print(f"{step.name:<12}{found[step.name]:8.2f} Tflop/s")
    return found


usable, why = usable_gpu()
if usable:
    n = settings.on_gpu
    speeds = measured_on_the_gpu(n)
    lesson.record(gpu_tflops=speeds)
    points = {name: (2 * n**3 / BY_NAME[name].moved(n, n, n), speed * 1e12) for name, speed in speeds.items()}
    lesson.figure(viz.roofline(PUBLISHED, points, f"{n} x {n}, measured; the roofs are published"), "measured")
else:
    print(f"Not measured: {why}.")

# %% [markdown]
# ## 11. Exercises
#
# `lessons/kernels/` (inside of the package, if you installed it; its path is printed below) holds six kernels with one
# mistake each, and one that is right and slow. Copy a file, mend it, and have it checked:
#
# ```bash
# python lessons/kernels/exercises.py race my_race.cu
# ```
#
# or here, `check("race", "my_race.cu")`. It runs your version in three orders of threads, watched, at sizes that do not
# fill the last block, and holds the result to NumPy's. `minitorch-cv kernel check my_race.cu` tells the same at length,
# with the lines of the source and advice, for kernels of your own too: a comment in the file says how to launch it. What
# is found in the files as they are:

# %%
from exercises import EXERCISES, HOW, check  # pyright: ignore[reportMissingImports]

lesson.section("11. Exercises")
if simulated:
    open_exercises = {}
    for name, exercise in EXERCISES.items():
        verdict = check(name)
        assert not verdict
        print(f"{name}: {exercise.file}, {exercise.task}")
        for finding in verdict.findings[:1]:
            print(f"  {finding.kind}: line {finding.line}: thread {finding.thread} {finding.what}")
        for complaint in verdict.complaints[:1]:
            print(f"  {complaint}")
        open_exercises[name] = [finding.kind for finding in verdict.findings]
    lesson.record(exercises=open_exercises)
print(f"\n{HOW}")
lesson.finish()

# %% [markdown]
# ## What was measured, and what to try next
#
# `results.json` holds your counts. They are exact for the requests that warps make; the simulator models no cache, no
# schedule and no time, so of speed this page claims nothing but upper bounds, unless section 10 ran.
#
# 1. **Larger tiles.** A block of $T_m \times T_n$ results has $I = 1 / (2 / T_m + 2 / T_n)$. Show it. Make step 4 compute
#    128 x 128 with 8 x 8 results a thread. Predict sectors and wavefronts, then count. What happens to occupancy?
# 2. **Any size.** Steps 4 to 6 want multiples of 64 and 16. Let `cp_async16`'s third argument write the zeros. Rows of
#    16 bytes still have to begin at multiples of 16: for which $K$ and $N$ does it work, and what becomes of the others?
# 3. **Swizzle.** `PAD` 4 leaves a fifth of `a_tile` unused, and makes the stores of `cp.async` twice as long: 8
#    wavefronts for 4. Instead put the four numbers $c$ of row $r$ at place $c \oplus (\lfloor r / 2 \rfloor \bmod 4)$ of the row.
#    Conflicts of reads *and* of stores vanish, with no padding. Why?
# 4. **Three pairs.** With three pairs of tiles, the second barrier of step 5 can go. Why, and why not with two? Let the
#    watched simulator tell you when you are wrong.
# 5. **bf16.** `mma_bf16` in `kernels/cuda/device.h` takes two numbers a word and K = 16. What is its error's bound?
