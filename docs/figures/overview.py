"""Draws the README's figure: derive, build, train, teach. Every number in it is computed here.

python docs/figures/overview.py      (about ten seconds; writes overview.svg beside itself)
"""

from pathlib import Path

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.patches import Polygon

import minitorch_cv as mt
from minitorch_cv.data import mnist5k

# Okabe and Ito's colours: told apart by colour-blind readers, and of different lightness in print.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "mathtext.fontset": "cm",
    "svg.hashsalt": "minitorch_cv",  # the same file from the same numbers
    "svg.fonttype": "path",
}


# --- Derive: batch norm's gradient with a term missing, and mended.


def batch_norm(x, gamma, beta):
    """Batch norm over the first axis, and what its backward needs."""
    rstd = 1 / np.sqrt(x.var(0) + 1e-5)
    xhat = (x - x.mean(0)) * rstd
    return gamma * xhat + beta, (xhat, rstd, gamma)


def first_attempt(dy, cache):
    """Forgets that the variance depends on x."""
    xhat, rstd, gamma = cache
    d = dy * gamma
    return (d - d.mean(0)) * rstd, (dy * xhat).sum(0), dy.sum(0)


def mended(dy, cache):
    """The whole gradient."""
    xhat, rstd, gamma = cache
    d = dy * gamma
    return (d - d.mean(0) - xhat * (d * xhat).mean(0)) * rstd, (dy * xhat).sum(0), dy.sum(0)


def draw_derive(axis: Axes) -> None:
    """The relative error of every entry of dx, for both attempts, on one scale."""
    rng = np.random.default_rng(1)
    inputs = (rng.standard_normal((12, 8)), rng.uniform(0.5, 1.5, 8), rng.standard_normal(8))
    axis.axis("off")
    for left, backward, title in ((0.0, first_attempt, "a term forgotten"), (0.53, mended, "mended")):
        error = mt.check_gradient(batch_norm, backward, inputs, diagnose=False).inputs[0].error
        panel = axis.inset_axes((left, 0.3, 0.47, 0.62))
        image = panel.imshow(np.maximum(error, 1e-12), norm=LogNorm(1e-12, 1), cmap="cividis", aspect="auto")
        panel.set(xticks=[], yticks=[], xlabel=f"largest {np.max(error):.0e}")
        panel.set_title(title, fontsize=9)
        panel.spines[:].set_visible(False)
    bar = axis.figure.colorbar(image, cax=axis.inset_axes((0.06, 0.06, 0.88, 0.045)), orientation="horizontal")
    bar.set_ticks([1e-12, 1e-6, 1])
    bar.set_label("relative error of each entry of $dx$", labelpad=1)
    bar.outline.set_visible(False)


# --- Build: AlexNet to scale.

ALEXNET = [(3, 224), (64, 55), (64, 27), (192, 27), (192, 13), (384, 13), (256, 13), (256, 13), (256, 6)]
ALEXNET_WHAT = ["image", "conv 11/4", "pool", "conv 5", "pool", "conv 3", "conv 3", "conv 3", "pool"]


def draw_build(axis: Axes) -> None:
    """AlexNet's activations: a slab's height is the square root of its pixels, its thickness goes with its channels."""
    x = 0.0
    for (channels, pixels), what in zip(ALEXNET, ALEXNET_WHAT):
        height, depth = pixels**0.5, 0.5 + channels / 130
        slant = 0.22 * height
        colour = {"c": BLUE, "p": ORANGE, "i": GREY}[what[0]]
        low, high, right = -height / 2, height / 2, x + depth
        top = [(x, high), (right, high), (right + slant, high + slant), (x + slant, high + slant)]
        side = [(right, low), (right + slant, low + slant), (right + slant, high + slant), (right, high)]
        front = [(x, low), (right, low), (right, high), (x, high)]
        for corners, alpha in ((side, 0.45), (top, 0.3), (front, 0.85)):
            axis.add_patch(Polygon(corners, facecolor=colour, alpha=alpha, edgecolor="white", linewidth=0.6))
        text = f"{channels}\n{pixels}²"
        axis.text(x + depth / 2, low - 0.4, text, ha="center", va="top", fontsize=7.5, color=colour, linespacing=1.15)
        x = right + 0.6 * slant + 1.0
    axis.text(x - 0.2, 0, "→ 4096\n→ 4096\n→ 1000", va="center", fontsize=8, color=GREY, linespacing=1.4)
    for place, what, colour in (
        (0.2, "convolution", BLUE),
        (0.45, "max pooling", ORANGE),
        (0.7, "channels, pixels", GREY),
    ):
        axis.text(place, 0.06, what, color=colour, fontsize=8.5, transform=axis.transAxes)
    axis.set(xlim=(-0.8, x + 3.6), ylim=(-11, 11.2))
    axis.axis("off")


# --- Train: a small net on real digits, with ReLU and with tanh.


def train(activation: str, epochs: int) -> list[float]:
    """Test accuracy in per cent after each epoch of a 784-64-10 net, by the package's own engine."""
    train_set, test_set = mnist5k("train"), mnist5k("test")
    generator = mt.Generator(0)
    seen, held_out = ((data.images.reshape(-1, 784) / 255).astype(np.float32) for data in (train_set, test_set))
    one_hot = np.eye(10, dtype=np.float32)[train_set.labels]
    sizes = (784, 64, 10)
    weights = [mt.Tensor(generator.normal((m, n), std=m**-0.5), requires_grad=True) for m, n in zip(sizes, sizes[1:])]
    accuracy = []
    for _ in range(epochs):
        order = generator.permutation(len(one_hot))
        for batch in order.reshape(-1, 50):
            hidden = getattr(mt.Tensor(seen[batch]) @ weights[0], activation)()
            logits = hidden @ weights[1]
            loss = (logits.exp().sum(axis=1).log() - (logits * one_hot[batch]).sum(axis=1)).mean()
            for weight, gradient in zip(weights, mt.grad(loss, weights)):
                weight.data = weight.data - np.float32(0.1) * gradient.numpy()
        hidden = getattr(mt.Tensor(held_out) @ weights[0], activation)()
        accuracy.append(100 * float(np.mean((hidden @ weights[1]).numpy().argmax(axis=1) == test_set.labels)))
    return accuracy


def draw_train(axis: Axes) -> None:
    """Both curves, labelled where they end."""
    epochs = 12
    for activation, colour, style, offset in (("relu", BLUE, "-", 1), ("tanh", ORANGE, "--", -1)):
        accuracy = train(activation, epochs)
        axis.plot(range(1, epochs + 1), accuracy, style, color=colour, linewidth=2)
        name = {"relu": "ReLU", "tanh": "tanh"}[activation]
        axis.text(epochs + 0.3, accuracy[-1] + 0.4 * offset, f"{name} {accuracy[-1]:.1f} %", color=colour, va="center")
    axis.set(xlabel="epoch", ylabel="test accuracy, %", xlim=(0.5, epochs + 5), xticks=range(2, epochs + 1, 2))


# --- Teach: what a careless check lets pass.


def careless(forward, backward, inputs):
    """The check of many a course: an upstream gradient of ones, one entry, a tolerance of 1e-2."""
    x, *rest = inputs
    y, cache = forward(*inputs)
    moved = x.copy()
    moved[0, 0] += 1e-5
    numeric = (forward(moved, *rest)[0] - y).sum() / 1e-5
    return abs(backward(np.ones_like(y), cache)[0][0, 0] - numeric) <= 1e-2


def draw_teach(axis: Axes) -> None:
    """Planted faults in dx, and which check catches them."""
    rng = np.random.default_rng(1)
    inputs = (rng.standard_normal((12, 8)), rng.uniform(0.5, 1.5, 8), rng.standard_normal(8))
    checks = {"careless": careless, "mt": mt.check_gradient}
    scores = [mt.score_check(check, batch_norm, mended, inputs) for check in checks.values()]
    faults = [fault for fault in scores[0].faults if scores[0].outcome[fault, "gradient 0"] != "-"]
    for column, score in enumerate(scores):
        for row, fault in enumerate(faults):
            caught = score.outcome[fault, "gradient 0"] == "caught"
            marker = {"marker": "o", "color": GREEN} if caught else {"marker": "x", "color": ORANGE}
            axis.scatter(column, row, s=70, linewidth=2.2, **marker)
        count = sum(score.outcome[fault, "gradient 0"] == "caught" for fault in faults)
        axis.text(column, len(faults) - 0.1, f"{count} of {len(faults)}", ha="center", va="top", fontsize=8)
    axis.set(xlim=(-0.6, 1.7), ylim=(len(faults) + 0.6, -0.7), xticks=[0, 1], xticklabels=checks)
    axis.set(yticks=range(len(faults)), yticklabels=faults)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


# What is drawn, its heading, a line below it, and where it lies (left edge and width, of the figure's).
PANELS = (
    (draw_derive, "Derive", "a gradient by hand, checked entry by entry", 0.012, 0.205),
    (draw_build, "Build", "AlexNet and its 61,100,840 parameters", 0.25, 0.325),
    (draw_train, "Train", "a small net, real digits, a laptop", 0.605, 0.195),
    (draw_teach, "Teach", "mistakes:  ● caught   × let pass", 0.825, 0.17),
)


def main() -> None:
    """Draws the four panels and writes the figure."""
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(13, 3.7))
        for draw, title, line, left, width in PANELS:
            indent = 0.062 if draw is draw_teach else 0.026 if draw is draw_train else 0  # room for the labels
            draw(figure.add_axes((left + indent, 0.14, width - indent, 0.6)))
            figure.text(left, 0.925, title, fontsize=15, weight="bold")
            figure.text(left, 0.855, line, fontsize=9, color=GREY)
        figure.savefig(Path(__file__).with_suffix(".svg"), metadata={"Date": None}, facecolor="white")
        plt.close(figure)


if __name__ == "__main__":
    main()
