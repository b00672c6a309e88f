"""Near-identical hand-ins: copies are found, and honest students are not accused.

The honest classes are made up: every step of a solution is written in one of the ways that are usual, with names that
are usual. The shares say how usual; they are guesses, on the side of a class that is more alike than real ones are
(no comments, no detours).
"""

import builtins
import keyword
import re
import time

import numpy as np
import pytest

from minitorch_cv.course.similarity import SimilarPair, fingerprints, groups_of, similar_handins

LINEAR = '''"""Backward of a linear layer."""

import numpy as np


def linear_backward(dy, x, w):
    """Gradients of y = x w^T + b: (dx, dw, db)."""
'''

NORM = '''"""Backward of batch norm."""

import numpy as np


def batch_norm_backward(dy, x, gamma, eps=1e-5):
    """Gradients of batch norm over (N, C): (dx, dgamma, dbeta)."""
'''

CONV = '''"""Convolution by loops."""

import numpy as np


def conv2d(x, w, b, stride=1):
    """x (N, C, H, W), w (K, C, R, S), b (K,) -> (N, K, P, Q)."""
'''

SUM = """#include <cuda_runtime.h>

// Sums x into one number: a block for each 256 entries.
__global__ void sum_kernel(const float* x, float* y, int n) {
"""


def pick(rng, *ways):
    """One of the ways, given as (share, text)."""
    shares = [share for share, _ in ways]
    return ways[rng.choice(len(ways), p=[share / sum(shares) for share in shares])][1]


def linear(rng):
    dx = pick(rng, (6, "dy @ w"), (2, "np.dot(dy, w)"), (1, "dy.dot(w)"), (1, "np.matmul(dy, w)"))
    dw = pick(rng, (6, "dy.T @ x"), (2, "np.dot(dy.T, x)"), (1, "(x.T @ dy).T"), (1, "np.einsum('ni,nj->ij', dy, x)"))
    db = pick(rng, (5, "dy.sum(axis=0)"), (3, "np.sum(dy, axis=0)"), (2, "dy.sum(0)"))
    if rng.random() < 0.2:
        return LINEAR + f"    return {dx}, {dw}, {db}\n"
    steps = [f"    dx = {dx}\n", f"    dw = {dw}\n", f"    db = {db}\n"]
    if rng.random() < 0.2:
        steps = [steps[i] for i in rng.permutation(3)]
    return LINEAR + "".join(steps) + "    return dx, dw, db\n"


def norm(rng):
    keep = rng.random() < 0.25

    def over(kind, what):
        """A mean or a sum over the samples."""
        axis = pick(rng, (6, "axis=0"), (3, "0")) + (", keepdims=True" if keep else "")
        return pick(rng, (1, f"{what}.{kind}({axis})"), (1, f"np.{kind}({what}, {axis})"))

    count = pick(rng, (5, "n = x.shape[0]"), (2, "n = len(x)"), (3, "n, c = x.shape"), (1, "N, D = dy.shape"))
    n = count[0]
    var = pick(rng, (6, f"var = {over('var', 'x')}"), (2, f"var = {over('mean', '((x - mean) ** 2)')}"))
    std = pick(
        rng,
        (4, "std = np.sqrt(var + eps)"),
        (3, "inv_std = 1 / np.sqrt(var + eps)"),
        (1, "inv_std = (var + eps) ** -0.5"),
        (1, "inv_std = 1.0 / np.sqrt(var + eps)"),
    )
    divided, factor = ("/ std", "1 / std") if std.startswith("std") else ("* inv_std", "inv_std")
    start = [count, f"mean = {over('mean', 'x')}", var, std, f"x_hat = (x - mean) {divided}"]
    dgamma = f"dgamma = {pick(rng, (6, over('sum', '(dy * x_hat)')), (1, over('sum', '(x_hat * dy)')))}"
    sums = [dgamma, f"dbeta = {over('sum', 'dy')}"]
    sums = sums if rng.random() < 0.6 else sums[::-1]
    dx = [pick(rng, (5, "dx_hat = dy * gamma"), (2, "dx_hat = gamma * dy"))]
    style = rng.random()
    if style < 0.35:  # sums in one formula
        a, b = over("sum", "dx_hat"), over("sum", "(dx_hat * x_hat)")
        three = pick(rng, (3, f"{n} * dx_hat - {a} - x_hat * {b}"), (1, f"{n} * dx_hat - x_hat * {b} - {a}"))
        dx.append(f"dx = {pick(rng, (1, f'({three}) / {n} {divided}'), (1, f'{factor} / {n} * ({three})'))}")
    elif style < 0.65:  # means in one formula
        start.pop(0)
        a, b = over("mean", "dx_hat"), over("mean", "(dx_hat * x_hat)")
        dx += pick(
            rng,
            (3, [f"dx = (dx_hat - {a} - x_hat * {b}) {divided}"]),
            (1, [f"dx = {factor} * (dx_hat - {a} - x_hat * {b})"]),
            (2, [f"a = {a}", f"b = {b}", f"dx = (dx_hat - a - x_hat * b) {divided}"]),
        )
    else:  # step by step
        power = pick(rng, (4, "(var + eps) ** -1.5"), (2, "(var + eps) ** (-3 / 2)"), (2, "np.power(var + eps, -1.5)"))
        half = pick(rng, (4, "-0.5"), (2, "(-0.5)"))
        dx.append(f"dvar = {over('sum', f'(dx_hat * (x - mean) * {half} * {power})')}")
        first = over("sum", pick(rng, (4, f"(-dx_hat {divided})"), (2, f"(dx_hat * -{factor})")))
        second = pick(
            rng,
            (3, f" + dvar * {over('mean', '(-2 * (x - mean))')}"),
            (2, f" + dvar * {over('sum', '(-2 * (x - mean))')} / {n}"),
            (2, ""),
        )
        dx.append(f"dmean = {first}{second}")
        last = pick(
            rng,
            (4, f"dvar * 2 * (x - mean) / {n} + dmean / {n}"),
            (2, f"(2 * dvar * (x - mean) + dmean) / {n}"),
            (1, f"dmean / {n} + dvar * 2 / {n} * (x - mean)"),
        )
        dx.append(f"dx = dx_hat {divided} + {last}")
    gradients = pick(rng, (5, [*sums, *dx]), (3, [*dx, *sums]))
    return NORM + "".join(f"    {line}\n" for line in [*start, *gradients]) + "    return dx, dgamma, dbeta\n"


def conv(rng):
    sizes = pick(
        rng,
        (5, ["p = (h - r) // stride + 1", "q = (width - s) // stride + 1"]),
        (2, ["p, q = (h - r) // stride + 1, (width - s) // stride + 1"]),
        (1, ["p = 1 + (h - r) // stride", "q = 1 + (width - s) // stride"]),
        (1, ["p = int((h - r) / stride) + 1", "q = int((width - s) / stride) + 1"]),
    )
    lines = [
        pick(rng, (8, "n, c, h, width = x.shape"), (2, "n, _, h, width = x.shape")),
        pick(rng, (7, "k, _, r, s = w.shape"), (3, "k, c, r, s = w.shape")),
        *sizes,
        f"y = np.{pick(rng, (6, 'zeros'), (2, 'empty'))}((n, k, p, q){pick(rng, (6, ''), (2, ', dtype=x.dtype'))})",
    ]
    rows, columns = pick(
        rng,
        (5, ("i * stride : i * stride + r", "j * stride : j * stride + s")),
        (2, ("stride * i : stride * i + r", "stride * j : stride * j + s")),
        (2, ("top : top + r", "left : left + s")),
    )
    corner = ["top, left = i * stride, j * stride"] if rows.startswith("top") else []
    if rng.random() < 0.35:  # loops over positions alone
        loops, target, bias = ["for i in range(p):", "for j in range(q):"], "y[:, :, i, j]", " + b"
        patch = f"x[:, :, {rows}, {columns}]"
        total = pick(
            rng,
            (3, "np.tensordot(PATCH, w, axes=([1, 2, 3], [1, 2, 3]))"),
            (3, "np.einsum('ncrs,kcrs->nk', PATCH, w)"),
            (2, "PATCH.reshape(n, -1) @ w.reshape(k, -1).T"),
        )
    else:
        over = ["for a in range(n):", "for f in range(k):", "for i in range(p):", "for j in range(q):"]
        loops = [over[number] for number in pick(rng, (6, (0, 1, 2, 3)), (2, (0, 2, 3, 1)), (1, (1, 0, 2, 3)))]
        target, bias = "y[a, f, i, j]", " + b[f]"
        patch = pick(rng, (6, f"x[a, :, {rows}, {columns}]"), (1, f"x[a][:, {rows}, {columns}]"))
        total = pick(
            rng, (5, "np.sum(PATCH * w[f])"), (3, "(PATCH * w[f]).sum()"), (1, "np.sum(PATCH * w[f, :, :, :])")
        )
    body = pick(
        rng,
        (6, [f"patch = {patch}", f"{target} = {total.replace('PATCH', 'patch')}{bias}"]),
        (3, [f"{target} = {total.replace('PATCH', patch)}{bias}"]),
    )
    text = "".join(f"    {line}\n" for line in lines)
    text += "".join("    " * depth + f"{loop}\n" for depth, loop in enumerate(loops, start=1))
    return (
        CONV + text + "".join("    " * (len(loops) + 1) + f"{line}\n" for line in [*corner, *body]) + "    return y\n"
    )


def cuda_sum(rng):
    size = pick(rng, (6, "256"), (1, "blockDim.x"))
    thread = pick(rng, (6, "int t"), (2, "const int t"), (2, "unsigned int t")) + " = threadIdx.x;"
    index = pick(
        rng,
        (5, f"int i = blockIdx.x * {size} + t;"),
        (3, "int i = blockIdx.x * blockDim.x + threadIdx.x;"),
        (2, "int i = threadIdx.x + blockIdx.x * blockDim.x;"),
    )
    load = pick(
        rng,
        (5, ["cache[t] = i < n ? x[i] : 0.0f;"]),
        (2, ["cache[t] = (i < n) ? x[i] : 0.0f;"]),
        (2, ["cache[t] = 0.0f;", "if (i < n) cache[t] = x[i];"]),
        (2, ["if (i < n) { cache[t] = x[i]; } else { cache[t] = 0.0f; }"]),
    )
    step = pick(rng, (5, "cache[t] += cache[t + d];"), (2, "cache[t] = cache[t] + cache[t + d];"))
    loop = pick(
        rng,
        (4, f"for (int d = {size} / 2; d > 0; d /= 2) {{"),
        (3, f"for (int d = {size} / 2; d > 0; d >>= 1) {{"),
        (1, "for (int d = 128; d >= 1; d = d / 2) {"),
    )
    guard = pick(rng, (5, f"if (t < d) {{ {step} }}"), (4, f"if (t < d) {step}"))
    end = pick(rng, (5, "if (t == 0) atomicAdd(y, cache[0]);"), (3, "if (t == 0) { atomicAdd(y, cache[0]); }"))
    start = ["__shared__ float cache[256];", thread, index]
    start = start if rng.random() < 0.6 else [*start[1:], start[0]]
    lines = [*start, *load, "__syncthreads();", loop, guard, "__syncthreads();", "}", end]
    return SUM + "".join(f"  {line}\n" for line in lines) + "}\n"


NAMES = {
    "x_hat": ("xhat", "x_norm", "normalised", "xn"),
    "dx_hat": ("dxhat", "dx_norm", "g", "dxn"),
    "mean": ("mu", "m", "x_mean"),
    "var": ("variance", "sigma2", "v"),
    "dvar": ("d_var", "dsigma2"),
    "dmean": ("d_mean", "dmu"),
    "std": ("sigma", "s"),
    "inv_std": ("istd", "rstd", "inv"),
    "patch": ("window", "region", "field", "block"),
    "y": ("out", "output", "result"),
    "p": ("out_h", "h_out", "oh", "H_out"),
    "q": ("out_w", "w_out", "ow", "W_out"),
    "k": ("filters", "K", "out_channels"),
    "i": ("row", "u"),
    "j": ("col", "v"),
    "a": ("image", "b_", "sample"),
    "f": ("channel", "kk", "o"),
    "t": ("tid", "thread"),
    "d": ("stride", "half", "offset"),
    "cache": ("partial", "sums", "sdata"),
}


def with_names(rng, text, handout):
    """The solution with the names that a student takes: half of them the first that comes to mind."""
    own = text.removeprefix(handout)
    for name, others in NAMES.items():
        if rng.random() < 0.5 and not re.search(rf"\b{name}\b", handout):
            own = re.sub(rf"(?<![.\w'\"]){name}\b(?!=[^=])", rng.choice(others), own)
    return handout + own


EXERCISES = {
    "linear": (linear, LINEAR, "python"),
    "norm": (norm, NORM, "python"),
    "conv": (conv, CONV, "python"),
    "cuda_sum": (cuda_sum, SUM, "cuda"),
}


def students_of(kind, count, seed):
    """An honest class, student -> solution; the hand-out; the language."""
    make, handout, language = EXERCISES[kind]
    rng = np.random.default_rng(seed)
    files = {f"{number:03}": with_names(rng, make(rng), handout) for number in range(count)}
    return files, handout, language


def similar(files, handout, language, name="exercise"):
    return similar_handins(
        name, {student: text.encode() for student, text in files.items()}, handout.encode(), language
    )


# Honest classes.


@pytest.mark.parametrize("kind", ["linear", "norm", "conv"])
def test_the_made_up_solutions_are_python(kind):
    for text in students_of(kind, 30, 0)[0].values():
        compile(text, kind, "exec")


@pytest.mark.parametrize("count", [2, 10, 30, 60])
def test_honest_students_are_hardly_ever_named(count):
    classes = [students_of(kind, count, seed) for kind in EXERCISES for seed in range(10)]
    named = [len(similar(*of_class)) for of_class in classes]
    assert sum(named) <= 0.1 * len(classes), named


@pytest.mark.parametrize("count", [2, 10, 30, 60])
def test_honest_students_are_hardly_ever_taken_for_copies_of_the_published_solution(count):
    """It counts as one more author, whose ways are as usual as theirs."""
    named = 0
    for kind in EXERCISES:
        for seed in range(10):
            files, handout, language = students_of(kind, count + 1, 100 + seed)
            files["the published solution"] = files.pop("000")
            named += sum("the published solution" in pair.students for pair in similar(files, handout, language))
    assert named <= 1


def test_a_short_exercise_names_nobody_even_where_files_are_the_same():
    files, handout, language = students_of("linear", 60, 0)
    assert len(set(files.values())) < 60  # some are the same to the letter
    assert similar(files | {"copy": files["000"]}, handout, language) == []


def test_what_all_have_is_no_evidence():
    files, handout, language = students_of("conv", 1, 0)
    assert similar({str(number): files["000"] for number in range(30)}, handout, language) == []


def test_hand_outs_left_as_they_are_are_not_alike():
    handout = NORM + "".join(f"    step_{number} = None  # your code\n" for number in range(40))
    assert similar({str(number): handout for number in range(5)}, handout, "python") == []


@pytest.mark.parametrize("language", ["python", "cuda"])
def test_comments_of_the_hand_out_are_not_alike(language):
    mark, make = ("#", norm) if language == "python" else ("//", cuda_sum)
    advice = "".join(f"    {mark} Step {number}: think of what {number} means here.\n" for number in range(150))
    rng = np.random.default_rng(0)
    head = EXERCISES[make.__name__][1]
    files = {str(number): make(rng).replace(head, head + advice) for number in range(2)}
    assert similar(files, head + advice, language) == []
    assert [pair.reading for pair in similar(files, head, language)] == ["as written"]


# Copies.


@pytest.mark.parametrize("kind", ["norm", "conv", "cuda_sum"])
@pytest.mark.parametrize("count", [10, 30, 60])
def test_copies_as_they_are_written_are_found(kind, count):
    found = 0
    for seed in range(10):
        files, handout, language = students_of(kind, count, seed)
        pairs = similar(files | {"copy": files["000"]}, handout, language, kind)
        found += any(pair.students == ("000", "copy") and pair.similarity == 1 for pair in pairs)
    assert found >= 8


def renamed(text):
    """Every name another, other comments, other blank lines."""
    kept = {"np", "numpy", *keyword.kwlist, *dir(builtins)}
    for name in set(re.findall(r"(?<![.\w\"'])[a-z]\w*", text)) - kept:
        text = re.sub(rf"(?<![.\w]){name}\b(?!=[^=])", f"my_{name}", text)
    return text.replace("\n    ", "\n\n    # a step\n    ")


UNUSUAL = """
    centred = x - np.add.reduce(x) / len(x)
    scale = np.reciprocal(np.sqrt(np.square(centred).mean(0) + eps))
    weights = np.full((1, len(x)), 1 / len(x))
    upstream = np.multiply(gamma, dy)
    projected = np.stack([weights @ upstream, weights @ np.multiply(upstream, centred * scale)])
    basis = np.stack([np.ones_like(x), centred * scale])
    dx = np.multiply(scale, upstream - np.einsum("knc,koc->nc", basis, projected))
    return dx, np.einsum("nc,nc->c", dy, centred * scale), np.add.reduce(dy)
"""


@pytest.mark.parametrize("count", [5, 20, 60, 200])
def test_a_renamed_copy_of_an_unusual_solution_is_found(count):
    files, handout, language = students_of("norm", count, 0)
    original = NORM + UNUSUAL
    copy = renamed(original)
    compile(copy, "copy", "exec")
    pairs = similar(files | {"x": original, "y": copy}, handout, language)
    assert [(pair.students, pair.reading) for pair in pairs] == [(("x", "y"), "renamed")]
    assert pairs[0].similarity > 0.95


def test_a_line_more_hides_no_copy():
    files, handout, language = students_of("norm", 30, 1)
    copy = (NORM + UNUSUAL).replace("    upstream", "    print('here', x.shape)\n    upstream")
    (pair,) = similar(files | {"x": NORM + UNUSUAL, "y": copy}, handout, language)
    assert pair.students == ("x", "y") and 0.8 <= pair.similarity < 1


# The rest.


def test_groups():
    pairs = [SimilarPair("a", (a, b), "renamed", 1.0, 30.0) for a, b in ("cd", "ab", "bd", "xy", "ac")]
    assert groups_of(pairs) == [("a", "b", "c", "d"), ("x", "y")]
    assert groups_of([]) == []


def test_every_long_enough_run_leaves_a_fingerprint(rng):
    shared = [f"t{number}" for number in rng.integers(50, size=10)]
    for _ in range(200):
        a, b = ([f"{x}{n}" for n in rng.integers(1000, size=rng.integers(40))] for x in "ab")
        assert fingerprints(a + shared + b) & fingerprints(b + shared + a)
    assert fingerprints(shared[:6]) == set() and len(fingerprints(shared[:7])) == 1


@pytest.mark.parametrize(
    "text", ["", "\0", "x = (", "'''", "if x:\n  y\n z", "\\", "$" * 1000, "x = 1\n" * 50_000, "(" * 5000, "é = 'ü"]
)
@pytest.mark.parametrize("language", ["python", "cuda"])
def test_whatever_a_file_holds(text, language):
    similar({"a": text, "b": text, "c": text + "\n" + UNUSUAL}, "", language)
    similar_handins("exercise", {"a": b"\xff\xfe" + text.encode(), "b": b"\x80"}, b"\xff", language)


def test_the_order_of_students_does_not_matter():
    files, handout, language = students_of("conv", 30, 0)
    files |= {"copy": files["003"], "another": files["003"]}
    pairs = similar(files, handout, language)
    assert len(pairs) >= 3 and similar(dict(reversed(files.items())), handout, language) == pairs
    assert similar({}, handout, language) == similar({"a": files["000"]}, handout, language) == []


def test_languages():
    with pytest.raises(ValueError, match="language expects one of python, cuda; it is 'perl'"):
        similar_handins("exercise", {}, b"", "perl")


def test_a_large_class_takes_a_second_an_exercise():
    files, handout, language = students_of("norm", 300, 0)
    began = time.process_time()
    similar(files, handout, language)
    assert time.process_time() - began < 5
