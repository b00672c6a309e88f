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
# # GoogLeNet, and the inception module
#
# **The question.** A dog fills one photograph and is a speck in the next. Which window should a convolution have, 1,
# 3 or 5? One would like all of them at once; but windows of 5 over many channels are the most expensive part of a
# network. Can a network look at many scales at once without paying for them?
#
# GoogLeNet (Szegedy et al. 2014, "Going deeper with convolutions") won ILSVRC 2014 with a top-5 error of 6.67 %, with
# fewer parameters than AlexNet. It has four ideas, and you will measure each: modules of parallel branches; 1 x 1
# convolutions that narrow what the expensive windows see; global average pooling in place of large linear layers; and
# auxiliary classifiers half way up, which send the lower layers a gradient while the network trains.

# %%
import time
from functools import partial

import matplotlib.pyplot as plt
import numpy as np

import minitorch_cv as mt
from minitorch_cv import data, models, nn, ops, optim, viz
from minitorch_cv.course import Lesson
from minitorch_cv.training import Trainer

# Each setting for --quick, the default, and --full.
lesson = Lesson(
    "inception",
    repeats=(5, 25, 51),  # runs of which the median time is taken
    dataset=("glyphs", "glyphs", "CIFAR-10"),
    images=(300, 2000, 50_000),
    size=(48, 48, 32),  # of an image, in pixels
    width=(0.125, 0.125, 1.0),  # of every layer, as a share of the paper's
    epochs=(2, 12, 100),
    batch=(50, 50, 128),
    lr=(2e-3, 2e-3, 1e-2),  # the learning rate
    seeds=(1, 3, 3),
    digits=(200, 2000, 4000),
    digit_epochs=(2, 7, 40),
    digit_lr=(1e-3, 1e-3, 1e-2),
    digit_seeds=(1, 2, 5),
    gradient_seeds=(2, 5, 5),
    scenes=(10, 100, 500),
    recipe=("Adam", "Adam", "paper"),
    device=("cpu", "cpu", "cuda"),
)
settings = lesson.settings
rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. The module
#
# Four branches see the same image side by side, and their channels are laid one behind the other:
#
# ```
#                     x (N, C, H, W)
#        ┌──────────┬───────┴──────┬──────────────┐
#      1 x 1      1 x 1          1 x 1       max pool 3 x 3
#        │          │              │              │
#        │        3 x 3          5 x 5          1 x 1
#        └──────────┴───────┬──────┴──────────────┘
#               concatenate along channels
# ```
#
# All strides are 1 and the padding keeps $H \times W$, so that the four outputs fit together. The next layer then
# chooses among scales by its weights. Without the 1 x 1 convolutions in front of the large windows and behind the
# pooling (the paper's "naive version") this cannot be stacked. Let a module have $c_1, c_3, c_5$ filters of each
# size. It costs, at each pixel,
#
# $$C \, (c_1 + 9\, c_3 + 25\, c_5) \text{ multiply-adds, and puts out } C' = c_1 + c_3 + c_5 + C \text{ channels},$$
#
# for a pooling hands on all of its $C$ channels. Channels can only grow, and the next module pays for all of them.
# With 1 x 1 convolutions to $r_3$, $r_5$ and $p$ channels it costs and puts out
#
# $$C \, (c_1 + r_3 + r_5 + p) + 9\, r_3 c_3 + 25\, r_5 c_5, \qquad C' = c_1 + c_3 + c_5 + p.$$
#
# Below, both formulas are summed over the paper's nine modules.

# %%
lesson.section("1. The module")
MODULES = ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"]
with nn.init.skipped():  # only counted, so nothing needs to be drawn
    paper_net = models.googlenet_paper(aux=True)


def module_of(net, name):
    return getattr(net, f"inception{name}")


def row_of(module):
    """c1, r3, c3, r5, c5, p of a module: the numbers of the paper's table 1."""
    convolutions = [part for part in module.modules() if isinstance(part, nn.Conv2d)]
    return [convolution.out_channels for convolution in convolutions]


naive, reduced, naive_channels = 0, 0, 192
channels = 192
for name in MODULES:
    c1, r3, c3, r5, c5, p = row_of(module_of(paper_net, name))
    pixels = {"3": 28, "4": 14, "5": 7}[name[0]] ** 2
    naive += pixels * naive_channels * (c1 + 9 * c3 + 25 * c5)
    reduced += pixels * (channels * (c1 + r3 + r5 + p) + 9 * r3 * c3 + 25 * r5 * c5)
    naive_channels, channels = c1 + c3 + c5 + naive_channels, c1 + c3 + c5 + p
print(f"nine naive modules:       {naive / 1e9:6.3f} G multiply-adds, {naive_channels:,} channels at the end")
print(f"nine modules as published: {reduced / 1e9:5.3f} G multiply-adds, {channels:,} channels at the end")
print(f"the 1 x 1 convolutions save a factor of {naive / reduced:.1f}")
lesson.record(naive_multiply_adds=naive, module_multiply_adds=reduced)

# %% [markdown]
# ## 2. The bottleneck: two counts and two times
#
# Take one branch alone: 32 filters of 5 x 5 on 28 x 28 pixels of 192 channels. Every output is a sum over $5 \cdot 5
# \cdot 192$ products:
#
# $$28 \cdot 28 \cdot 32 \; \cdot \; 5 \cdot 5 \cdot 192 = 120{,}422{,}400 .$$
#
# Now narrow the 192 channels to 16 by a 1 x 1 convolution first:
#
# $$\underbrace{28 \cdot 28 \cdot 16 \cdot 192}_{2{,}408{,}448} + \underbrace{28 \cdot 28 \cdot 32 \cdot 5 \cdot 5
# \cdot 16}_{10{,}035{,}200} = 12{,}443{,}648 .$$
#
# With $r$ channels in between, the bottleneck pays as long as $r\,(C + k^2 O) < k^2 O C$: for $k = 5$, $C = 192$, $O =
# 32$ up to $r = 154$. What it gives up is rank: the 5 x 5 filters can no longer see 192 channels independently, but
# 16 mixtures of them.
#
# A count is not a time. Below, both are counted by the ledger and run, forward, and forward with backward; the
# two take turns, and the median is taken, so that what else the machine does falls on both.

# %%
lesson.section("2. The bottleneck: two counts and two times")


def convolution(before, after, size):
    return nn.Conv2d(before, after, size, padding=size // 2, bias=False, generator=mt.Generator(0))


branches = {
    "5 x 5 alone": nn.Sequential(convolution(192, 32, 5)),
    "1 x 1, then 5 x 5": nn.Sequential(convolution(192, 16, 1), convolution(16, 32, 5)),
    "its 1 x 1": nn.Sequential(convolution(192, 16, 1)),
    "its 5 x 5": nn.Sequential(convolution(16, 32, 5)),
}
BATCH = 8
inputs = {name: rng.standard_normal((BATCH, b[0].in_channels, 28, 28), np.float32) for name, b in branches.items()}
outputs = {name: rng.standard_normal((BATCH, b[-1].out_channels, 28, 28), np.float32) for name, b in branches.items()}


def forward(name):
    with mt.no_grad():
        branches[name](mt.Tensor(inputs[name]))


def forward_and_backward(name):
    branches[name](mt.Tensor(inputs[name], requires_grad=True)).backward(outputs[name])


def measure(calls):
    """For each call the median time of its runs, and the shortest, for one image in seconds."""
    runs = {name: [] for name in calls}
    for _ in range(settings.repeats + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            runs[name].append(time.perf_counter() - began)
    found = {name: np.array(seconds[1:]) / BATCH for name, seconds in runs.items()}  # the first warms up
    return tuple({name: float(pick(seconds)) for name, seconds in found.items()} for pick in (np.median, np.min))


branch_books = {name: models.ledger(branch, (1, *inputs[name].shape[1:])) for name, branch in branches.items()}
counts = {name: book.multiply_adds for name, book in branch_books.items()}
assert counts["5 x 5 alone"] == 28 * 28 * 32 * 5 * 5 * 192 == 120_422_400
assert counts["1 x 1, then 5 x 5"] == 28 * 28 * 16 * 192 + 28 * 28 * 32 * 5 * 5 * 16 == 12_443_648

# The 1 x 1 convolution is a matrix product at each pixel (section 3), so NumPy can compute it as well.
matrix = branches["its 1 x 1"][0].weight.numpy()[:, :, 0, 0]
pixels = inputs["its 1 x 1"].reshape(BATCH, 192, 28 * 28)
calls = {name: partial(forward, name) for name in branches}
calls["the 1 x 1 in NumPy"] = lambda: matrix @ pixels
times, shortest = {}, {}
times["forward"], shortest["forward"] = measure(calls)
times["both"], shortest["both"] = measure({name: partial(forward_and_backward, name) for name in branches})

print(f"{'':<34}{'medians for one image':>26}{'shortest run forward':>26}")
print(f"{'':<20}{'multiply-adds':>14}{'forward':>12}{'and backward':>14}{'G multiply-adds/s':>19}{'GB/s':>7}")
for name, seconds in shortest["forward"].items():
    like = name if name in branches else "its 1 x 1"
    maps = [inputs[like].nbytes / BATCH, *(row.activation_bytes for row in branch_books[like].rows)]
    # Each layer reads its input and writes its output; the weights are read once a batch.
    moved = sum(maps[:-1]) + sum(maps[1:]) + 4 * branch_books[like].parameters / BATCH
    backward = f"{1e3 * times['both'][name]:>11.3f} ms" if name in branches else f"{'':>14}"
    print(
        f"{name:<20}{counts[like]:>14,}{1e3 * times['forward'][name]:>9.3f} ms{backward}"
        f"{counts[like] / seconds / 1e9:>19.1f}{moved / seconds / 1e9:>7.1f}"
    )
here = np.ones(2**24, np.float32)
there, copied = here.copy(), []
for _ in range(settings.repeats):
    began = time.perf_counter()
    np.copyto(there, here)
    copied.append(2 * here.nbytes / (time.perf_counter() - began) / 1e9)
print(f"a copy of {here.nbytes / 2**20:.0f} MiB in memory moves {max(copied):.1f} GB/s at best")
del here, there


def ratio(values):
    return values["5 x 5 alone"] / values["1 x 1, then 5 x 5"]


print(f"the bottleneck counts {ratio(counts):.2f} times fewer multiply-adds")
for name, title in (("forward", "forward"), ("both", "forward and backward")):
    print(
        f"  {title}: it takes {ratio(times[name]):.2f} times less time (medians of {settings.repeats} runs); "
        f"{ratio(shortest[name]):.2f} times less in the shortest runs"
    )
lesson.record(
    ratio_of_counts=ratio(counts),
    ratio_of_forward_times=ratio(times["forward"]),
    ratio_of_times=ratio(times["both"]),
    ratios_of_shortest_times={direction: ratio(found) for direction, found in shortest.items()},
    milliseconds={direction: {name: 1e3 * t for name, t in found.items()} for direction, found in times.items()},
    gigabytes_a_second_of_a_copy=max(copied),
)

# %% [markdown]
# **Why the two ratios differ.** Read the last two columns. Of our four, the 1 x 1 convolution has the lowest rate. With
# each number that it reads it does 16 multiply-adds; a 5 x 5 to 32 channels does 800. So it counts a quarter of the
# 5 x 5 behind it, but takes much more than a quarter of its time. It is not memory that holds it up: it moves far fewer
# bytes a second than the copy does. Nor is it the most that this machine can do: NumPy's matrix product of the same
# numbers is faster. Our kernel for so little work is far from the best. So less time is saved than the count says.
#
# With the backward pass, on a quiet machine, more is saved: it adds more to the direct convolution than to the
# bottleneck. And the shortest runs then show a larger saving than the medians: a disturbance costs a short run
# relatively more, so that the medians understate the saving. While other programs want the same cores, all the ratios
# swing from run to run. A ledger says what must be computed; a clock says what it costs here.
#
# ## 3. Three gradients
#
# **Concatenation.** With branches $x^{(b)}$ of $C_b$ channels and $o_b = C_1 + \dots + C_{b-1}$,
#
# $$y_{n,\, o_b + c,\, h,\, w} = x^{(b)}_{n c h w} \qquad\Rightarrow\qquad dx^{(b)}_{n c h w} = dy_{n,\, o_b + c,\,
# h,\, w} . $$
#
# Each number of $y$ is a copy of one number of one branch, so each branch gets its own slice of $dy$ back.


# %%
lesson.section("3. Three gradients")


def concatenate(a, b, c):
    return np.concatenate([a, b, c], axis=1)


def concatenate_backward(dy, a, b, c):
    first, second = a.shape[1], a.shape[1] + b.shape[1]
    return dy[:, :first], dy[:, first:second], dy[:, second:]


maps = {name: rng.standard_normal((2, count, 3, 3)) for name, count in (("a", 2), ("b", 4), ("c", 1))}
print(mt.check_gradient(concatenate, concatenate_backward, maps))


def slices_from_zero(dy, a, b, c):
    return tuple(dy[:, : part.shape[1]] for part in (a, b, c))


print("Each slice from channel 0 on, on purpose. The shapes fit, and the first branch is even right:")
report = mt.check_gradient(concatenate, slices_from_zero, maps)
print(report)
assert not report, "the wrong slices must be found"

# %% [markdown]
# The four branches read the *same* $x$. Each sends a gradient back to it, and these are added: $dx = \sum_b
# dx^{(b)}$.
#
# **The 1 x 1 convolution.** A window of one pixel: no sum over neighbours is left, and at each pixel $s = (h, w)$ the
# vector of channels is multiplied by one and the same matrix $W$ ($O \times C$). For image $n$, written as a matrix
# $X_n$ of $C$ rows with one column for each pixel,
#
# $$y_{n o s} = \sum_c W_{oc}\, x_{n c s}, \qquad Y_n = W X_n . $$
#
# $x_{ncs}$ enters the outputs of its own pixel only, in all $O$ channels; $W_{oc}$ enters channel $o$ of all pixels
# of all images:
#
# $$dx_{ncs} = \sum_o W_{oc}\, dy_{nos}, \quad dX_n = W^T dY_n; \qquad dW_{oc} = \sum_n \sum_s dy_{nos}\, x_{ncs},
# \quad dW = \sum_n dY_n X_n^T . $$


# %%
def pixelwise(x, weight):
    N, C, H, W = x.shape
    return (weight @ x.reshape(N, C, H * W)).reshape(N, -1, H, W)


def pixelwise_backward(dy, x, weight):
    N, C, H, W = x.shape
    columns, upstream = x.reshape(N, C, H * W), dy.reshape(N, -1, H * W)
    dx = (weight.T @ upstream).reshape(x.shape)
    dweight = (upstream @ columns.transpose(0, 2, 1)).sum(axis=0)
    return dx, dweight


x, weight = rng.standard_normal((3, 4, 2, 3)), rng.standard_normal((5, 4))
print(mt.check_gradient(pixelwise, pixelwise_backward, {"x": x, "weight": weight}))


def mean_over_images(dy, x, weight):
    dx, dweight = pixelwise_backward(dy, x, weight)
    return dx, dweight / len(x)


print("The mean over the images instead of the sum, on purpose:")
report = mt.check_gradient(pixelwise, mean_over_images, {"x": x, "weight": weight})
print(report)
assert not report, "the wrong factor must be found"
difference = abs(ops.conv2d(x, weight[:, :, None, None]) - pixelwise(x, weight)).max()
print(f"ops.conv2d with a window of one pixel differs from the matrix product by at most {difference:.0e}")

# %% [markdown]
# **Global average pooling.** One number for each channel, its mean over all pixels. Each pixel has the same share in
# it:
#
# $$y_{nc} = \frac{1}{HW} \sum_{h, w} x_{nchw}, \qquad dx_{nchw} = \frac{dy_{nc}}{HW} . $$


# %%
def average(x):
    return x.mean(axis=(2, 3))


def average_backward(dy, x):
    H, W = x.shape[2:]
    return np.broadcast_to(dy[:, :, None, None] / (H * W), x.shape)


x = rng.standard_normal((2, 3, 4, 5))
print(mt.check_gradient(average, average_backward, {"x": x}))


def over_rows_only(dy, x):
    return np.broadcast_to(dy[:, :, None, None] / x.shape[2], x.shape)


print("Divided by H alone, on purpose:")
report = mt.check_gradient(average, over_rows_only, {"x": x})
print(report)
assert not report, "the wrong factor must be found"

# %% [markdown]
# And now the whole module of the paper, small, in one check: branches, pooling, shared input and concatenation.

# %%
tiny = models.googlenet_paper(width=1 / 16, generator=mt.Generator(0)).inception3a
report = mt.gradcheck(tiny, (rng.standard_normal((2, 12, 4, 4)),))
print("the gradients of a whole inception module:", "right" if report else report)
assert report

# %% [markdown]
# ## 4. The architecture, exactly
#
# A stem of three convolutions and two poolings with response normalisation brings 224 x 224 down to 28 x 28; nine
# modules follow in three stages at 28, 14 and 7 pixels, with a max pooling of 3 / 2 between; then global average
# pooling, dropout, one linear layer. Counted as the paper does, it is 22 layers with parameters deep. There are two
# forms of it:
#
# * **the paper's**: biases, response normalisation, true 5 x 5 windows;
# * **the later one**, with batch normalisation, in which weights are published. Its "5 x 5" branch has windows of
#   **3 x 3**. That was a slip in an early implementation which everyone since has kept, for the weights fit it. Its
#   pooling before 5a is 2 / 2.
#
# Summaries often say that GoogLeNet does without dropout. It does not: 40 % before the classifier, 70 % in the
# auxiliary heads.

# %%
lesson.section("4. The architecture, exactly")
published = {
    "paper": (models.googlenet_paper, 6_998_552, 13_378_280, 1.583),
    "later": (models.googlenet, 6_624_904, 13_004_888, 1.498),
}
books = {}
for name, (build, parameters, with_heads, giga) in published.items():
    with nn.init.skipped():
        plain, headed = build(), build(aux=True)
    books[name] = book = models.ledger(plain, plain.input_shape)
    total = models.ledger(headed, headed.input_shape).parameters
    assert (book.parameters, total, round(book.multiply_adds / 1e9, 3)) == (parameters, with_heads, giga)
    print(
        f"{name + ' form:':<12} {book.parameters:>9,} parameters, {total:,} with auxiliary heads, "
        f"{book.multiply_adds / 1e9:.3f} G multiply-adds; the third branch has windows of "
        f"{plain.inception3a.branch3[1].conv.kernel_size}"
    )
    lesson.record(
        **{f"{name}_parameters": book.parameters, f"{name}_parameters_with_heads": total},
        **{f"{name}_multiply_adds": book.multiply_adds},
    )
print(f"dropout: {paper_net.dropout.p} before the classifier, {paper_net.aux1.dropout.p} in the auxiliary heads")

print("\nmodule  1x1  3x3 r  3x3  5x5 r  5x5  pool          output parameters  multiply-adds")
for name in MODULES:
    c1, r3, c3, r5, c5, p = row_of(module_of(paper_net, name))
    rows = [row for row in books["paper"].rows if row.name.startswith(f"inception{name}.")]
    side = rows[0].output_shape[2]
    print(
        f"{name:<6}{c1:>5}{r3:>7}{c3:>5}{r5:>7}{c5:>5}{p:>6}{f'{side} x {side} x {c1 + c3 + c5 + p}':>16}"
        f"{sum(row.parameters for row in rows):>11,}{sum(row.multiply_adds for row in rows):>15,}"
    )
print("outside of the modules:")
for row in books["paper"].rows:
    if row.parameters and not row.name.startswith("inception"):
        place = " x ".join(map(str, (*row.output_shape[2:], row.output_shape[1])))
        print(f"{row.name:<34}{place:>16}{row.parameters:>11,}{row.multiply_adds:>15,}")
lesson.figure(viz.ledger(books["paper"], title="GoogLeNet as in the paper, input 1 x 3 x 224 x 224"), "ledger")

with nn.init.skipped():
    alexnet = models.alexnet_paper()
alexnet_book = models.ledger(alexnet, alexnet.input_shape)
fewer = alexnet_book.parameters / books["paper"].parameters
more = books["paper"].multiply_adds / alexnet_book.multiply_adds
print(
    f"\nthe paper's GoogLeNet has {fewer:.1f} times fewer parameters than AlexNet "
    f"and {more:.1f} times its multiply-adds"
)

# %% [markdown]
# Compare with AlexNet's ledger: there nearly all parameters were in three linear layers. Here the one linear layer
# of 1000 classes has about a million, and the rest is convolutions. (The paper says twelve times fewer parameters than
# AlexNet; counted from its own table of layers, with all biases, it is the factor above.) The 3 x 3 convolution
# of the stem, on 56 x 56 pixels, costs more than any module.
#
# ## 5. A small GoogLeNet
#
# The published stem halves an image three times before the first module, and the net two more times: 224 becomes 7.
# An image of 48 pixels would be 2 pixels at the end. Our small net has the published skeleton, nine modules and all,
# with a fraction of the channels (`width`), and drops the stem's first pooling: 48 pixels become 12, 6 and 3 in the
# three stages. (`--full` trains on CIFAR-10, 32 pixels, at full width, with a first stride of 1: 16, 8 and 4.)
#
# The images are coloured glyphs: ten shapes in any place, size, angle and colour, on textured ground. The net is the
# later form, with batch normalisation, here with the paper's dropout of 0.4. Adam with a learning rate that falls along
# half a cosine stands in for the paper's recipe: SGD with momentum 0.9 and a rate that falls by 4 % every 8 epochs.
# `--full` uses that one.

# %%
lesson.section("5. A small GoogLeNet")
size = settings.size
if settings.dataset == "glyphs":
    drawn = data.glyphs(settings.images + 500, size=size, generator=mt.Generator(1))
    learn, held_out = drawn.subset(slice(500, None)), drawn.subset(slice(0, 500))
    augment = data.RandomHorizontalFlip()
else:
    learn, held_out = data.cifar10("train"), data.cifar10("test")
    augment = data.Compose([data.RandomCrop(32, padding=4), data.RandomHorizontalFlip()])
scale = data.Normalize.fit(learn.images)
titles = [held_out.classes[t] for t in held_out.labels[:20]]
lesson.figure(viz.image_grid(held_out.images[:20], titles=titles, columns=10), "images")


def small_googlenet(seed, build=models.googlenet, size=size, **changes):
    """GoogLeNet with fewer channels, and without the first pooling of the stem."""
    plan = {"width": settings.width, "dropout": 0.4, "input_size": size, **changes}
    net = build(10, **plan, generator=mt.Generator(seed))
    net.maxpool1 = nn.Identity()
    if size < 48:
        net.conv1.conv.stride = (1, 1)
    if net.aux1 is not None:  # the paper's heads expect maps of 14 x 14; these take any
        net.aux1.avgpool, net.aux2.avgpool = nn.AdaptiveAvgPool2d(4), nn.AdaptiveAvgPool2d(4)
    return net.to(settings.device)


def trainer_for(net, seed, epochs, images, transform, scale, lr=settings.lr, **others):
    """A trainer with the lesson's recipe, or in the full run with the paper's."""
    train, test = images
    steps = epochs * -(-len(train) // settings.batch)
    if settings.recipe == "paper":
        optimizer = optim.SGD(net.parameters(), lr=lr, momentum=0.9)
        schedule, per = optim.StepLR(optimizer, 8, 0.96), "epoch"
    else:
        optimizer = optim.Adam(net.parameters(), lr=lr)
        schedule, per = optim.CosineAnnealingLR(optimizer, steps), "step"
    return Trainer(
        net,
        optimizer,
        train_loader=data.DataLoader(
            train, settings.batch, shuffle=True, generator=mt.Generator(seed), transform=transform
        ),
        test_loader=data.DataLoader(test, 250, transform=scale),
        schedule=schedule,
        schedule_per=per,
        **others,
    )


book = models.ledger(small_googlenet(0).to("cpu"), (1, 3, size, size))
print(f"{book.parameters:,} parameters, {book.multiply_adds / 1e6:.1f} M multiply-adds for an image of {size} pixels")
images, transform = (learn, held_out), data.Compose([augment, scale])
pooled = {"accuracy": [], "parameters": book.parameters}
for seed in range(settings.seeds):
    print(f"small GoogLeNet, seed {seed}:")
    net = small_googlenet(seed)
    history = trainer_for(net, seed, settings.epochs, images, transform, scale).fit(settings.epochs)
    pooled["accuracy"].append(history.last["test_top1"])
    if seed == 0:
        trained, first_history = net, history


def spread(values, percent=True):
    """The mean of some runs, with the smallest and the largest."""
    form = "{:.1%}" if percent else "{:.2f}"
    mean, low, high = (form.format(f(values)) for f in (np.mean, min, max))
    return f"{mean} ({low} to {high}, {len(values)} seed{'s' if len(values) > 1 else ''})"


print(f"test accuracy: {spread(pooled['accuracy'])}")
lesson.record(test_accuracy=pooled["accuracy"])
lesson.figure(
    first_history.plot(title=f"Small GoogLeNet, {len(learn):,} images of {settings.dataset}, seed 0"), "learning_curves"
)

# %% [markdown]
# In the first epochs the test loss may jump far above the training loss. The test normalises by running means of the
# batches' statistics, and these likely lag behind weights that still change fast; the gap closes as the rate falls.
#
# ## 6. Auxiliary heads
#
# In 2014 there was no batch normalisation, and a net of 22 layers was hard to start. The authors hung two small
# classifiers on the modules 4a and 4d, and trained on
#
# $$L + 0.3\,(L_{\text{aux 1}} + L_{\text{aux 2}}), $$
#
# to "increase the gradient signal that gets propagated back". At test time the heads are thrown away.
#
# **Why the signal fades.** The paper's net starts, in the published replication of it, with weights of variance
# 1 / fan-in. A ReLU that is on for half of its inputs passes on half of the variance of a gradient, so that a layer
# with as many outputs as inputs shrinks the gradient's norm by about $\sqrt{1/2}$. From 5b down to the image it meets
# at least twelve convolutions (a module's shortest path has one), at most 21: a factor of $2^{-6}$ to $2^{-10}$ along
# one path. With variance 2 / fan-in (He et al. 2015, Kaiming's initialisation) the half is made up for. A head on 4a
# has a much shorter way to the image.
#
# **The measurement.** The norm of the gradient of the convolutions' weights in each block, at first steps on digits.
# Three nets: the paper's; the paper's with Kaiming's initialisation; the later form with batch normalisation. Each
# once with the loss $L$ alone, once with the heads, from the same weights and the same batches; mean of a few batches
# and seeds. Within a panel the two lines may be compared, but not the panels with each other: batch normalisation
# makes the gradient of a weight depend on the weight's own size.

# %%
lesson.section("6. Auxiliary heads")
BLOCKS = ["conv1", "conv2", "conv3", *(f"inception{name}" for name in MODULES)]
NAMES = [name.removeprefix("inception") for name in BLOCKS]


def enlarged(images):
    """Digits of 28 x 28 at 48 x 48: the middle, each pixel four times."""
    return images[:, :, 2:-2, 2:-2].repeat(2, axis=2).repeat(2, axis=3)


digits, test_digits = data.mnist5k("train").subset(slice(0, settings.digits)), data.mnist5k("test")
digits = data.Dataset(enlarged(digits.images), digits.labels, digits.classes)
test_digits = data.Dataset(enlarged(test_digits.images[:500]), test_digits.labels[:500], test_digits.classes)
digit_scale = data.Normalize.fit(digits.images)


def digit_net(seed, build=models.googlenet_paper, kaiming=False, aux=True):
    net = small_googlenet(seed, build, size=48, in_channels=1, aux=aux)
    if kaiming:
        generator = mt.Generator(seed)
        for part in net.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu", generator=generator)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
    return net


def main_loss(output, labels):
    """Of the classifier at the end alone, whether the net has heads or not."""
    return ops.cross_entropy(output[0] if isinstance(output, tuple) else output, labels)


def loss_with_heads(output, labels):
    if not isinstance(output, tuple):  # an evaluation, in which the heads are left out
        return ops.cross_entropy(output, labels)
    logits, aux2, aux1 = output
    heads = ops.cross_entropy(aux1, labels) + ops.cross_entropy(aux2, labels)
    return ops.cross_entropy(logits, labels) + 0.3 * heads


def some_batches(seed, count=3):
    generator = mt.Generator(100 + seed)
    loader = data.DataLoader(digits, settings.batch, shuffle=True, generator=generator, transform=digit_scale)
    return [batch for batch, _ in zip(loader, range(count), strict=False)]


def gradient_norms(net, loss, seed):
    """The norm of the loss's gradient in the convolutions of each block, mean over some batches."""
    norms = []
    net.train()
    for images, labels in some_batches(seed):
        net.zero_grad()
        output = net(mt.Tensor(images, device=settings.device))
        loss(output, mt.Tensor(labels, device=settings.device).data).backward()
        parts = [[part for part in getattr(net, name).modules() if isinstance(part, nn.Conv2d)] for name in BLOCKS]
        norms.append([np.sqrt(sum(float((part.weight.grad**2).sum()) for part in block)) for block in parts])
    net.zero_grad()
    return np.mean(norms, axis=0)


starts = {
    "the paper's": {},
    "the paper's, Kaiming's initialisation": {"kaiming": True},
    "later form, batch normalisation": {"build": models.googlenet},
}
losses = {"without heads": main_loss, "with heads": loss_with_heads}
first = {
    name: {
        label: np.array(
            [gradient_norms(digit_net(seed, **plan), loss, seed) for seed in range(settings.gradient_seeds)]
        )
        for label, loss in losses.items()
    }
    for name, plan in starts.items()
}


def print_ratios(title, above, below):
    """For each block the geometric mean over the seeds of above / below, with the smallest and the largest."""
    ratios = np.array(above) / np.array(below)
    print(f"   {title:<28}" + "".join(f"{name:>8}" for name in NAMES))
    for label, row in (
        ("geometric mean", np.exp(np.log(ratios).mean(axis=0))),
        ("smallest", ratios.min(axis=0)),
        ("largest", ratios.max(axis=0)),
    ):
        print(f"     {label:<26}" + "".join(f"{value:>8.3g}" for value in row))


for name, found in first.items():
    alone, both = found["without heads"], found["with heads"]
    fading = alone[:, 0] / alone[:, -1]
    typical = np.exp(np.log(fading).mean())
    print(
        f"{name}: without heads the gradient in conv1 is {typical:.2g} = 2^{np.log2(typical):.1f} times that in 5b "
        f"({fading.min():.2g} to {fading.max():.2g})"
    )
    print_ratios("with heads / without", both, alone)
    assert np.allclose(alone[:, -3:], both[:, -3:], rtol=1e-3), "above 4d: the same"
    lesson.record(**{f"gradient_norms, {name}": found})

# %% [markdown]
# The paper's net fades by less than one path does, in the default run by $2^{-5.1}$: what is printed is the norm of the
# weights' gradients, and to these the paths through all four branches of each module add. With Kaiming's initialisation
# two thirds are left.
#
# Above 4d both lines are one: no head can reach there. Below, the ratios say by how much the heads enlarge the
# gradient. With batch normalisation it does not fade but *grows* towards the image, and the heads add next to nothing:
# the way from a head leads through two linear layers with weights of deviation 0.01 (times 0.3), that from the end
# through one.
#
# **Does it help?** Now the paper's form is trained on digits, with the heads and without; and, as a third net, without
# heads but with Kaiming's initialisation, which is of the year after. The gradients are measured once more at the
# end of the first epoch.

# %%
variants = {
    "without heads": ({"aux": False}, main_loss),
    "with heads": ({"aux": True}, loss_with_heads),
    "without heads, Kaiming": ({"aux": False, "kaiming": True}, main_loss),
}
runs = {name: [] for name in variants}
later = {name: [] for name in ("without heads", "with heads", "with heads, L alone")}
for seed in range(settings.digit_seeds):
    for name, (plan, loss) in variants.items():
        net = digit_net(seed, **plan)
        trainer = trainer_for(
            net,
            seed,
            settings.digit_epochs,
            (digits, test_digits),
            digit_scale,
            digit_scale,
            lr=settings.digit_lr,
            loss_fn=loss,
            metrics=(),
            progress=settings.device != "cpu",
        )
        trainer.fit(1)
        if name in later:
            later[name].append(gradient_norms(net, loss, seed))
        if name == "with heads":
            later["with heads, L alone"].append(gradient_norms(net, main_loss, seed))
        history = trainer.fit(settings.digit_epochs)
        logits, labels = trainer.predict()
        half = next((e for e, value in enumerate(history["test_loss"], 1) if value < np.log(10) / 2), None)
        runs[name].append(
            {
                "test_loss": history["test_loss"],
                "accuracy": float((logits.argmax(axis=1) == labels).mean()),
                "half": half,
            }
        )
        print(
            f"  seed {seed}, {name}: test loss " + " ".join(f"{value:.2f}" for value in history["test_loss"]),
            flush=True,
        )
print(f"\n{'':<26}accuracy at the end, and the first epoch whose test loss is below ln(10) / 2")
for name, found in runs.items():
    halves = ", ".join(str(run["half"] or "none") for run in found)
    print(f"{name:<26}{spread([run['accuracy'] for run in found])}; {halves}")
print("gradients after one epoch:")
print_ratios("with heads / without", later["with heads"], later["without heads"])
print_ratios("with heads, L alone / without", later["with heads, L alone"], later["without heads"])
lesson.record(heads=runs, gradient_norms_after_an_epoch=later)

# %%
figure, axes = plt.subplots(2, 2, figsize=(11, 7.4), layout="constrained")
panels = {f"{name}\nbefore the first step": found for name, found in first.items()}
panels["the paper's\nafter one epoch"] = {name: np.array(values) for name, values in later.items()}
styles = {
    "without heads": ("#0072B2", "-", "o"),
    "with heads": ("#D55E00", "--", "s"),
    "with heads, L alone": ("#009E73", ":", "^"),
}
for axis, (title, found) in zip(axes.flat, panels.items(), strict=True):
    for name, values in found.items():
        color, dash, marker = styles[name]
        axis.plot(NAMES, values.mean(axis=0), color=color, linestyle=dash, marker=marker, label=name)
        axis.fill_between(range(len(NAMES)), values.min(axis=0), values.max(axis=0), color=color, alpha=0.15, lw=0)
    for head in ("4a", "4d"):
        axis.axvline(NAMES.index(head), color="#999999", linewidth=0.8, linestyle=":")
    axis.set_yscale("log")
    axis.set_title(title, fontsize=10)
    axis.tick_params(axis="x", labelsize=8, rotation=45)
    axis.grid(True, linewidth=0.4, color="#CCCCCC")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9)
for axis in axes[:, 0]:
    axis.set_ylabel("norm of the gradient")
figure.suptitle("Gradient by block, image at the left; bands span the seeds, dotted lines mark the heads", fontsize=11)
lesson.figure(figure, "gradient_norms")

figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for (name, found), color, dash, marker in zip(
    runs.items(), ("#0072B2", "#D55E00", "#009E73"), ("-", "--", ":"), "os^", strict=True
):
    for number, one in enumerate(found):
        epochs = np.arange(1, settings.digit_epochs + 1)
        label = name if number == 0 else None
        axis.plot(epochs, one["test_loss"], color=color, linestyle=dash, marker=marker, markersize=4, label=label)
axis.axhline(np.log(10), color="#999999", linewidth=0.8)
axis.set(xlabel="epoch", ylabel="test cross-entropy of the last classifier (nats)", xticks=epochs)
axis.set_title(f"The paper's form on {len(digits):,} digits, one line a seed; grey: ln 10, chance", fontsize=10)
axis.spines[["top", "right"]].set_visible(False)
axis.legend(frameon=False)
lesson.figure(figure, "heads")

# %% [markdown]
# Look at the last panel and the last ratios first. One epoch on, the gradient below 4a is several times larger with the
# heads than without; but that of $L$ alone (dotted) is about as small as in the net that never had heads. The heads do
# not repair the long way down, they open two short ones.
#
# In our default run each seed ended with a lower test loss with heads than without. The seeds differ from each other
# by about as much, and they are few: take the sign of the effect from here, not its size. The third net needs no
# heads at all: its gradient does not fade, and it ended level with the net with heads for one seed and lower for the
# other. That is what became of the idea. Heads mended in 2014 what a better initialisation and batch normalisation
# mended a year later; and then the same authors found (Szegedy et al. 2015, "Rethinking the Inception architecture")
# that in a net with batch normalisation heads do not speed up the start, and act, if at all, as a regulariser at the
# end.
#
# ## 7. Global average pooling against linear layers
#
# AlexNet flattens its last maps and puts two linear layers of 4096 behind them. GoogLeNet takes the mean of each map.
# Same trunk, same first weights in it, same images in the same order; only the end differs: global average pooling
# and one linear layer, against a hidden linear layer of `4096 width` units on the flattened maps. Both have one dropout
# of 0.4, before the last linear layer.

# %%
lesson.section("7. Global average pooling against linear layers")


def with_linear_layers(seed):
    """The small GoogLeNet whose last maps are flattened for a hidden linear layer."""
    net = small_googlenet(seed)
    maps = [row for row in book.rows if row.name.startswith("inception5b.")][-1].output_shape
    generator, hidden = mt.Generator(1000 + seed), round(4096 * settings.width)
    net.avgpool, net.dropout = nn.Identity(), nn.Identity()
    net.fc = nn.Sequential(
        nn.Linear(net.fc.in_features * maps[2] * maps[3], hidden, generator=generator),
        nn.ReLU(),
        nn.Dropout(0.4, generator=generator),
        nn.Linear(hidden, 10, generator=generator),
    )
    return net.to(settings.device)


linear_book = models.ledger(with_linear_layers(0).to("cpu"), (1, 3, size, size))
linear = {"accuracy": [], "parameters": linear_book.parameters}
for seed in range(settings.seeds):
    net = with_linear_layers(seed)
    progress = settings.device != "cpu"
    history = trainer_for(net, seed, settings.epochs, images, transform, scale, progress=progress).fit(settings.epochs)
    linear["accuracy"].append(history.last["test_top1"])

print(f"{'':<24}{'parameters':>12}{'of them behind 5b':>19}  test accuracy")
for name, found, counted in (("global average pooling", pooled, book), ("linear layers", linear, linear_book)):
    end = sum(row.parameters for row in counted.rows if row.name.startswith("fc"))
    print(f"{name:<24}{found['parameters']:>12,}{end:>19,}  {spread(found['accuracy'])}")
lesson.record(global_average_pooling=pooled, linear_layers=linear)

# %% [markdown]
# Compare the difference of the means with the spread. In our default run it is smaller: these seeds do not show that
# the pooling loses anything, nor that it gains, at a fraction of the parameters. It is no law for other budgets:
# exercise 4 is to try some. What is sure is the column of parameters, and what comes next, which flattened maps cannot
# do.
#
# ## 8. What the branches see, and where the net looks
#
# The four branches of module 3a of the trained net (section 5, seed 0), for one held-out image: what each puts out
# before the concatenation. The maps of a branch share one colour scale.

# %%
lesson.section("8. What the branches see, and where the net looks")
image = scale(held_out.images[3:4], None)
module = trained.inception3a
branch_names = {
    "branch1": "1 x 1",
    "branch2": "1 x 1, 3 x 3",
    "branch3": f'"5 x 5": 1 x 1, {" x ".join(map(str, module.branch3[1].conv.kernel_size))}',
    "branch4": "max pool, 1 x 1",
}
seen = {}


def keep(name, module, inputs, output):
    seen[name] = output.to("cpu").numpy()[0]


handles = [getattr(module, name).register_forward_hook(partial(keep, name)) for name in branch_names]
with nn.evaluation(trained), mt.no_grad():
    trained(mt.Tensor(image, device=settings.device))
for handle in handles:
    handle.remove()

figure, axes = plt.subplots(1, 5, figsize=(13, 3.2), layout="constrained", width_ratios=(1, 1.25, 1.25, 1.25, 1.25))
viz.image_grid(held_out.images[3:4], ax=axes[0], title=held_out.classes[held_out.labels[3]])
for axis, (name, label) in zip(axes[1:], branch_names.items(), strict=True):
    strongest = np.argsort(seen[name].std(axis=(1, 2)))[::-1][:4]
    viz.feature_maps(seen[name][np.sort(strongest)], columns=2, ax=axis, title=label)
lesson.figure(figure, "branches")
for name, label in branch_names.items():
    on = (seen[name] > 0).mean()
    print(f"{label:<21}{len(seen[name]):>4} maps of {seen[name].shape[1]} x {seen[name].shape[2]}, {on:.0%} of them on")

# %% [markdown]
# **Class activation.** Global average pooling and a linear layer are both linear, so their order can be changed. With
# $f_k(h, w)$ the last maps, $w_k$ the weights of a class and $b$ its bias,
#
# $$\text{logit} = \sum_k w_k \frac{1}{HW} \sum_{h,w} f_k(h, w) + b = \frac{1}{HW} \sum_{h,w} \underbrace{\sum_k w_k
# f_k(h, w)}_{a(h, w)} + b .$$
#
# $a(h, w)$ says how much each place adds to the class (Zhou et al. 2015). Nobody told the net where a shape is. And
# since the mean can be taken over any number of pixels, the net accepts images of any size. We lay four held-out images
# of four classes together to a scene of twice the size, of a kind that the net has never seen, and ask for each class
# in which quarter its map is largest. Chance is one in four.

# %%


def scene_of(members):
    top, bottom = (np.concatenate([held_out.images[i] for i in pair], axis=2) for pair in (members[:2], members[2:]))
    return np.concatenate([top, bottom], axis=1)


scene_rng, right, asked, example = np.random.default_rng(5), 0, 0, None
for _ in range(settings.scenes):
    classes = scene_rng.permutation(len(held_out.classes))[:4]
    members = [int(scene_rng.choice(np.flatnonzero(held_out.labels == c))) for c in classes]
    scene = scene_of(members)
    found = [viz.class_activation(trained, scale(scene[None], None), int(c)) for c in classes]
    for quarter, values in enumerate(found):
        row, column = np.unravel_index(values.argmax(), values.shape)
        right += quarter == 2 * (row >= values.shape[0] / 2) + (column >= values.shape[1] / 2)
        asked += 1
    example = example or (scene, classes, found)
print(f"the largest class activation lies in the right quarter for {right} of {asked} classes, {right / asked:.0%}")
lesson.record(class_activation_in_the_right_quarter=right / asked)

scene, classes, found = example
figure, axes = plt.subplots(1, 5, figsize=(14, 2.7), layout="constrained")
viz.image_grid(scene[None], ax=axes[0], title="the scene")
for axis, c, values in zip(axes[1:], classes, found, strict=True):
    viz.overlay(scene, values, ax=axis, title=held_out.classes[c])
lesson.figure(figure, "class_activation")

# %%
lesson.finish()

# %% [markdown]
# ## What was measured, and what to try next
#
# `results.json` holds the numbers of your run. They are those of a small net on small images. On ImageNet the paper
# reports a top-5 error of 6.67 % for seven nets with 144 crops of each image, 7.89 % for one net with 144 crops, and
# 10.07 % for one net and one crop. Average pooling in place of linear layers gained it about 0.6 % of top-1; of the
# heads, its later version says that they gain about 0.5 %, and that one of them is enough.
#
# **Common errors** in summaries: GoogLeNet does use dropout (0.4 and 0.7); the "5 x 5" branch of the net whose weights
# are published has windows of 3 x 3; and heads and dropout both are off when the net is tested.
#
# 1. Derive the gradient of the whole module by hand from those of section 3: where are the four gradients of $x$
#    added? Check it with `mt.check_gradient` for a module of a 1 x 1 and a 3 x 3 branch.
# 2. For which number $r$ of channels does the 5 x 5 bottleneck of section 2 cost half of the direct convolution?
#    Measure the times for $r$ = 4, 16, 64, 154. Where do counts and times part?
# 3. Replace each 5 x 5 by two 3 x 3 in a row (the later Inception nets do). What does the ledger say?
# 4. Run section 7 with `epochs` at 8 and at 20. Which end is ahead, and is it by more than the spread of its seeds?
# 5. Run the training of section 6 on the glyphs of section 5. Does the paper's net leave $\ln 10$ without heads? With
#    them? With Kaiming's initialisation? Change the weight 0.3: which gradients change?
# 6. Average pooling sees no places. Invent a task in which the *place* of a shape is the class, with `data.glyphs`
#    pasted on a larger ground, and run section 7 on it.
# 7. Feed the trained net glyphs drawn at 96 pixels (`data.glyphs` draws the same scene at every size). Does the
#    accuracy stay? Which branch would have to change?
#
# Next: `04_resnet`, where the gradient gets a way around each layer, and no head is needed.
