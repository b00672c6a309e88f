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
# # ResNet
#
# **The question.** From AlexNet's 8 layers (2012) to VGG's 19 and GoogLeNet's 22 (2014) the best nets grew deeper. So
# build one of 50 layers? It became *worse*, and not by overfitting: it was worse on the images that it had been
# trained on. Yet a deeper net contains the shallower one: let the added layers hand on what they receive. Why does
# training not find even that, and what makes it better?
#
# He, Zhang, Ren and Sun answered in 2015 with one addition, $H(x) = F(x) + x$, trained 152 layers with it, and won
# ILSVRC 2015 with a top-5 error of 3.57 % (an ensemble). Two things had come earlier that year, each of which by
# itself lets nets of 30 layers start: batch normalisation, and an initialisation that keeps the scale. You will derive
# all three, line by line, and then run the paper's experiment at a size that fits a laptop.

# %%
from functools import reduce
from itertools import product

import matplotlib.pyplot as plt
import numpy as np

import minitorch_cv as mt
from minitorch_cv import data, models, nn, ops, optim, viz
from minitorch_cv.course import Lesson
from minitorch_cv.training import Trainer

# Each setting for --quick, the default, and --full.
lesson = Lesson(
    "resnet",
    stack_seeds=(2, 5, 20),  # of the stacks of section 2
    dataset=("digits", "digits", "CIFAR-10"),
    images=(640, 2560, 50_000),
    width=(4, 8, 16),  # channels of the first stage; the paper's are 16
    depths=((8, 20), (20, 44), (20, 56, 110)),
    seeds=(2, 4, 5),  # runs of each net
    epochs=(4, 8, 164),  # of 391 batches in the full run: 64,000 steps
    batch=(64, 64, 128),
    noise=(((14, 64), (28, 16)), ((14, 256), (28, 64), (56, 16), (112, 8)), ((32, 256), (112, 16))),  # side, images
    warm_up=(10, 40, 400),  # steps at a tenth of the rate
    warm_up_from=(0, 0, 110),  # layers
    device=("cpu", "cpu", "cuda"),
)
settings = lesson.settings
rng = np.random.default_rng(0)
COLORS, DASHES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7"), ("-", "--", ":", "-.")


def quiet(axis, title=None):
    """Lines on two sides, a faint grid, whole numbers below."""
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(True, linewidth=0.4, color="#CCCCCC")
    if title:
        axis.set_title(title, fontsize=10)


# %% [markdown]
# ## 1. Batch normalisation, line by line
#
# Each channel shall have mean 0 and variance 1 over the batch, and then a scale $w$ and a shift $b$ that are learned.
# A channel has $m$ values $x_i$: one for each image, or, in a convolutional net, one for each image and pixel, $m = N
# H W$.
#
# $$\mu = \frac1m \sum_i x_i, \qquad \sigma^2 = \frac1m \sum_i (x_i - \mu)^2, \qquad \hat x_i = (x_i - \mu)\, r, \quad
# r = (\sigma^2 + \epsilon)^{-1/2}, \qquad y_i = w\, \hat x_i + b . $$
#
# **The gradient.** We write $dv$ for $\partial L / \partial v$ and go from the output back to the input. Every line
# asks the same: in which later quantities does this one appear, and with what slope?
#
# $w$ and $b$ appear in every $y_i$; $\hat x_i$ in its own $y_i$ alone:
#
# $$dw = \sum_i dy_i\, \hat x_i, \qquad db = \sum_i dy_i, \qquad d\hat x_i = w\, dy_i. \tag{1}$$
#
# $\sigma^2$ appears in every $\hat x_i$, through $r$, and $dr/d\sigma^2 = -\frac12 (\sigma^2 + \epsilon)^{-3/2} =
# -\frac12 r^3$:
#
# $$d\sigma^2 = \sum_i d\hat x_i\, (x_i - \mu) \left(-\tfrac12 r^3\right). \tag{2}$$
#
# $\mu$ appears in every $\hat x_i$ directly, with slope $-r$, and in $\sigma^2$:
#
# $$d\mu = -r \sum_i d\hat x_i \;+\; d\sigma^2 \cdot \left(-\tfrac2m\right) \sum_i (x_i - \mu). \tag{3}$$
#
# The last sum is zero, for $\mu$ *is* the mean. And $x_i$ appears in three places: in its own $\hat x_i$, in $\sigma^2$
# and in $\mu$:
#
# $$dx_i = r\, d\hat x_i \;+\; \tfrac2m (x_i - \mu)\, d\sigma^2 \;+\; \tfrac1m\, d\mu . \tag{4}$$
#
# `mt.check_derivation` takes the forward pass in steps, and the gradients in the order in which you derived them. It
# asks of each line whether it is right, and, if not, whether the mistake was made there or before.


# %%
lesson.section("1. Batch normalisation, line by line")
EPSILON = 1e-5
forward_steps = {
    "mean": lambda x: x.mean(axis=0),
    "var": lambda x, mean: ((x - mean) ** 2).mean(axis=0),
    "xhat": lambda x, mean, var: (x - mean) * (var + EPSILON) ** -0.5,
    "y": lambda xhat, weight, bias: weight * xhat + bias,
}


def derived(dy, x, mean, var, xhat, weight):
    m, r = len(x), (var + EPSILON) ** -0.5
    dweight, dbias, dxhat = (dy * xhat).sum(axis=0), dy.sum(axis=0), weight * dy  # (1)
    dvar = (dxhat * (x - mean) * -0.5 * r**3).sum(axis=0)  # (2)
    dmean = -r * dxhat.sum(axis=0) + dvar * (-2 / m) * (x - mean).sum(axis=0)  # (3)
    dx = r * dxhat + 2 / m * (x - mean) * dvar + dmean / m  # (4)
    return {"dweight": dweight, "dbias": dbias, "dxhat": dxhat, "dvar": dvar, "dmean": dmean, "dx": dx}


batch = {"x": rng.standard_normal((6, 3)), "weight": rng.standard_normal(3), "bias": rng.standard_normal(3)}
report = mt.check_derivation(forward_steps, derived, batch)
print(report)
assert report, "every line must be right"
lesson.record(batch_norm_lines=report.lines)

# %% [markdown]
# Now two mistakes on purpose. First the $-\frac12$ of line (2) becomes $-1$. Line (2) is named; line (4), which uses
# it, is wrong too, but has only inherited the mistake.


# %%
def half_forgotten(dy, x, mean, var, xhat, weight):
    right = derived(dy, x, mean, var, xhat, weight)
    m, r = len(x), (var + EPSILON) ** -0.5
    dvar = (right["dxhat"] * (x - mean) * -1.0 * r**3).sum(axis=0)
    dx = r * right["dxhat"] + 2 / m * (x - mean) * dvar + right["dmean"] / m
    return {**right, "dvar": dvar, "dx": dx}


report = mt.check_derivation(forward_steps, half_forgotten, batch)
print(report)
assert report.first_wrong == "dvar" and report.lines["dx"] == "inherited"

# %% [markdown]
# Second, the classic: the variance is treated as a constant. Its term is left out of line (4).


# %%
def variance_held(dy, x, mean, var, xhat, weight):
    right = derived(dy, x, mean, var, xhat, weight)
    r = (var + EPSILON) ** -0.5
    return {**right, "dx": r * right["dxhat"] + right["dmean"] / len(x)}


report = mt.check_derivation(forward_steps, variance_held, batch)
print(report)
assert report.wrong_lines == ["dx"]

# %% [markdown]
# **The compact form.** Insert $x_i - \mu = \hat x_i / r$ in (2): $d\sigma^2 = -\frac12 r^2 \sum_j d\hat x_j \hat x_j$.
# With that and with (3), line (4) becomes
#
# $$dx_i = r \Big( d\hat x_i - \frac1m \sum_j d\hat x_j - \hat x_i \, \frac1m \sum_j d\hat x_j \hat x_j \Big)
#        = w\, r \Big( dy_i - \frac{db}{m} - \hat x_i \frac{dw}{m} \Big). $$
#
# Read it: of the gradient that arrives, its mean is taken away and its component along $\hat x$. That must be so. A
# shift or a stretch of the whole channel changes no $y$, so that the gradient along these two directions is zero.


# %%
def batch_norm(x, weight, bias):
    return weight * (x - x.mean(axis=0)) * (x.var(axis=0) + EPSILON) ** -0.5 + bias


def batch_norm_backward(dy, x, weight, bias):
    r = (x.var(axis=0) + EPSILON) ** -0.5
    xhat = (x - x.mean(axis=0)) * r
    dweight, dbias = (dy * xhat).sum(axis=0), dy.sum(axis=0)
    return weight * r * (dy - dbias / len(x) - xhat * dweight / len(x)), dweight, dbias


print(mt.check_gradient(batch_norm, batch_norm_backward, batch))

x, dy = rng.standard_normal((8, 3, 4, 5)), rng.standard_normal((8, 3, 4, 5))
weight, bias = batch["weight"], batch["bias"]


def channels_last(images):
    """(N, C, H, W) as a matrix with a row for each image and pixel and a column for each channel."""
    return images.transpose(0, 2, 3, 1).reshape(-1, images.shape[1])


tensors = [mt.Tensor(value, requires_grad=True) for value in (x, weight, bias)]
y = ops.batch_norm(tensors[0], None, None, *tensors[1:], training=True, eps=EPSILON)
engine = [gradient.numpy() for gradient in mt.grad(y, tensors, dy)]
ours = batch_norm_backward(channels_last(dy), channels_last(x), weight, bias)
differences = {
    "y": abs(channels_last(y.numpy()) - batch_norm(channels_last(x), weight, bias)).max(),
    "dx": abs(channels_last(engine[0]) - ours[0]).max(),
    "dweight": abs(engine[1] - ours[1]).max(),
    "dbias": abs(engine[2] - ours[2]).max(),
}
print("ops.batch_norm on images and the form above differ by at most", {k: f"{v:.0e}" for k, v in differences.items()})
assert max(differences.values()) < 1e-10
dx, columns = ours[0], channels_last(x)
along = (dx * (columns - columns.mean(axis=0)) / columns.std(axis=0)).sum(axis=0)
print(f"sum of dx over a channel: at most {abs(dx.sum(axis=0)).max():.0e}; along xhat: at most {abs(along).max():.0e}")
lesson.record(largest_difference_to_engine=max(differences.values()))

# %% [markdown]
# (Along $\hat x$ it is zero only up to $\epsilon$: the mean of $\hat x^2$ is $\sigma^2 / (\sigma^2 + \epsilon)$.)
#
# While training, the batch is its own yardstick. For the test a layer keeps running means of $\mu$ and $\sigma^2$;
# into those goes the *unbiased* variance, $\frac{m}{m-1} \sigma^2$, although the batch itself is divided by the
# biased one.
#
# ## 2. Kaiming initialisation
#
# How large shall the first weights be? Take a layer $y_i = \sum_j w_{ij} x_j$ with $n$ inputs (of a convolution: $n =
# C\, k^2$), and independent weights of mean 0 and variance $v$. The $w$ are independent of the $x$, so products of
# different terms vanish in the mean:
#
# $$\operatorname{Var}(y_i) = \sum_j E[w_{ij}^2]\, E[x_j^2] = n\, v\, E[x^2] . $$
#
# Mind that it is $E[x^2]$, not the variance: behind a ReLU $x$ has no mean of zero. The $y'$ of the layer below is
# symmetric around 0, so that $x = \max(y', 0)$ keeps half of the square: $E[x^2] = \frac12 \operatorname{Var}(y')$.
# Layer upon layer,
#
# $$\operatorname{Var}(y_l) = \frac{n v}{2} \operatorname{Var}(y_{l-1}) . $$
#
# **Backward.** $dx_j = \sum_i w_{ij}\, dy_i$ over the $n'$ outputs in which $x_j$ takes part, and $dy' = dx$ where
# $y' > 0$, which is half of the time:
#
# $$\operatorname{Var}(dy_{l-1}) = \frac{n' v}{2} \operatorname{Var}(dy_l) . $$
#
# Both scales are kept for $v = 2/n$, if $n = n'$. With $L$ layers all other choices go as $(nv/2)^{L}$. AlexNet's and
# VGG's $N(0, 0.01^2)$ is right for one width only, $n = 2/0.01^2 = 20{,}000$. Glorot's $v = 1/n$ was derived for
# units without the half of the ReLU.
#
# Thirty layers, 576 inputs each, as many as a 3 x 3 convolution over 64 channels has; no batch normalisation. A random
# batch goes forward, a random gradient backward.


# %%
lesson.section("2. Kaiming initialisation")
LAYERS, INPUTS = 30, 576


def stack(seed, std, normalised=False):
    """Root mean squares of y and of dy in each layer of a plain stack, `normalised` with batch norm behind each."""
    generator = mt.Generator(seed)
    values = mt.Tensor(generator.normal((256, INPUTS), dtype=np.float64))
    layers = []
    for number in range(LAYERS):
        weight = mt.Tensor(np.zeros((INPUTS, INPUTS)), requires_grad=True)
        with mt.no_grad():
            if std == "kaiming":
                nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
            else:
                nn.init.normal_(weight, std=std, generator=generator)
        values = ops.linear(ops.relu(values) if number else values, weight)
        if normalised:
            values = ops.batch_norm(values, None, None, training=True)
        values.retain_grad()
        layers.append(values)
    layers[-1].backward(generator.normal(values.shape, dtype=np.float64))
    return np.array([[np.sqrt(np.mean(array.numpy() ** 2)) for array in (y, y.grad)] for y in layers]).T


starts = {
    "N(0, 0.01²)": (0.01, 0.01**2),
    "variance 1 / n": (INPUTS**-0.5, 1 / INPUTS),
    "variance 2 / n (Kaiming)": ("kaiming", 2 / INPUTS),
}
scales = {
    name: np.array([stack(seed, std) for seed in range(settings.stack_seeds)]) for name, (std, _) in starts.items()
}
figure, axes = plt.subplots(1, 2, figsize=(10.5, 4), layout="constrained")
print(f"{'':<26}{'derived factor':>15}{'forward':>10}{'backward':>10}   layer {LAYERS} over layer 1, forward")
for (name, found), color, dash in zip(scales.items(), COLORS, DASHES, strict=False):
    variance = starts[name][1]
    factor = np.sqrt(INPUTS * variance / 2)
    typical = np.exp(np.log(found).mean(axis=0))  # the geometric mean over the seeds
    forward = (typical[0, -1] / typical[0, 0]) ** (1 / (LAYERS - 1))
    backward = (typical[1, 0] / typical[1, -1]) ** (1 / (LAYERS - 1))
    print(f"{name:<26}{factor:>15.3f}{forward:>10.3f}{backward:>10.3f}   {typical[0, -1] / typical[0, 0]:.1e}")
    lesson.record(**{f"scale, {name}": {"derived": factor, "forward": forward, "backward": backward}})
    numbers = np.arange(1, LAYERS + 1)
    lines = (np.sqrt(INPUTS * variance) * factor ** (numbers - 1), factor ** (LAYERS - numbers))
    for axis, values, line in zip(axes, found.transpose(1, 0, 2), lines, strict=True):
        axis.plot(numbers, values.T, color=color, linestyle=dash, linewidth=1.0, alpha=0.7)
        axis.plot(numbers[::3], line[::3], "o", color=color, markersize=4, fillstyle="none")
        axis.plot([], [], color=color, linestyle=dash, marker="o", markersize=4, fillstyle="none", label=name)
for axis, title in zip(axes, ("activations y, forward", "gradients dy, backward"), strict=True):
    axis.set_yscale("log")
    axis.set(xlabel="layer (1 is next to the image)", ylabel="root mean square")
    quiet(axis, title)
axes[0].legend(frameon=False, loc="lower left", fontsize=9)
figure.suptitle(
    f"{LAYERS} plain layers before training: lines are measured, one a seed; circles are derived", fontsize=11
)
lesson.figure(figure, "initialisation")

# %% [markdown]
# The measured factors are those derived. With $N(0, 0.01^2)$ the signal is gone after a dozen layers, and so is the
# gradient; a net of VGG's depth had to be started from a trained shallower one. Kaiming's line is level, up to the
# luck of the draw, which adds up over 30 layers.
#
# ## 3. The degradation problem
#
# With both in place, deep nets do start. The paper then compares *plain* nets, stacks of 3 x 3 convolutions, each with
# batch normalisation and ReLU, with the same nets to which a shortcut is added around every two convolutions. These
# *residual* nets have the same depth, the same widths and exactly as many parameters.
#
# The nets for CIFAR-10 have $6 n + 2$ layers: one convolution, three stages of $n$ blocks of two convolutions with 16,
# 32, 64 channels, global average pooling, one linear layer. The paper's test errors of its residual nets:
#
# | layers | 20 | 32 | 44 | 56 | 110 |
# |---|---|---|---|---|---|
# | error on CIFAR-10, as published | 8.75 % | 7.51 % | 7.17 % | 6.97 % | 6.43 % |
#
# Its plain nets went the other way, and the one of 110 layers stayed above 60 %.
#
# **Our experiment.** Real digits (MNIST), brought from 28 x 28 to 14 x 14 pixels by the mean of four, and half of the
# paper's channels. The recipe is the paper's: stochastic gradient descent with momentum 0.9, weight decay 0.0001, and a
# learning rate of 0.1 that is divided by 10 after half and after three quarters of the steps (the paper: after 32,000
# and 48,000 of 64,000); the mean image is subtracted; crops after padding by 1 pixel (the paper: 4 pixels of 32). We
# leave out its mirror images, for a mirrored digit is none. Batches are of 64, to have more steps of few images. The
# paper warms up its net of 110 layers only, with a rate of 0.01 for about 400 steps, since 0.1 is too much for it to
# start with. Here all nets warm up, for one epoch, at a tenth of the rate. All get the same budget and, for each seed,
# the same images in the same order. `--full` is the paper's recipe, on CIFAR-10.
#
# Watch the **training** error. As in the paper's figures it is that of the batches while the net trains, averaged over
# an epoch.

# %%
lesson.section("3. The degradation problem")


def halved(digits):
    """Digits at half the height and width: the mean of each four pixels."""
    N, C, H, W = digits.images.shape
    means = data.to_float(digits.images).reshape(N, C, H // 2, 2, W // 2, 2).mean(axis=(3, 5))
    return data.Dataset(means, digits.labels, digits.classes)


if settings.dataset == "digits":
    learn, held_out = halved(data.mnist5k("train")).subset(slice(0, settings.images)), halved(data.mnist5k("test"))
else:
    learn, held_out = data.cifar10("train"), data.cifar10("test")
channels, size = learn.images.shape[1:3]
titles = [held_out.classes[label] for label in held_out.labels[:20]]
lesson.figure(viz.image_grid(held_out.images[:20], titles=titles, columns=10), "images")
centre = data.SubtractMeanImage.fit(learn.images)
augment = data.Compose([centre, data.RandomCrop(size, padding=size // 8)])
if settings.dataset != "digits":
    augment = data.Compose([augment, data.RandomHorizontalFlip()])
steps = settings.epochs * -(-len(learn) // settings.batch)


def build(shortcut, depth, seed):
    plan = {"in_channels": channels, "width": settings.width, "shortcut": shortcut, "input_size": size}
    return models.CifarResNet(depth, **plan, generator=mt.Generator(seed)).to(settings.device)


def trainer_for(net, depth, seed):
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)

    def rate(step):
        warming = depth >= settings.warm_up_from and step < settings.warm_up
        return 0.1 ** (warming + (step >= steps // 2) + (step >= 3 * steps // 4))

    return Trainer(
        net,
        optimizer,
        train_loader=data.DataLoader(
            learn, settings.batch, shuffle=True, generator=mt.Generator(100 + seed), transform=augment
        ),
        test_loader=data.DataLoader(held_out, 250, transform=centre),
        schedule=optim.LambdaLR(optimizer, rate),
        schedule_per="step",
        progress=settings.device != "cpu",
    )


KINDS = {"plain": None, "residual": "A"}  # shortcut A has no parameters: section 6
for depth in settings.depths:
    sizes = {kind: sum(p.size for p in build(shortcut, depth, 0).parameters()) for kind, shortcut in KINDS.items()}
    print(f"{depth} layers: {sizes['plain']:,} parameters plain, {sizes['residual']:,} residual")
    assert sizes["plain"] == sizes["residual"]

nets, runs = {}, {}
every = max(1, settings.epochs // 12)
when = "by epoch" if every == 1 else f"every {every} epochs"
for kind, shortcut in KINDS.items():
    for depth in settings.depths:
        for seed in range(settings.seeds):
            net = build(shortcut, depth, seed)
            trainer = trainer_for(net, depth, seed)
            history = trainer.fit(settings.epochs)
            run = {
                "curve": [1 - value for value in history["top1"]],
                "training error": 1 - history.last["top1"],
                "of the same images, afterwards": 1
                - trainer.evaluate(data.DataLoader(learn, 250, transform=centre))["top1"],
                "test error": 1 - history.last["test_top1"],
            }
            nets.setdefault((kind, depth), []).append(net)
            runs.setdefault((kind, depth), []).append(run)
            print(
                f"  {kind} {depth}, seed {seed}: training error {when} "
                + " ".join(f"{value:.0%}" for value in run["curve"][every - 1 :: every])
                + f"; test {run['test error']:.1%}",
                flush=True,
            )


def spread(values):
    """Mean and standard deviation over the seeds, with the smallest and the largest."""
    deviation = np.std(values, ddof=1)
    return f"{np.mean(values):6.1%} ± {deviation:5.1%} ({min(values):.1%} to {max(values):.1%})"


MEASURES = ("training error", "of the same images, afterwards", "test error")
for measure in MEASURES:
    print(f"\n{measure}: mean ± standard deviation of {settings.seeds} seeds (smallest to largest)")
    for (kind, depth), found in runs.items():
        print(f"  {kind:<9}{depth:>4} layers  {spread([run[measure] for run in found])}")
shallow, deep = settings.depths[0], settings.depths[-1]
print(f"\ntraining error of {deep} layers minus that of {shallow}, seed by seed:")
for kind in KINDS:
    pairs = zip(runs[kind, deep], runs[kind, shallow], strict=True)
    change = [a["training error"] - b["training error"] for a, b in pairs]
    print(f"  {kind:<9}" + "  ".join(f"{value:+.1%}" for value in change) + f"   mean {np.mean(change):+.1%}")
    lesson.record(**{f"{kind}, deeper minus shallower": change})
lesson.record(
    **{
        f"{kind} {depth}, {measure}": [run[measure] for run in found]
        for (kind, depth), found in runs.items()
        for measure in MEASURES
    }
)

# %%
figure, axes = plt.subplots(1, 2, figsize=(10.5, 4), sharey=True, layout="constrained")
epochs = np.arange(1, settings.epochs + 1)
for axis, kind in zip(axes, KINDS, strict=True):
    for depth, color, dash in zip(settings.depths, COLORS, DASHES, strict=False):
        curves = np.array([run["curve"] for run in runs[kind, depth]])
        axis.plot(epochs, curves.T, color=color, linewidth=0.8, alpha=0.6, linestyle=dash)
        axis.plot(epochs, curves.mean(axis=0), color=color, linewidth=2.4, linestyle=dash, label=f"{depth} layers")
    for share in (0.5, 0.75):
        axis.axvline(share * settings.epochs + 0.5, color="#999999", linewidth=0.8, linestyle=":")
    axis.set(xlabel="epoch", ylim=(0, 1))
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    quiet(axis, f"{kind} nets")
    axis.legend(frameon=False)
axes[0].set_ylabel("training error")
figure.suptitle(
    f"{len(learn):,} images of {settings.dataset}: thick the mean, thin one line a seed; dotted: the rate falls",
    fontsize=11,
)
lesson.figure(figure, "degradation")

# %% [markdown]
# In the default run the plain net of 44 layers is far worse than that of 20, with every seed, on the very images that
# it was trained on; the distance is several times the spread between seeds. It is not overfitting: the error on the
# test images goes along. It is not a lack of possibilities: the shallow net is contained in the deep one. Training does
# not get there, at least not in this budget. (The paper also tried three times as many steps, and still saw it.) The
# residual nets have the same convolutions and as many parameters, and they learn.
#
# Now what does *not* show. From 20 to 44 layers the residual net gains nothing: 44 layers end 0.8 points higher on
# average, within the spread, and four seeds show neither harm nor good. Digits leave little to gain, and eight short
# epochs are the beginning of a training. The paper's gain from depth, 8.75 % to 7.17 %, is one of photographs and
# 64,000 steps. And our plain net of 20 layers is already far behind the residual one, much more than in the paper,
# perhaps for the same reason.
#
# All this is one set of data and one recipe. Exercise 4 is to look at others.
#
# ## 4. The residual block
#
# Ask the added layers not for the new map $H$ itself, but for what shall be *changed* in the old one:
#
# $$H(x) = F(x) + x . $$
#
# If nothing needs to change, $F = 0$ is the answer, and weights near zero are easy to reach. Let $F(x) = W_2\,
# \varrho(W_1 x)$ with the ReLU $\varrho$. With $u = W_1 x$ and $h = \varrho(u)$,
#
# $$dW_2 = dH\, h^{\mathsf T}, \quad dh = W_2^{\mathsf T} dH, \quad du = dh \odot [u > 0], \quad dW_1 = du\, x^{\mathsf
# T}, $$
#
# $$dx = \underbrace{W_1^{\mathsf T} du}_{\text{through } F} + \underbrace{dH}_{\text{through the shortcut}} . $$
#
# In one line: $dx = (1 + F'(x))^{\mathsf T}\, dH$. Where $F$ changes the shape, the shortcut projects, $H(x) = F(x) +
# W x$, and the second term becomes $W^{\mathsf T} dH$. (Below, each row is an image, so that products stand the other
# way round.)


# %%
lesson.section("4. The residual block")


def block(x, w1, w2):
    return np.maximum(x @ w1.T, 0) @ w2.T + x


def block_backward(dH, x, w1, w2):
    u = x @ w1.T
    du = (dH @ w2) * (u > 0)
    return du @ w1 + dH, du.T @ x, dH.T @ np.maximum(u, 0)


inputs = {name: rng.standard_normal(shape) for name, shape in (("x", (4, 5)), ("w1", (6, 5)), ("w2", (5, 6)))}
print("H(x) = F(x) + x:")
report = mt.check_gradient(block, block_backward, inputs)
print(report)
assert report


def projected(x, w1, w2, w):
    return np.maximum(x @ w1.T, 0) @ w2.T + x @ w.T


def projected_backward(dH, x, w1, w2, w):
    u = x @ w1.T
    du = (dH @ w2) * (u > 0)
    return du @ w1 + dH @ w, du.T @ x, dH.T @ np.maximum(u, 0), dH.T @ x


wider = {**inputs, "w2": rng.standard_normal((3, 6)), "w": rng.standard_normal((3, 5))}
print("\nH(x) = F(x) + W x:")
report = mt.check_gradient(projected, projected_backward, wider)
print(report)
assert report


def shortcut_forgotten(dH, x, w1, w2):
    dx, dw1, dw2 = block_backward(dH, x, w1, w2)
    return dx - dH, dw1, dw2


print("\nWithout the shortcut's term, on purpose:")
report = mt.check_gradient(block, shortcut_forgotten, inputs)
print(report)
assert not report, "the missing term must be found"

# %% [markdown]
# **What it does to the product over depth.** Through $L$ layers the gradient of a plain net is a product, that of a
# residual net a product of sums:
#
# $$dx_0 = F_1'^{\,\mathsf T} \cdots F_L'^{\,\mathsf T} \; dx_L \qquad \text{against} \qquad
#   dx_0 = (1 + F_1')^{\mathsf T} \cdots (1 + F_L')^{\mathsf T} \; dx_L . $$
#
# Multiplied out, the right one has $2^L$ terms: each block is either passed through or passed by. One of them is 1:
# part of the gradient arrives as it was sent.

# %%
slopes = [rng.standard_normal((4, 4)) for _ in range(3)]
residual_product = reduce(np.matmul, [np.eye(4) + slope for slope in slopes])
paths = []
for choice in product((False, True), repeat=3):
    chosen = [slope for slope, through in zip(slopes, choice, strict=True) if through]
    paths.append(reduce(np.matmul, chosen, np.eye(4)))
gap = abs(sum(paths) - residual_product).max()
print(f"three blocks: the product and the sum over its {len(paths)} paths differ by {gap:.0e}")

# %% [markdown]
# **Plain nets with batch normalisation: what to expect.** One often reads that gradients vanish in a deep plain net.
# With batch normalisation they do not. Before training, take a layer behind batch normalisation and ReLU: $x =
# \max(\hat x, 0)$ with $\hat x \sim N(0, 1)$ has $E[x^2] = \frac12$ and $E[x] = 1/\sqrt{2\pi}$, so
#
# $$\operatorname{Var}(x) = \frac12 - \frac1{2\pi} = \frac{\pi - 1}{2 \pi} . $$
#
# The weights turn it into $\operatorname{Var}(y) = n v \operatorname{Var}(x)$ *over the batch*, for what the mean of
# $x$ contributes is the same for all images, and batch normalisation takes it away; then it divides by the
# root of this. Backward, the mean square of the gradient is divided by the same variance, multiplied by $n' v$ in the
# weights and halved by the ReLU. The squared norm of the whole gradient is this mean times the number of values, and
# the lower layer has $n$ values for every $n'$ of the upper one: that turns $n' v$ into $n v$ (strides included).
#
# $$\frac{\lVert dx_{l-1} \rVert^2}{\lVert dx_l \rVert^2} = n v \cdot \frac12 \cdot \frac{2 \pi}{n v\, (\pi - 1)} =
# \frac{\pi}{\pi - 1} \approx 1.47 . $$
#
# The norm *grows* by 21 % at every layer on the way down, whatever the weights' scale is. It is the mean of $x$ that
# does it: the normalisation takes away what it contributes and enlarges the rest to fill the place, and the gradient
# is enlarged with it (Yang et al. 2019). First the stack of section 2, now with batch normalisation:

# %%
growth = np.sqrt(np.pi / (np.pi - 1))
with_norm = np.array([stack(seed, 0.01, normalised=True)[1] for seed in range(settings.stack_seeds)])
measured = (with_norm[:, 0] / with_norm[:, -1]) ** (1 / (LAYERS - 1))
print(
    f"{LAYERS} layers, N(0, 0.01²), batch norm: the gradient grows by {measured.mean():.3f} a layer "
    f"({measured.min():.3f} to {measured.max():.3f}, {len(measured)} seeds); derived {growth:.3f}"
)
lesson.record(batch_norm_growth=measured, derived_growth=growth)

# %% [markdown]
# In a residual net the block's $F$ begins with a convolution and a batch normalisation, which divides by the scale of
# $x$; and $x$, a sum of all blocks before, grows with every block. So $F'$ gets smaller from block to block beside
# the 1, and the product grows far more slowly.
#
# Now our nets: the norm of the gradient of the loss at the output of the first convolution and of every block, for one
# batch of training images, relative to the last block. Once with fresh weights, once with the trained ones.


# %%
def gradient_norms(net, images, labels):
    """The norm of the loss's gradient at the output of the first convolution and of each block."""
    outputs = []

    def keep(module, inputs, output):
        output.retain_grad()
        outputs.append(output)

    places = [net.bn1, *(block for stage in (net.layer1, net.layer2, net.layer3) for block in stage)]
    handles = [place.register_forward_hook(keep) for place in places]
    net.train()
    logits = net(mt.Tensor(images, device=settings.device))
    ops.cross_entropy(logits, mt.Tensor(labels, device=settings.device).data).backward()
    for handle in handles:
        handle.remove()
    net.zero_grad()
    return np.array([np.sqrt(float((output.grad**2).sum().item())) for output in outputs])


norms = {}
images, labels = learn[np.arange(256)]
for (kind, depth), trained in nets.items():
    fresh = [build(KINDS[kind], depth, seed) for seed in range(settings.seeds)]
    for time, several in (("before training", fresh), ("after training", trained)):
        norms[time, kind, depth] = np.array([gradient_norms(net, centre(images), labels) for net in several])

print("gradient at the first convolution over that at the last block: geometric mean over seeds (smallest to largest),")
print(f"and its growth for each layer; derived for a plain net before training: {growth:.3f} for each layer")
for (time, kind, depth), found in norms.items():
    ratios = found[:, 0] / found[:, -1]
    mean = np.exp(np.log(ratios).mean())
    print(
        f"  {time:<16} {kind:<9}{depth:>4} layers  {mean:8.2f}  ({ratios.min():.2f} to {ratios.max():.2f}), "
        f"{mean ** (1 / (depth - 2)):.3f}"
    )
    lesson.record(**{f"gradient ratio, {time}, {kind} {depth}": ratios})

figure, axes = plt.subplots(1, 2, figsize=(10.5, 4.2), sharey=True, layout="constrained")
for axis, time in zip(axes, ("before training", "after training"), strict=True):
    for kind, color, marker in zip(KINDS, COLORS, "os", strict=False):
        for depth, dash in zip(settings.depths, DASHES, strict=False):
            relative = norms[time, kind, depth] / norms[time, kind, depth][:, -1:]
            layers = 1 + 2 * np.arange(relative.shape[1])
            label = f"{kind}, {depth} layers"
            middle = np.exp(np.log(relative).mean(axis=0))
            axis.plot(layers, middle, color=color, linestyle=dash, marker=marker, markersize=3.5, label=label)
            axis.fill_between(layers, relative.min(axis=0), relative.max(axis=0), color=color, alpha=0.15, lw=0)
    if time == "before training":
        layers = np.arange(1, deep)
        axis.plot(layers, growth ** (deep - 1 - layers), color="#777777", linewidth=1, label="derived for plain")
    axis.set_yscale("log")
    axis.set(xlabel="layer (1 is next to the image)")
    quiet(axis, time)
axes[0].set_ylabel("norm of the gradient, relative to the last block")
axes[0].legend(frameon=False, fontsize=9)
figure.suptitle("Gradient by depth; bands span the seeds", fontsize=11)
lesson.figure(figure, "gradient_norms")

# %% [markdown]
# Before training the plain nets' lines are straight, as derived, but less steep. One cause is the border. What the
# mean of $x$ contributes is *not* the same at all pixels: near the border, windows reach out into the zeros of the
# padding. The larger the maps, the less it should count. Fresh plain nets on images of noise:

# %%
for side, count in settings.noise:
    noise, some = rng.standard_normal((count, channels, side, side)).astype(np.float32), np.arange(count) % 10
    found = np.array([gradient_norms(build(None, deep, seed), noise, some) for seed in range(settings.seeds)])
    each = np.exp(np.log(found[:, 0] / found[:, -1]).mean() / (deep - 2))
    print(f"{count:>4} images of {side:>3} x {side:<3} pixels: the gradient grows by {each:.3f} for each layer")
    lesson.record(**{f"growth at {side} pixels": each})

# %% [markdown]
# On large maps the growth comes close to the one derived. In the residual nets the gradient grows far less. Compare the
# printed growth for each layer: for the plain nets of the default run it is the same at both depths, which makes an
# exponential; for the residual nets it is smaller in the deeper one.
#
# After training, the lines of all nets lie close to one another. The right panel does not tell the net that has learned
# so little from those that have learned: a gradient of healthy size is no sign of a healthy net. So look at what
# happened in between: how far were the weights moved from their start $W_0$, as a share of its length? And how much
# longer did they become? Behind a batch normalisation the length of $W$ has no effect, so that $dW$ is at right angles
# to $W$ (exercise 1), and a plain gradient step, without weight decay, makes them longer.


# %%
def length(array):
    return np.sqrt(float((array**2).sum().item()))


print("weights of the convolutions after training, geometric mean over layers and seeds")
for (kind, depth), trained in nets.items():
    changes = {"moved, |W - W0| / |W0|": {}, "length, |W| / |W0|": {}}
    for seed, net in enumerate(trained):
        before = dict(build(KINDS[kind], depth, seed).named_parameters())
        for name, weight in net.named_parameters():
            if ".conv" in name:
                start = before[name]
                for found, part in zip(changes.values(), (weight - start, weight), strict=True):
                    found.setdefault(name.split(".")[0], []).append(length(part) / length(start))
    for what, found in changes.items():
        means = {stage: np.exp(np.log(values).mean()) for stage, values in found.items()}
        shown = "  ".join(f"{stage} {mean:5.2f}" for stage, mean in means.items())
        print(f"  {kind:<9}{depth:>4} layers  {what:<24}{shown}")
        lesson.record(**{f"{what}, {kind} {depth}": means})

# %% [markdown]
# In the default run the plain net of 44 layers is the odd one out. Its first stage was moved by more than its own
# length, its last by a fifth of it: five times less. In the other nets the first stage was moved at most 1.7 times as
# far as the last. That fits the left panel: there is one learning rate for all layers, and at the start a gradient that
# is several hundred times larger at one end of the net than at the other. A rate that suits one end does not suit the
# other. In the residual net of the same depth the two ends are far closer.
#
# This is an observation, not a proof of the cause. The paper leaves the cause open; its authors conjecture that deep
# plain nets converge exponentially slowly.
#
# ## 5. A block of zeros is the identity
#
# Set the weights of $F$ to zero. Then $F = 0$ and $H(x) = x$; with the ReLU behind the sum $y = \max(x, 0)$, which is
# $x$ wherever $x \ge 0$, as it is behind the block before. A *plain* block with zero weights is a constant instead. To
# hand on its input it would need one special set of weights, a 1 in the middle of one window per channel, and a batch
# normalisation that undoes itself.

# %%
lesson.section("5. A block of zeros is the identity")
features = np.maximum(rng.standard_normal((4, 8, 6, 6)), 0).astype(np.float32)  # not negative, as behind a ReLU
signed = rng.standard_normal((4, 8, 6, 6)).astype(np.float32)
for kind, shortcut in KINDS.items():
    zeroed = models.CifarResNet(8, width=8, shortcut=shortcut, generator=mt.Generator(0)).layer1[0]
    for part in (zeroed.conv1, zeroed.conv2):
        nn.init.zeros_(part.weight)
    x = mt.Tensor(features, requires_grad=True)
    y = zeroed(x)
    y.backward(np.ones_like(features))
    arrived = float((x.grad.numpy()[features > 0] == 1).mean())
    of_signed = abs(zeroed(mt.Tensor(signed)).numpy() - np.maximum(signed, 0)).max()
    print(
        f"{kind} block of zeros: |y - x| is at most {abs(y.numpy() - features).max():.2f}; "
        f"{arrived:.0%} of the gradient passes unchanged; "
        f"for x of both signs |y - max(x, 0)| is at most {of_signed:.2f}"
    )
    lesson.record(**{f"{kind}_block_of_zeros_differs_by": abs(y.numpy() - features).max()})
assert lesson.results["residual_block_of_zeros_differs_by"] == 0

# %% [markdown]
# **Start as a shallow net.** It is enough to set the weight of the *last* batch normalisation of each block to zero:
# then $F = 0$ whatever its convolutions are. The whole net starts as its skeleton, the first convolution, the
# shortcuts that change the shape, pooling and the linear layer. So a net of 44 layers and one of 8, with the same first
# convolution and last layer, give the same output:

# %%
pair = [models.CifarResNet(depth, width=8, generator=mt.Generator(0)) for depth in (44, 8)]
for net in pair:
    for stage in (net.layer1, net.layer2, net.layer3):
        for one in stage:
            nn.init.zeros_(one.bn2.weight)
for name in ("conv1", "bn1", "fc"):
    getattr(pair[1], name).load_state_dict(getattr(pair[0], name).state_dict())
images, labels = rng.standard_normal((8, 3, 32, 32)).astype(np.float32), np.arange(8)
with mt.no_grad():
    logits = [net(mt.Tensor(images)).numpy() for net in pair]
print(f"logits of 44 and of 8 layers differ by at most {abs(logits[0] - logits[1]).max():.0e}")
assert np.array_equal(*logits)

net = pair[0]
optimizer = optim.SGD(net.parameters(), lr=0.1)
for step in (1, 2):
    optimizer.zero_grad()
    ops.cross_entropy(net(mt.Tensor(images)), labels).backward()
    inner = {name: p for name, p in net.named_parameters() if name.startswith("layer")}
    moving = {
        kind: [bool((p.grad != 0).any().item()) for name, p in inner.items() if name.endswith(kind)]
        for kind in ("bn2.weight", "conv1.weight", "conv2.weight")
    }
    told = ", ".join(f"{sum(found)} of {len(found)} {kind}" for kind, found in moving.items())
    print(f"step {step}: the gradient is non-zero in {told}")
    optimizer.step()

# %% [markdown]
# At the first step only the zeros themselves receive a gradient (and the biases beside them); once they have moved,
# everything behind them wakes up. This start is not of the 2015 paper. It came two years later (Goyal et al. 2017,
# "Accurate, large minibatch SGD") and is now usual (exercise 3).
#
# ## 6. Shortcuts, bottlenecks, and the published counts
#
# **A and B.** Twice in a net for CIFAR, and three times in one for ImageNet, $F$ halves the image and doubles the
# channels, and $x$ no longer fits. Shortcut A takes every second pixel in both directions and appends channels of
# zeros; it has no parameters. Shortcut B projects with a 1 x 1 convolution of stride 2, and a batch normalisation:
#
# $$\underbrace{16 \cdot 32 + 2 \cdot 32}_{\text{first}} + \underbrace{32 \cdot 64 + 2 \cdot 64}_{\text{second}} =
# 2752 \text{ parameters}. $$
#
# Both leave three of four pixels unseen.

# %%
lesson.section("6. Shortcuts, bottlenecks, and the published counts")
small = models.CifarResNet(8, width=1, generator=mt.Generator(0)).layer2[0].downsample
x = mt.Tensor(np.arange(1.0, 17.0).reshape(1, 1, 4, 4), requires_grad=True)
y = small(x)
y.backward(np.ones(y.shape))
print("shortcut A, a channel of 4 x 4 pixels:\n", x.numpy()[0, 0].astype(int))
print("becomes two channels of 2 x 2:\n", y.numpy()[0].astype(int).tolist())
print("and of the gradient, all ones, each pixel gets:\n", x.grad.numpy()[0, 0].astype(int))
with nn.init.skipped():  # only counted, so nothing needs to be drawn
    by_shortcut = {s: sum(p.size for p in models.resnet20(shortcut=s).parameters()) for s in ("A", "B")}
more = by_shortcut["B"] - by_shortcut["A"]
print(f"ResNet-20: {by_shortcut['A']:,} parameters with A, {by_shortcut['B']:,} with B: {more:+,}")
assert more == 2752 == 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
lesson.record(parameters_of_shortcut_b=more)

# %% [markdown]
# **Bottlenecks.** For 50 layers and more the paper uses blocks of three convolutions: 1 x 1 down to a quarter of the
# channels, 3 x 3, and 1 x 1 up again. Compare both designs at 56 x 56 pixels, as in the paper's figure 5: the basic
# block on 64 channels, the bottleneck on 256 channels with 64 inside. And, to see what is saved, a basic block on 256.

# %%
with nn.init.skipped():
    blocks = {
        "basic, 64 channels": (models.resnet34().layer1[1], 64),
        "bottleneck, 256 channels": (models.resnet50().layer1[1], 256),
        "basic, 256 channels": (models.resnet34().layer3[1], 256),
    }
block_books = {name: models.ledger(part, (1, channels, 56, 56)) for name, (part, channels) in blocks.items()}
for name in ("basic, 64 channels", "bottleneck, 256 channels"):
    print(f"{name}:\n{block_books[name]}")
for name, book in block_books.items():
    weights = sum(row.parameters for row in book.rows if row.kind == "Conv2d")
    print(
        f"{name:<26}{weights:>10,} weights of convolutions {book.multiply_adds:>15,} multiply-adds"
        f"{book.activation_bytes / 2**20:>7.1f} MiB of activations"
    )
    lesson.record(**{f"{name}, multiply-adds": book.multiply_adds, f"{name}, weights": weights})
projection, bottleneck = 56 * 56 * 256 * 256, block_books["bottleneck, 256 channels"].multiply_adds
print(f"a projection around the bottleneck would make it {1 + projection / bottleneck:.2f} times as much work")

# %% [markdown]
# The bottleneck carries four times as many channels for slightly fewer weights and multiply-adds. What it costs is
# memory: its wide maps are kept for the backward pass. Its shortcut must be free, for it joins the two wide ends: a
# projection from 256 to 256 channels would nearly double the work of the block.
#
# **The nets for ImageNet**, counted layer by layer. The paper's stride sits on the first 1 x 1 convolution of a
# stage, which then skips three pixels of four; the nets whose weights are published moved it to the 3 x 3, which sees
# them all, for the same parameters and some more work. The last column but one has what the paper prints, with two or
# three digits, for its own form.

# %%
expected = {  # parameters, G multiply-adds, and these as the paper's table 1 has them
    "resnet18": (11_689_512, 1.814, "1.8"),
    "resnet34": (21_797_672, 3.664, "3.6"),
    "resnet50": (25_557_032, 4.089, ""),
    "resnet50_paper": (25_557_032, 3.858, "3.8"),
    "resnet101": (44_549_160, 7.801, ""),
    "resnet101_paper": (44_549_160, 7.570, "7.6"),
    "resnet152": (60_192_808, 11.514, ""),
    "resnet152_paper": (60_192_808, 11.282, "11.3"),
}
PARTS = ("stem", "layer1", "layer2", "layer3", "layer4", "fc")
shares = {}
print(
    f"{'':<16}{'parameters':>12}{'expected':>12}"
    f"{'G multiply-adds':>17}{'expected':>11}{'the paper':>11}{'activations':>13}"
)
for name, (parameters, giga, paper) in expected.items():
    with nn.init.skipped():
        net = getattr(models, name)()
    book = models.ledger(net, net.input_shape)
    print(
        f"{name:<16}{book.parameters:>12,}{parameters:>12,}{book.multiply_adds / 1e9:>17.3f}{giga:>11.3f}"
        f"{paper:>11}{book.activation_bytes / 2**20:>9.1f} MiB"
    )
    assert (book.parameters, round(book.multiply_adds / 1e9, 3)) == (parameters, giga)
    lesson.record(**{f"{name}_parameters": book.parameters, f"{name}_multiply_adds": book.multiply_adds})
    sums = dict.fromkeys(PARTS, (0, 0))
    for row in book.rows:
        part = row.name.split(".")[0]
        part = part if part in sums else "stem"
        sums[part] = (sums[part][0] + row.parameters, sums[part][1] + row.multiply_adds)
    shares[name] = np.array([sums[part] for part in PARTS])

figure, axes = plt.subplots(1, 2, figsize=(10.5, 4.2), sharey=True, layout="constrained")
PART_COLORS = ("#999999", "#56B4E9", "#0072B2", "#E69F00", "#D55E00", "#000000")
for column, (axis, unit, label) in enumerate(zip(axes, (1e6, 1e9), ("parameters, M", "multiply-adds, G"), strict=True)):
    left = np.zeros(len(shares))
    for number, (part, color) in enumerate(zip(PARTS, PART_COLORS, strict=True)):
        amounts = np.array([share[number, column] for share in shares.values()]) / unit
        axis.barh(list(shares), amounts, left=left, color=color, label=part)
        left += amounts
    axis.set_xlabel(label)
    quiet(axis)
    axis.set_axisbelow(True)
axes[0].invert_yaxis()
axes[1].legend(frameon=False, fontsize=9, loc="upper right")
figure.suptitle("Where ResNets have their parameters and their work", fontsize=11)
lesson.figure(figure, "ledgers")

# %%
lesson.finish()

# %% [markdown]
# ## 7. Common errors
#
# *ResNet was the first to beat people on ImageNet.* It was not. A person who had trained for it, on a sample of the
# test images, had a top-5 error of about 5.1 % (Russakovsky et al. 2015). Two papers passed that in February 2015, ten
# months before ResNet's:
#
# | | top-5 error, as published |
# |---|---|
# | a person | about 5.1 % |
# | PReLU-net (He et al., the paper with Kaiming's initialisation) | 4.94 % |
# | BN-Inception (Ioffe and Szegedy, the paper with batch normalisation) | 4.82 % |
# | ResNet (ensemble, ILSVRC 2015) | 3.57 % |
#
# Those two are the papers of sections 1 and 2. All three are ensembles; and one person, who has to know 120 breeds of
# dogs, is a thin yardstick.
#
# *Shortcuts are there against vanishing gradients.* The paper itself says that in its plain nets, with batch
# normalisation, neither the signal nor the gradient vanishes. You have measured which way it goes.
#
# *Deeper is better with shortcuts, without end.* The paper trained 1202 layers on CIFAR-10: 7.93 %, worse than 110
# layers with 6.43 %, although both fitted the training set; which its authors put down to overfitting.
#
# ## What was measured, and what to try next
#
# `results.json` holds the numbers of your run. They are those of narrow nets on small drawings, over few seeds.
# What the paper measured on ImageNet's validation images, top-1 error with ten crops: plain nets of 18 and 34 layers
# 27.94 % and 28.54 %; residual nets of 18 and 34 layers 27.88 % and 25.03 %.
#
# 1. Show that $\mathrm{BN}(a W x) = \mathrm{BN}(W x)$ for every $a > 0$, up to $\epsilon$. Why is $dW$ then at right
#    angles to $W$? What becomes of $dW$ when $W$ is scaled by $a$, and what does weight decay do to such a layer?
# 2. Derive the gradient of batch normalisation *in evaluation*, where $\mu$ and $\sigma^2$ are constants. Which lines
#    of section 1 are left?
# 3. Set the last batch normalisation of each block to zero before training, as in section 5. Does the deeper residual
#    net start faster? Over how many seeds can you tell?
# 4. Take `data.glyphs(3000, size=16)` in place of the digits, 12 epochs. Which nets start? Vary the warm-up and the
#    rate, and then try Adam. When does degradation go away, and for which nets?
# 5. Put the batch normalisation and the ReLU *before* the convolutions, so that nothing stands behind the sum (He et
#    al. 2016, "Identity mappings"). What becomes of the product over depth?
# 6. Take one block out of a trained residual net, and then one out of a plain one. How much does each lose, and why?
# 7. Run `--full`, on a GPU: the paper's recipe on CIFAR-10, for 20, 56 and 110 layers.
#
# Next: `05_diffusion`, nets that turn noise into pictures.
