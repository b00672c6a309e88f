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
# # VGG, and ZFNet before it
#
# **The question.** AlexNet worked, and nobody could say what its layers look at, nor why its windows should be 11, 5
# and 3 pixels wide. Two papers took up these two questions. Zeiler and Fergus (2013) made the features of a trained
# network visible, found that AlexNet's first layer looks too coarsely, and mended it: ZFNet. Simonyan and Zisserman
# (2014) asked what depth alone does. They made every window 3 x 3, the smallest that has a left, a right, an above and
# a below, and stacked up to 19 layers: VGG.
#
# ILSVRC 2013 was won by the company Clarifai, which Zeiler had founded, with a top-5 error of 11.7 %; the ZFNet paper
# itself reports 14.8 %. VGG came second in 2014 with 7.3 %, behind GoogLeNet, and 6.8 % after the contest.
#
# You will send features back to pixels, in a small ZFNet that you train first; compute what a unit sees of the image
# and measure it; count and time three small windows against one large; derive the gradient of the one convolution
# that VGG is made of; and train its nets A to E on the same data.

# %%
import statistics
import time

import matplotlib.pyplot as plt
import numpy as np

import minitorch_cv as mt
from minitorch_cv import data, models, nn, ops, optim, viz
from minitorch_cv.course import Lesson
from minitorch_cv.training import Trainer

# Each setting for --quick, the default, and --full.
lesson = Lesson(
    "vgg",
    device=("cpu", "cpu", "cuda"),
    glyphs=(500, 3000, 20000),  # of ZFNet
    zf_epochs=(3, 8, 30),
    zf_seeds=(1, 2, 3),
    field_depths=((1, 3, 6), (1, 3, 6, 12, 24), (1, 3, 6, 12, 24)),  # stacks whose receptive field is measured
    field_nets=(2, 5, 20),
    stack_channels=((8, 16), (16, 32, 64, 128), (64, 128, 256, 512)),  # of the stacks that are timed
    repeats=(3, 9, 25),
    images=("digits", "digits", "cifar10"),  # of the nets A to E
    few=(1000, 4000, 50000),
    channels=((8, 16, 32, 64, 64), (8, 16, 32, 64, 64), (64, 128, 256, 512, 512)),
    hidden=(128, 128, 512),
    dropout=(0.25, 0.25, 0.5),
    batch=(50, 50, 128),
    start_epochs=(1, 3, 10),  # of each initialisation
    depth_epochs=(2, 8, 74),
    depth_seeds=(1, 3, 3),
)
settings = lesson.settings
rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. AlexNet's first layer, and a finer one
#
# AlexNet's first layer has windows of 11 x 11 that move on by 4 pixels. Zeiler and Fergus saw two faults. The filters
# were very coarse or very fine, with little in between; and the second layer showed *aliasing*. A map that is sampled
# every $s$ pixels can hold frequencies up to
#
# $$ f_{\max} = \frac{1}{2 s} \text{ cycles per pixel}. $$
#
# What a filter passes above that comes out as a false, lower frequency, and no later layer can tell it from a true
# one. At a stride of 4 that is everything finer than 8 pixels a cycle; at a stride of 2, finer than 4. Their remedy
# was windows of 7 x 7 at a stride of 2. The second layer takes over the other 2, and all else is AlexNet without its
# groups.

# %%
lesson.section("1. AlexNet's first layer, and a finer one")
with nn.init.skipped():  # only counted, so nothing needs to be drawn
    published = models.zfnet()
book = models.ledger(published, published.input_shape)
print(book)
lesson.record(zfnet_parameters=book.parameters, zfnet_multiply_adds=book.multiply_adds)
assert book.parameters == 62_357_608
assert f"{book.multiply_adds / 1e9:.3f}" == "1.168"
del published

# %% [markdown]
# We train both fronts on one skeleton, a ZFNet of a quarter of the width or less, on coloured glyphs of 64 x 64: ten
# shapes in any place, size, angle and colour, on textured ground. Training is with Adam, batches of 50, and a rate
# that falls along half a cosine.
#
# In the paper "all weights are initialized to $10^{-2}$", which we read as drawn from $N(0, 0.01^2)$. With 0.01 at this
# width no signal would reach the layers behind the first (section 8 tells why), so these get He's variance. The first
# keeps 0.01: the weaker the noise that a filter begins with, the sooner what it learns shows through.

# %%
scenes = data.glyphs(settings.glyphs + 500, size=64, generator=mt.Generator(1))
learn = data.Dataset(scenes.images[500:], scenes.labels[500:], scenes.classes)
held_out = data.Dataset(scenes.images[:500], scenes.labels[:500], scenes.classes)
scale = data.Normalize.fit(learn.images)
names = [scenes.classes[t] for t in held_out.labels[:20]]
lesson.figure(viz.image_grid(held_out.images[:20], titles=names, columns=10), "glyphs")

# Kernel size, stride, padding of the first layer; the grid that is left for the classifier.
fronts = {"7 x 7, stride 2": ((7, 2, 1), 3), "11 x 11, stride 4": ((11, 4, 2), 1)}


def small_zfnet(front, seed):
    """ZFNet's skeleton for 64 x 64 pixels."""
    generator = mt.Generator(seed)
    first, grid = fronts[front]
    net = models.zfnet(
        10,
        channels=(24, 48, 64, 64, 48),
        hidden=256,
        first=first,
        second=(5, 1, 2),
        grid=grid,
        dropout=0.25,
        input_size=64,
        generator=generator,
    )
    for layer in net.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)) and layer is not net.features[0]:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
    return net


def train_zfnet(net, seed):
    net.to(settings.device)
    optimizer = optim.Adam(net.parameters(), lr=1.5e-3)
    loader = data.DataLoader(learn, 50, shuffle=True, generator=mt.Generator(seed), transform=scale)
    schedule = optim.CosineAnnealingLR(optimizer, settings.zf_epochs * len(loader))
    test_loader = data.DataLoader(held_out, 250, transform=scale)
    trainer = Trainer(
        net, optimizer, train_loader=loader, test_loader=test_loader, schedule=schedule, schedule_per="step"
    )
    history = trainer.fit(settings.zf_epochs)
    net.to("cpu")  # where it is looked at
    return history


def folded_share(net, images):
    """The share of the power of the first layer's maps, before they are sampled, above 1 / (2 stride)."""
    layer = net.features[0]
    maps = ops.conv2d(images, layer.weight.numpy())  # at a stride of 1
    maps = maps - maps.mean(axis=(2, 3), keepdims=True)
    taper = np.hanning(maps.shape[2])
    power = (np.abs(np.fft.fft2(maps * np.outer(taper, taper))) ** 2).sum(axis=(0, 1))
    frequency = np.abs(np.fft.fftfreq(len(taper)))
    beyond = np.maximum(frequency[:, None], frequency[None]) > 1 / (2 * layer.stride[0])
    return power[beyond].sum() / power.sum()


for front in fronts:
    net = small_zfnet(front, 0)
    book = models.ledger(net, net.input_shape)
    sides = [row.output_shape[2] for row in book.rows if row.kind in ("Conv2d", "MaxPool2d")]
    first_linear = next(row for row in book.rows if row.kind == "Linear")
    print(
        f"{front}: {book.multiply_adds / 1e6:.2f} M multiply-adds, {book.parameters:,} parameters "
        f"({first_linear.parameters:,} in the first linear layer); sides of the maps {' '.join(map(str, sides))}"
    )
    lesson.record(**{f"small zfnet, {front}": {"multiply_adds": book.multiply_adds, "parameters": book.parameters}})

sample = scale(held_out.images[:50], None)
zf_errors, zf_folded, nets = {}, {}, {}
for front in fronts:
    zf_errors[front], zf_folded[front] = [], []
    for seed in range(settings.zf_seeds):
        net = small_zfnet(front, seed)
        print(f"first layer {front}, seed {seed}:")
        history = train_zfnet(net, seed)
        zf_errors[front].append(1 - history.last["test_top1"])
        zf_folded[front].append(folded_share(net, sample))
        nets.setdefault(front, net)
for front in fronts:
    errors, folded = (" ".join(f"{v:.1%}" for v in values[front]) for values in (zf_errors, zf_folded))
    print(f"{front}: test error {errors}; of the power of its maps {folded} lies above 1 / (2 stride)")
lesson.record(zfnet_test_error=zf_errors, zfnet_folded_share=zf_folded)


def lengths(net):
    """The norm of each filter of the first layer."""
    return np.sqrt((net.features[0].weight.numpy() ** 2).sum(axis=(1, 2, 3)))


for front in fronts:
    grown = lengths(nets[front]) / lengths(small_zfnet(front, 0))
    print(
        f"{front}, seed 0: {(grown >= 3).sum()} of {len(grown)} filters are at least three times "
        "as long as at the start"
    )
    lesson.record(**{f"growth of the filters, {front}": grown})

figure, axes = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
for axis, front in zip(axes, fronts, strict=True):
    viz.filters(nets[front].features[0].weight, columns=8, ax=axis, title=front)
lesson.figure(figure, "first_layers")

# %% [markdown]
# Compare three things. The filters: both fronts learn oriented edges from nothing but labels. But in the default run
# only 7 of the 24 fine ones and 3 of the 24 coarse ones have grown to three times their length, noise shows in most,
# and about a third of those of 11 x 11 look like nothing else. The folded share: of what the filters pass, the coarse
# stride folds many times as much, though little in both. And the error, which the finer front makes several times
# smaller. Do not give that to aliasing alone: our small net leaves the second layer's stride at 1, so a stride of 2 in
# the first also leaves larger maps to every layer behind it. Behind the three poolings they have 15, 7 and 3 pixels a
# side against 7, 3 and 1, which is 4.6, 5.4 and 9 times as many places; the net does more than three times the work,
# and its first linear layer sees nine times as much. (In the paper only the second layer gets the larger maps.)
#
# ## 2. The way back: a "deconvolutional" net
#
# Which pattern in the image makes a feature strong? Zeiler and Fergus take the strongest value of a map, set all else
# to zero, and send that one value back to the pixels, layer by layer:
#
# - **Unpooling with switches.** Max pooling forgets where the maximum was. So that place, the *switch*, is kept on
#   the way forward, and the value is put back just there, with zeros around it.
# - **Rectification.** Feature maps are positive, so what comes back is made positive: $\max(r, 0)$.
# - **Transposed filters.** $y = W x$ goes back as $W^T r$: every value is spread through the filter that made it. That
#   is the input gradient of the convolution, in which nothing is inverted. The name "deconvolution" promises too much.
#
# That is backpropagation except in one place, the ReLU. With $z$ its input and $r$ what comes from above, there are
# three rules:
#
# $$ \underbrace{r \, [z > 0]}_{\text{gradient}}, \qquad \underbrace{r \, [r > 0]}_{\text{deconvnet}}, \qquad
# \underbrace{r \, [z > 0] \, [r > 0]}_{\text{guided backpropagation}}. $$

# %%
lesson.section("2. The way back: a deconvolutional net")
z, r = np.array([3.0, 3.0, -2.0, -2.0]), np.array([0.5, -0.5, 0.5, -0.5])
print("z                     ", z)
print("r from above          ", r)
print("gradient              ", r * (z > 0))
print("deconvnet             ", r * (r > 0))
print("guided backpropagation", r * (z > 0) * (r > 0))

# %% [markdown]
# Now by hand, through two layers. Note that the deconvnet rule does not ask whether the ReLU was on; the switches and
# the place of the start are all that it knows of the image.

# %%
generator = mt.Generator(3)
tiny = nn.Sequential(
    nn.Conv2d(1, 4, 3, padding=1, generator=generator),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(4, 3, 3, padding=1, generator=generator),
    nn.ReLU(),
)
image = rng.standard_normal((1, 1, 8, 8)).astype(np.float32)
w1, b1, w2, b2 = (p.numpy() for p in tiny.parameters())

# Forward, with the switches kept.
first = ops.relu(ops.conv2d(image, w1, b1, padding=1))
pooled, switches = ops.max_pool2d(first, 2, return_indices=True)
second = ops.relu(ops.conv2d(pooled, w2, b2, padding=1))

# Back, from the strongest value of one channel alone.
channel = int(second[0].max(axis=(1, 2)).argmax())
strongest = np.zeros_like(second)
place = np.unravel_index(second[0, channel].argmax(), second.shape[2:])
strongest[0, channel][place] = second[0, channel][place]
back = np.maximum(strongest, 0)  # rectification of the second layer
back = ops.conv2d_input_gradient(back, w2, pooled.shape, padding=1)  # its filters, transposed
back = ops.max_unpool2d(back, switches, 2)  # unpooling with the switches
back = np.maximum(back, 0)  # rectification of the first layer
by_hand = ops.conv2d_input_gradient(back, w1, image.shape, padding=1)[0]

difference = np.abs(by_hand - viz.deconvnet(tiny, image, "4", channel)).max()
print(f"strongest value {second[0, channel][place]:.3f} at {tuple(map(int, place))}; pattern of shape {by_hand.shape}")
print(f"by hand and viz.deconvnet differ by at most {difference:.0e}")
lesson.record(deconvnet_difference=difference)
assert difference < 1e-6

# %% [markdown]
# In ZFNet the poolings overlap (3 x 3, stride 2), and one place can win two windows. `viz.deconvnet` then adds both
# values, as the gradient does; `ops.max_unpool2d` keeps one. Response normalisation is passed by.
#
# ## 3. What the trained net sees
#
# The maps of one image first. Early maps are sharp and show nearly all of it; late maps are small. How much of them is
# zero is printed: most of it behind the first layer, and in the default run in layer 2 most of all.

# %%
lesson.section("3. What the trained net sees")
net = nets["7 x 7, stride 2"]
net.eval()
layers = {"features.1": "layer 1", "features.5": "layer 2", "features.9": "layer 3", "features.13": "layer 5"}
modules = dict(net.named_modules())
inputs = scale(held_out.images, None)


def maps_of(layer, images):
    """What a layer puts out for images, (N, C, H, W)."""
    seen = []
    with modules[layer].register_forward_hook(lambda module, inputs, y: seen.append(y.numpy())), mt.no_grad():
        for start in range(0, len(images), 100):
            net(mt.Tensor(images[start : start + 100]))
    return np.concatenate(seen)


maps = {layer: maps_of(layer, inputs) for layer in layers}
figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained", width_ratios=(1, 2, 2))
axes[0].imshow(held_out.images[0].transpose(1, 2, 0))
axes[0].set_axis_off()
axes[0].set_title(scenes.classes[held_out.labels[0]], fontsize=10)
for axis, layer in zip(axes[1:], ("features.1", "features.13"), strict=True):
    viz.feature_maps(maps[layer][0, :16], columns=4, ax=axis, title=f"{layers[layer]}, 16 of its maps")
lesson.figure(figure, "feature_maps")
zeros = {layers[layer]: float((maps[layer] == 0).mean()) for layer in layers}
print("share of zeros: " + ", ".join(f"{name} {share:.0%}" for name, share in zeros.items()))
lesson.record(share_of_zeros=zeros)

# %% [markdown]
# Now the paper's figure 2. For each layer, four channels are taken, those with the largest value over all test images;
# for each channel, the three images that excite it most. Above is the part of the image that the strongest unit
# sees, and below it the pattern that the deconvnet sends back to that part, middle grey being zero. Where a unit can
# see more than the image, the whole image is shown.
#
# **What a unit sees**, its receptive field, is a square. Let one unit of a layer see $r$ pixels, and let its neighbour
# see the same, $j$ pixels further. A unit of the next layer, with a window of $k$ units that lie $d$ apart, sees from
# the first pixel of its first unit to the last of its last, which is $(k - 1) d$ steps of $j$ further:
#
# $$ r = r_{in} + (k - 1) \, d \, j_{in}, \qquad j = j_{in} \, s, \qquad a = a_{in} - P j_{in}, $$
#
# with $r = j = 1$, $a = 0$ for pixels; $s$ is the stride, and a padding of $P$ units begins $P j_{in}$ pixels earlier.
# The unit in row $p$ sees the $r$ pixels from $a + j p$ on. (Here $d = 1$.)


# %%
def field(windows):
    """Size r, step j and start a of what a unit sees, behind windows of (kernel size, stride, padding)."""
    r, j, a = 1, 1, 0
    for k, s, P in windows:
        r, j, a = r + (k - 1) * j, j * s, a - P * j
    return r, j, a


def window_of(module):
    return tuple(int(np.ravel(size)[0]) for size in (module.kernel_size, module.stride, module.padding))


def windows_up_to(layer):
    found = []
    for name, module in modules.items():
        if isinstance(module, (nn.Conv2d, nn.MaxPool2d)):
            found.append(window_of(module))
        if name == layer:
            return found


def cut(picture, row, column, layer, fill):
    """The part of a picture (C, H, W) that the unit at (row, column) sees; `fill` where it reaches over the edge."""
    r, j, a = field(windows_up_to(layer))
    if r >= picture.shape[2]:
        return picture
    padded = np.pad(picture, ((0, 0), (r, r), (r, r)), constant_values=fill)
    top, left = (r + a + j * p for p in (row, column))
    return padded[:, top : top + r, left : left + r]


def clipped(pattern):
    """The strongest half per cent of the values set to the next, so that a few do not make all else grey."""
    bound = np.quantile(np.abs(pattern), 0.995)
    return np.clip(pattern, -bound, bound)


figure = plt.figure(figsize=(11, 8.6))
rows = figure.add_gridspec(len(layers), 1, hspace=0.18, left=0.07, right=0.99, top=0.97, bottom=0.01)
for slot, (layer, name) in zip(rows, layers.items(), strict=True):
    peaks = maps[layer].max(axis=(2, 3))  # (images, channels)
    channels = peaks.max(axis=0).argsort()[::-1][:4]
    blocks = slot.subgridspec(1, 4, wspace=0.12)
    for block, channel in zip(blocks, channels, strict=True):
        cells = block.subgridspec(2, 3, wspace=0.05, hspace=0.05).subplots()
        for (above, below), number in zip(cells.T, peaks[:, channel].argsort()[::-1][:3], strict=True):
            where = np.unravel_index(maps[layer][number, channel].argmax(), maps[layer].shape[2:])
            patch = cut(held_out.images[number] / 255, *where, layer, 0.5)
            above.imshow(patch.transpose(1, 2, 0))
            pattern = cut(viz.deconvnet(net, inputs[number], layer, int(channel)), *where, layer, 0.0)
            viz.signed(clipped(pattern), ax=below)
            above.set_axis_off()
        cells[0, 1].set_title(f"channel {channel}", fontsize=9)
    box = slot.get_position(figure)
    size = field(windows_up_to(layer))[0]
    label = f"{name}, sees {size} x {size}"
    figure.text(0.03, (box.y0 + box.y1) / 2, label, rotation=90, ha="center", va="center", fontsize=10)
lesson.figure(figure, "deconvnet")

# %% [markdown]
# In the paper the patterns grow from edges and colours in layers 1 and 2 to textures in layer 3 and to parts and whole
# objects in layers 4 and 5. Here, in the default run, layer 1 answers to edges and dark or bright colours; layer 2
# mostly to arcs and corners, whatever their colour; layer 3 mostly to a whole outline, such as that of a heart or of a
# ring. In layer 5 the images of a channel mostly still have a shape in common, but the patterns can hardly be read any
# more.
#
# **A test of the method.** A picture that looks like the image need not tell what the *net* has learned: the switches
# come from the image, and carry its edges back, whatever the weights are. So send the same images back through a net
# with weights as they were before training, each net from its own strongest unit of the channel.

# %%
untrained = small_zfnet("7 x 7, stride 2", 0)
layer = "features.13"
peaks = maps[layer].max(axis=(2, 3))
channels = peaks.max(axis=0).argsort()[::-1][:5]
figure, axes = plt.subplots(3, 5, figsize=(8, 5.2), layout="constrained")
for column, channel in zip(axes.T, channels, strict=True):
    number = int(peaks[:, channel].argmax())
    patterns = [viz.deconvnet(model, inputs[number], layer, int(channel)) for model in (net, untrained)]
    column[0].imshow(held_out.images[number].transpose(1, 2, 0))
    column[0].set_title(f"channel {channel}", fontsize=9)
    for axis, pattern in zip(column[1:], patterns, strict=True):
        viz.signed(clipped(pattern), ax=axis)
for axis, label in zip(axes[:, 0], ("image", "trained", "untrained"), strict=True):
    axis.set_axis_on()
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    axis.set_ylabel(label)
for axis in axes[0, 1:]:
    axis.set_axis_off()
lesson.figure(figure, "trained_and_untrained")

# %% [markdown]
# The untrained net, which knows nothing, draws parts of the object's outline, too. So take for learned only what it
# does not draw.
#
# **Occlusion** is a test that needs no way back. A grey square is moved over the image, and each time the net says
# how probable the true class still is. Where that falls, something was hidden that the net had used, or something was
# drawn that misleads it: a grey square within a disc or a ring is a new shape.

# %%
figure, axes = plt.subplots(1, 4, figsize=(14, 3.2), layout="constrained")
lowest = {}
for axis, number in zip(axes, range(4), strict=True):
    target = int(held_out.labels[number])
    probability = viz.occlusion(net, inputs[number], target, size=16, stride=4)
    name = scenes.classes[target]
    viz.overlay(held_out.images[number], probability, ax=axis, title=f"P({name})", windows=(16, 4))
    lowest[f"{number}: {name}"] = float(probability.min())
lesson.figure(figure, "occlusion")
print("lowest probability while a square of 16 x 16 hides a part: ", end="")
print(", ".join(f"{name} {value:.1e}" for name, value in lowest.items()))
lesson.record(occlusion_lowest=lowest)

# %% [markdown]
# ## 4. What three 3 x 3 windows see
#
# VGG's rules are short. Every convolution is 3 x 3 with stride 1 and padding 1, and keeps the size. Every pooling is
# 2 x 2 with stride 2, and halves it. The channels double after each pooling: 64, 128, 256, 512, and stay at 512. Five
# such stages, then three linear layers with dropout 0.5. There is no normalisation. The nets differ only in how many
# convolutions are in each stage:
#
# | net | in stages 1 to 5 | layers with weights |
# |---|---|---|
# | A, `vgg11` | 1, 1, 2, 2, 2 | 11 |
# | B, `vgg13` | 2, 2, 2, 2, 2 | 13 |
# | D, `vgg16` | 2, 2, 3, 3, 3 | 16 |
# | E, `vgg19` | 2, 2, 4, 4, 4 | 19 |
#
# Note stage 3: three convolutions in VGG-16, four in VGG-19. (C is D with a window of 1 x 1 as the last of stages 3, 4
# and 5.)
#
# **The receptive field.** By the formulas of section 3, three windows of 3 at stride 1 see $1 + 2 + 2 + 2 = 7$ pixels,
# as one window of 7 does.
#
# **Measured.** Put a one on a single unit in the middle of the output and go back: the pixels whose gradient is not
# zero are the field.

# %%
lesson.section("4. What three 3 x 3 windows see")


def stack(sizes, channels, generator, in_channels=None, relu=True, padded=True):
    """Convolutions of these window sizes on one another, each followed by a ReLU."""
    made, before = [], channels if in_channels is None else in_channels
    for k in sizes:
        made.append(nn.Conv2d(before, channels, k, padding=k // 2 if padded else 0, generator=generator))
        made += [nn.ReLU()] if relu else []
        before = channels
    return nn.Sequential(*made)


def extent(values):
    """First and last row with something in it, and their number."""
    rows = np.flatnonzero(values.sum(axis=1))
    return int(rows[0]), int(rows[-1]), int(rows[-1] - rows[0] + 1)


figure, axes = plt.subplots(1, 4, figsize=(11, 3.1), layout="constrained")
for axis, sizes in zip(axes, ((3,), (3, 3), (3, 3, 3), (7,)), strict=True):
    seen = np.zeros((13, 13))
    for seed in range(20):
        small = stack(sizes, 16, mt.Generator(seed), in_channels=1)
        seen += viz.receptive_field(small, str(2 * len(sizes) - 2), (1, 1, 13, 13)) / 20
    counted = models.ledger(small, (1, 1, 13, 13)).rows[-1].receptive_field[0]
    computed, measured = field([(k, 1, k // 2) for k in sizes])[0], extent(seen)[2]
    print(f"windows {sizes}: computed {computed}, by the ledger {counted}, measured {measured}")
    assert computed == counted == measured
    axis.imshow(np.where(seen > 0, seen / seen.max(), np.nan), cmap="viridis", vmin=0, vmax=1)
    axis.set_facecolor("#DDDDDD")
    axis.set(xticks=[], yticks=[])
    axis.set_title(" + ".join(f"{k} x {k}" for k in sizes) + f": sees {measured}", fontsize=10)
lesson.figure(figure, "receptive_field")

# %% [markdown]
# The same for the whole of VGG-16, at a small width (the width does not change what is seen). Its poolings multiply the
# step, so a convolution of each stage adds twice as much as one of the stage before. The stages add 10, 28, 56 and 112
# pixels to the first one's 6: stage 3 has one convolution more than stage 2.

# %%
slim = models.vgg16(10, channels=(4, 8, 8, 8, 8), hidden=8, grid=1, input_size=224, generator=mt.Generator(0))
book = models.ledger(slim, slim.input_shape)
counted = {row.name: row.receptive_field[0] for row in book.rows if row.receptive_field}
windows, fields, stages = [], {}, []
print("layer         r computed   by the ledger   measured   step j   std of the gradient")
figure, axes = plt.subplots(1, 5, figsize=(13, 3.0), layout="constrained")
for name, layer in slim.named_modules():
    if isinstance(layer, (nn.Conv2d, nn.MaxPool2d)):
        windows.append(window_of(layer))
    if isinstance(layer, nn.MaxPool2d):
        axis = axes[len(stages)]
        r, j, a = field(windows)
        seen = viz.receptive_field(slim, name, slim.input_shape, images=4)
        low, _, size = extent(seen)
        profile = seen.sum(axis=1) / seen.sum()
        pixels = np.arange(len(profile))
        spread = np.sqrt((profile * (pixels - (profile * pixels).sum()) ** 2).sum())
        print(f"{name:12}  {r:10}   {counted[name]:13}   {size:8}   {j:6}   {spread:.1f}")
        assert r == counted[name]
        stages.append({"r": r, "measured": size, "step": j, "std": spread})
        axis.imshow(seen / seen.max(), cmap="viridis")
        middle = 224 // j // 2  # the unit that was chosen
        corner = a + j * middle - 0.5
        axis.add_patch(plt.Rectangle((corner, corner), r, r, fill=False, edgecolor="white", linewidth=1.2))
        axis.set(xticks=[], yticks=[])
        axis.set_title(f"stage {len(stages)}: r = {r}", fontsize=10)
lesson.figure(figure, "receptive_field_vgg16")
lesson.record(receptive_field_vgg16=stages)

# %% [markdown]
# The frame is what a unit *can* see, the light what moves it: much less, and most in the middle. Why? A pixel in the
# middle reaches the unit by many paths, one in the corner by one. With independent weights of mean zero, the expected
# *square* of the gradient is spread by each window evenly over its $k$ places, so after $n$ layers it is $n$ boxes
# convolved with each other, of variance
#
# $$ n \, \frac{k^2 - 1}{12} \quad \text{along each axis: } \tfrac{2}{3} n \text{ for } k = 3, $$
#
# and tends to a Gaussian. Its square root, the size of the gradient, is a Gaussian of twice the variance. So the field
# grows with $n$, but what is used of it with $\sqrt{n}$:
#
# $$ r = 1 + 2n, \qquad \text{standard deviation of } |g| \approx \sqrt{\tfrac{4}{3} n}. $$

# %%
size = 2 * max(settings.field_depths) + 17
pixels = np.arange(size) - size // 2
profiles, spreads, used = {}, {}, {}
for n in settings.field_depths:
    total = np.zeros(size)
    for seed in range(settings.field_nets):
        deep = stack((3,) * n, 8, mt.Generator(seed), in_channels=1)
        total += viz.receptive_field(deep, str(2 * n - 2), (1, 1, size, size), images=4).sum(axis=1)
    profiles[n] = total / total.sum()
    spreads[n] = float(np.sqrt((profiles[n] * pixels**2).sum()))
    inside = [profiles[n][np.abs(pixels) <= half].sum() for half in range(size // 2 + 1)]
    used[n] = 2 * int(np.searchsorted(inside, 0.95)) + 1
    print(
        f"{n:2} layers: r = {2 * n + 1:2}, std {spreads[n]:.2f} (predicted {np.sqrt(4 * n / 3):.2f}), "
        f"95 % of the gradient within {used[n]} pixels, {used[n] / (2 * n + 1):.0%} of r"
    )
lesson.record(gradient_std=spreads, gradient_95_percent_width=used)

figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
chosen = [n for n in settings.field_depths if n >= 3]
curves = {}
for n in chosen:
    curves[f"{n} layers"] = (pixels, profiles[n])
viz.curves(curves, ax=axes[0], xlabel="pixels from the middle", ylabel="share of the gradient")
for n in chosen:
    predicted = np.exp(-(pixels**2) / (8 * n / 3))
    axes[0].plot(pixels, predicted / predicted.sum(), color="#666666", linewidth=0.8)
axes[0].set_title("measured, and the predicted Gaussian (thin)", fontsize=10)
depths = np.array(settings.field_depths)
growth = {
    "half of the field, (r - 1) / 2": (depths, depths),
    "measured standard deviation": (depths, np.array([spreads[n] for n in settings.field_depths])),
    r"$\sqrt{4 n / 3}$": (depths, np.sqrt(4 * depths / 3)),
}
viz.curves(growth, ax=axes[1], xlabel="layers n", ylabel="pixels", title="the field, and what is used of it")
lesson.figure(figure, "effective_receptive_field")

# %% [markdown]
# These are nets before training. Training can widen what is used (Luo et al. 2016), and the poolings do: compare the
# column `std` above.
#
# ## 5. Three small windows or one large
#
# Both see 7 x 7. With $C$ channels in and out, weights without biases:
#
# $$ 3 \cdot (3 \cdot 3 \cdot C \cdot C) = 27 C^2, \qquad 7 \cdot 7 \cdot C \cdot C = 49 C^2. $$
#
# Each weight is used once for each pixel of the map, so the multiply-adds are in the same proportion, $27 / 49$. Is
# the time?

# %%
lesson.section("5. Three small windows or one large")
forms = {"three 3 x 3": (3, 3, 3), "one 7 x 7": (7,)}


def seconds_of_a_pass(model, x):
    """Forward and backward, the input's gradient included."""
    began = time.perf_counter()
    ops.sum(model(mt.Tensor(x, requires_grad=True))).backward()
    return time.perf_counter() - began


def timed(pair, x):
    """For each form the median time of a pass."""
    taken = {name: [] for name in pair}
    for _ in range(settings.repeats + 1):  # in turns, so that both meet the same disturbances
        for name, model in pair.items():
            taken[name].append(seconds_of_a_pass(model, x))
    return {name: statistics.median(seconds[1:]) for name, seconds in taken.items()}  # the first prepares its kernels


table = []
for C in settings.stack_channels:
    x = rng.standard_normal((8, C, 16, 16)).astype(np.float32)
    pair = {name: stack(sizes, C, mt.Generator(0)) for name, sizes in forms.items()}
    row = {"C": C}
    for name, model in pair.items():
        book = models.ledger(model, (1, C, 16, 16))
        weights = book.parameters - len(forms[name]) * C
        assert weights == (27 if name == "three 3 x 3" else 49) * C**2
        row[name] = {"weights": weights, "multiply_adds": book.multiply_adds}
    for key, numerics in (("seconds", "default"), ("seconds_strict", "strict")):  # strict: direct convolution alone
        mt.set_numerics(numerics)
        for name, seconds in timed(pair, x).items():
            row[name][key] = seconds
    mt.set_numerics("default")
    three, one = (row[name] for name in forms)
    assert 49 * three["multiply_adds"] == 27 * one["multiply_adds"]
    table.append(row)

print(f"maps of 16 x 16, batches of 8, median of {settings.repeats} runs, forward and backward")
print("          weights          M multiply-adds             ms (default)              ms (direct convolution alone)")
print("   C   3 x 3     7 x 7     3 x 3   7 x 7   ratio     3 x 3   7 x 7   ratio     3 x 3   7 x 7   ratio")
for row in table:
    three, one = (row[name] for name in forms)
    cells = "".join(
        f"   {scale_by * three[key]:7.2f} {scale_by * one[key]:7.2f}   {three[key] / one[key]:.3f}"
        for key, scale_by in (("multiply_adds", 1e-6), ("seconds", 1e3), ("seconds_strict", 1e3))
    )
    print(f"{row['C']:4} {three['weights']:7,} {one['weights']:9,}{cells}")
lesson.record(stacks=table)

# %% [markdown]
# With few channels three passes over the maps eat up much of the saving. With many, the three small windows take even
# less than 27/49 = 0.551 of the time. That is due to Winograd's algorithms for 3 x 3 at stride 1, which need fewer
# multiplications than the ledger counts: without them (the last columns) the ratio of many channels is about the one
# that is counted. Since VGG the whole field has tuned its kernels and its hardware to this one window.
#
# And three non-linearities stand against one. What is that worth? Walk along a straight line from one image of 7 x 7 to
# another, and look at a single output unit. Behind one window and one ReLU it is a straight line with at most one
# corner. Behind three, every unit below it that switches on or off on the way can add a corner.

# %%
steps = np.linspace(0, 1, 4001, dtype=np.float32)[:, None, None, None]
ends = rng.standard_normal((2, 1, 8, 7, 7)).astype(np.float32)
line = (1 - steps) * ends[0] + steps * ends[1]


def walk(sizes, seed):
    """What each ReLU puts out along the line."""
    y, found = line, []
    with mt.no_grad():
        for layer in stack(sizes, 8, mt.Generator(seed), padded=False):
            y = layer(mt.Tensor(y)).numpy()
            if isinstance(layer, nn.ReLU):
                found.append(y)
    return found


outputs = {name: walk(sizes, 0)[-1][:, :, 0, 0] for name, sizes in forms.items()}
unit = int(np.min([y.std(axis=0) for y in outputs.values()], axis=0).argmax())  # one that moves in both
outputs = {name: y[:, unit] / y[:, unit].max() for name, y in outputs.items()}
corners = {name: [] for name in forms}
for name, sizes in forms.items():
    for seed in range(10):
        *below, last = (y > 0 for y in walk(sizes, seed))
        corners[name].append(sum(int((on[1:] != on[:-1]).sum()) for on in (*below, last[:, unit])))
for name, counts in corners.items():
    print(f"{name}: {np.mean(counts):.1f} switches on the way (10 nets: {min(counts)} to {max(counts)})")
lesson.record(switches=corners)

figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
times = {name: (settings.stack_channels, [1e3 * row[name]["seconds"] for row in table]) for name in forms}
viz.curves(times, ax=axes[0], xlabel="channels C", ylabel="ms, forward and backward", log=True)
axes[0].set_xscale("log", base=2)
axes[0].set_xticks(settings.stack_channels, [str(C) for C in settings.stack_channels])
axes[0].set_title("time of both stacks", fontsize=10)
for (name, y), style in zip(outputs.items(), ("-", "--"), strict=True):
    axes[1].plot(steps.ravel(), y, style, label=name)
axes[1].set(xlabel="from one image to the other", ylabel="output, as a share of its largest")
axes[1].set_title("one output unit along a line", fontsize=10)
axes[1].legend(frameon=False)
lesson.figure(figure, "three_or_one")

# %% [markdown]
# ## 6. The gradient of a 3 x 3 convolution
#
# VGG is one operation, thirteen times in VGG-16 and sixteen times in VGG-19. With $x = 0$ outside of the image and
# $i, j = 0, 1, 2$:
#
# $$ y_{n o p q} = b_o + \sum_{c, i, j} w_{o c i j} \, x_{n, c, p + i - 1, q + j - 1}. $$
#
# **The weights.** $w_{ocij}$ enters every $y_{nopq}$, times the pixel that lies under it; the bias enters times one:
#
# $$ dw_{o c i j} = \sum_{n, p, q} dy_{n o p q} \, x_{n, c, p + i - 1, q + j - 1}, \qquad db_o = \sum_{n, p, q}
# dy_{n o p q}. $$
#
# **The input.** The pixel $x_{nchv}$ enters $y_{nopq}$ where $p + i - 1 = h$ and $q + j - 1 = v$:
#
# $$ dx_{n c h v} = \sum_{o, i, j} w_{o c i j} \, dy_{n, o, h - i + 1, v - j + 1} = \sum_{o, i', j'} w_{o, c, 2 - i',
# 2 - j'} \, dy_{n, o, h + i' - 1, v + j' - 1}, $$
#
# with $i' = 2 - i$, $j' = 2 - j$. That has the form of the first line: the way back is a 3 x 3 convolution with
# padding 1 as well, with input and output channels swapped and each filter turned by 180 degrees.


# %%
lesson.section("6. The gradient of a 3 x 3 convolution")


def nine_views(x):
    """x moved to each of the nine places of the window, (3, 3, N, C, H, W)."""
    height, width = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return np.array([[padded[:, :, i : i + height, j : j + width] for j in range(3)] for i in range(3)])


def convolution(x, w, b):
    return np.einsum("ijnchv,ocij->nohv", nine_views(x), w) + b[:, None, None]


def convolution_backward(dy, x, w, b):
    dx = np.einsum("ijnohv,ocij->nchv", nine_views(dy), w[:, :, ::-1, ::-1])
    dw = np.einsum("nohv,ijnchv->ocij", dy, nine_views(x))
    db = dy.sum(axis=(0, 2, 3))
    return dx, dw, db


x, w, b = rng.standard_normal((2, 3, 5, 4)), rng.standard_normal((4, 3, 3, 3)), rng.standard_normal(4)
print(mt.check_gradient(convolution, convolution_backward, {"x": x, "w": w, "b": b}))
print(
    f"ops.conv2d and ours differ by at most {np.abs(ops.conv2d(x, w, b, padding=1) - convolution(x, w, b)).max():.0e}"
)

# %% [markdown]
# The classical mistake is to forget to turn the filter. All shapes fit, and nothing complains. The check finds it:


# %%
def without_the_turn(dy, x, w, b):
    dx = np.einsum("ijnohv,ocij->nchv", nine_views(dy), w)
    _, dw, db = convolution_backward(dy, x, w, b)
    return dx, dw, db


print("Without turning the filter, on purpose:")
report = mt.check_gradient(convolution, without_the_turn, {"x": x, "w": w, "b": b})
print(report)
assert not report["x"].ok and report["w"].ok, "the missing turn must be found, in dx alone"

# %% [markdown]
# Be careful what you test with. A filter that is the same when it is turned, such as all ones, hides the mistake:

# %%
symmetric = w + w[:, :, ::-1, ::-1]
hidden = mt.check_gradient(convolution, without_the_turn, {"x": x, "w": symmetric, "b": b})
print("with filters that turning does not change, the mistake is", "not seen" if hidden else "seen")
assert hidden

# %% [markdown]
# ## 7. The ledger of VGG-16
#
# The whole of it, as published, counted from the built network.

# %%
lesson.section("7. The ledger of VGG-16")
with nn.init.skipped():  # 138 million weights, which are only counted
    whole = models.vgg16()
book = models.ledger(whole, whole.input_shape)
del whole
print(book)
assert book.parameters == 138_357_544
assert f"{book.multiply_adds / 1e9:.3f}" == "15.470"

linear = [row for row in book.rows if row.kind == "Linear"]
share_of_parameters = sum(row.parameters for row in linear) / book.parameters
share_of_work = sum(row.multiply_adds for row in linear) / book.multiply_adds
share_of_memory = sum(row.activation_bytes for row in book.rows[:4]) / book.activation_bytes
print(f"the three linear layers: {share_of_parameters:.1%} of the parameters, {share_of_work:.1%} of the work")
print(f"the first linear layer alone: {linear[0].parameters:,} parameters")
print(f"the two convolutions of stage 1 and their ReLUs: {share_of_memory:.0%} of the memory of activations")
lesson.record(
    vgg16_parameters=book.parameters,
    vgg16_multiply_adds=book.multiply_adds,
    linear_share_of_parameters=share_of_parameters,
    linear_share_of_work=share_of_work,
)
lesson.figure(viz.ledger(book, title="VGG-16, input 3 x 224 x 224"), "ledger_vgg16")

# %% [markdown]
# Parameters, work and memory lie in three different places: in the first linear layer, in the convolutions, and in the
# first stage. GoogLeNet, of the same year, takes a mean over the last maps instead of the first linear layer and needs
# a twentieth of the parameters: the next lesson.

# %% [markdown]
# ## 8. Does a deep one start at all?
#
# VGG has no batch normalisation (2015), so everything hangs on the first weights. The paper draws them from $N(0,
# 0.01^2)$ with biases 0. Net A started; the deeper ones did not. So A was trained first, and its first four
# convolutions and its three linear layers were put into the deeper nets, the layers between them being random. Only
# after the submission did the authors note that Glorot and Bengio's rule (2010) does without.
#
# (Its words are "zero mean and $10^{-2}$ variance", which would be $\sigma = 0.1$. We read them as the deviation, as in
# AlexNet's paper: the numbers below show what 0.1 would have done.)
#
# **How a signal fades.** A unit sums $f = 9 C$ products of a weight with variance $\sigma^2$ and an input: the variance
# of the sum is $f \sigma^2 E[x^2]$. A ReLU keeps half of the mean square. So each layer multiplies the signal's root
# mean square by
#
# $$ g = \sigma \sqrt{f / 2}, $$
#
# and by the same reason the gradient on its way back, with the outputs of a layer in place of its inputs. $L$ layers
# multiply by the product of their $g$. He's rule sets $g = 1$, $\sigma^2 = 2 / f$. Glorot's, $\sigma^2 = 2 / (f_{in} +
# f_{out})$, was derived without the ReLU: with as many outputs as inputs $g = 1 / \sqrt 2$. And for a fixed $\sigma$ it
# depends on the width.

# %%
lesson.section("8. Does a deep one start at all?")
builders = {"A": models.vgg11, "B": models.vgg13, "D": models.vgg16, "E": models.vgg19}


def weighted(net):
    return [layer for layer in net.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]


def fans(build, *classes, **plan):
    """For each layer the number f of inputs of one output."""
    with nn.init.skipped():  # only counted
        return np.array([layer.weight.size // layer.weight.shape[0] for layer in weighted(build(*classes, **plan))])


small_plan = {
    "in_channels": 3 if settings.images == "cifar10" else 1,
    "channels": settings.channels,
    "hidden": settings.hidden,
    "grid": 1,
    "input_size": 32,
}
paper_fans = {build: fans(build) for build in builders.values()}
for title, found in (("the paper's E", paper_fans[models.vgg19]), ("ours", fans(models.vgg19, 10, **small_plan))):
    g = 0.01 * np.sqrt(found / 2)
    print(f"sigma = 0.01, g in {title}: convolutions {' '.join(f'{v:.2f}' for v in g[:-3])},")
    print(
        f"    linear layers {' '.join(f'{v:.2f}' for v in g[-3:])}; "
        f"product {g.prod():.0e} (sigma = 0.1: {(10 * g).prod():.0e})"
    )

# %% [markdown]
# So at our width $N(0, 0.01^2)$ is a harder start than the paper's, in the linear layers too. To be fair we also try it
# as strong as it was in the paper: each layer is drawn with $\sigma = 0.01 \sqrt{f_{paper} / f}$, which gives it the
# $g$ of the same layer of the paper's net. (The inputs stay ours, standardised; the paper's were pixels of 0 .. 255
# whose mean was subtracted.) Five starts, then, for A and for E: these two; Glorot's, which is the package's default;
# the one with which the weights that are published today were trained (He's for the convolutions, counting outputs, but
# $N(0, 0.01^2)$ for the linear layers); and He's for every layer.
#
# The data are real digits (MNIST; 4,000 to learn from, 1,000 to test on), with a border of two pixels, since five
# poolings need 32 x 32. With `--full` they are the photographs of CIFAR-10.

# %%
if settings.images == "cifar10":
    train, test = data.cifar10("train"), data.cifar10("test")
    augment = [data.RandomCrop(32, padding=4), data.RandomHorizontalFlip()]
else:
    train, test = (
        data.Dataset(np.pad(part.images, ((0, 0), (0, 0), (2, 2), (2, 2))), part.labels, part.classes)
        for part in (data.mnist5k("train"), data.mnist5k("test"))
    )
    augment = []
train = data.Dataset(train.images[: settings.few], train.labels[: settings.few], train.classes)
normalize = data.Normalize.fit(train.images)
evaluated = {
    part: data.DataLoader(images, 500, transform=normalize) for part, images in (("train", train), ("test", test))
}


def as_published(weight, paper_fan, generator):
    if weight.ndim == 4:
        return nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu", generator=generator)
    return nn.init.normal_(weight, 0.0, 0.01, generator=generator)


def of_paper_strength(weight, paper_fan, generator):
    fan = weight.size // weight.shape[0]
    return nn.init.normal_(weight, 0.0, 0.01 * np.sqrt(paper_fan / fan), generator=generator)


starts = {
    "N(0, 0.01²)": lambda weight, fan, generator: nn.init.normal_(weight, 0.0, 0.01, generator=generator),
    "strength of the paper": of_paper_strength,
    "Glorot": lambda weight, fan, generator: nn.init.xavier_uniform_(weight, generator=generator),
    "published weights": as_published,
    "He": lambda weight, fan, generator: nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator),
}


def small_vgg(build, seed, start="He"):
    generator = mt.Generator(seed)
    with nn.init.skipped():  # the weights are drawn below
        net = build(10, **small_plan, dropout=settings.dropout, generator=generator)
    for layer, fan in zip(weighted(net), paper_fans[build], strict=True):
        starts[start](layer.weight, fan, generator)
    return net.to(settings.device)


def convolutions(net):
    return [layer for layer in net.features if isinstance(layer, nn.Conv2d)]


def scales(net):
    """Root mean square of each convolution's output, and of its weights' gradient, for the same 100 images."""
    seen = []
    handles = [
        layer.register_forward_hook(lambda module, inputs, y: seen.append(float(ops.mean(y * y).item()) ** 0.5))
        for layer in convolutions(net)
    ]
    net.eval()
    images, labels = train[np.arange(100)]
    logits = net(mt.Tensor(normalize(images, None), device=settings.device))
    ops.cross_entropy(logits, mt.Tensor(labels, device=settings.device).data).backward()
    for handle in handles:
        handle.remove()
    gradients = [float(ops.mean(layer.weight.grad * layer.weight.grad).item()) ** 0.5 for layer in convolutions(net)]
    net.zero_grad()
    net.train()
    return seen, gradients


figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
kept = {start: scales(small_vgg(models.vgg19, 0, start)) for start in starts}
places = np.arange(1, 17)
for axis, which, label in zip(
    axes, (0, 1), ("output, root mean square", "gradient of the weights, root mean square"), strict=True
):
    series = {start: (places, np.array(values[which])) for start, values in kept.items()}
    viz.curves(series, ax=axis, xlabel="convolution", ylabel=label, log=True)
    axis.set_xticks(places[::3])
axes[0].set_title("E before training: forward", fontsize=10)
axes[1].set_title("E before training: backward", fontsize=10)
axes[1].get_legend().remove()
lesson.figure(figure, "scales")
for start, (outputs_rms, gradients_rms) in kept.items():
    print(
        f"E, {start}: output of the last convolution {outputs_rms[-1]:.1e}, "
        f"gradient of the first {gradients_rms[0]:.1e}, of the last {gradients_rms[-1]:.1e}, "
        f"largest over smallest {max(gradients_rms) / min(gradients_rms):.1f}"
    )
lesson.record(last_output={start: v[0][-1] for start, v in kept.items()})
lesson.record(first_gradient={start: v[1][0] for start, v in kept.items()})

# %% [markdown]
# Even He's line falls in the last stage. Its rule counts nine inputs for each output and channel; but on a map of 2 x
# 2 each window of 3 x 3 hangs over the edge, and five of its nine places are padding. The share of places inside a
# map of $H$ x $H$ is $((3H - 2) / 3H)^2$: nearly all at 32, but $4/9$ at 2.
#
# The gradients of a net lie on nearly level lines. In the default run the largest is 4 to 35 times the smallest, where
# the weakest signal falls by fourteen powers of ten in the left panel. Why is worth a thought: the gradient of one
# layer's weights is the signal that comes to it times the gradient that comes back to it. Together these have passed
# every layer but itself. So in a net that fades, no layer learns, neither the last nor the first.
#
# **Do they train?** The recipe is the paper's: stochastic gradient descent with momentum 0.9, weight decay 0.0005 and a
# rate of 0.01. Batches are of 50 here instead of 256.


# %%
def train_vgg(net, seed, epochs, fall=True):
    """The paper's recipe; with `fall` the rate is divided by 10 three times."""
    optimizer = optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    drops = sorted({round(share * epochs) for share in (0.5, 0.75, 0.9)} - {0})
    trainer = Trainer(
        net,
        optimizer,
        train_loader=data.DataLoader(
            train,
            settings.batch,
            shuffle=True,
            generator=mt.Generator(seed),
            transform=data.Compose([*augment, normalize]),
        ),
        test_loader=evaluated["test"],
        schedule=optim.MultiStepLR(optimizer, drops, gamma=0.1) if fall else None,
        progress=settings.device != "cpu",
    )
    history = trainer.fit(epochs)
    return history, {part: 1 - trainer.evaluate(loader)["top1"] for part, loader in evaluated.items()}


begun, trained_a = {}, None
for start in starts:
    for name in ("A", "E"):
        net = small_vgg(builders[name], 0, start)
        history, errors = train_vgg(net, 0, settings.start_epochs, fall=False)
        begun[f"{name}, {start}"] = history["loss"]
        print(
            f"{name}, {start}: training loss {' '.join(f'{v:.3f}' for v in history['loss'])}, "
            f"test error {errors['test']:.1%}"
        )
        if (name, start) == ("A", "He"):
            trained_a = net

# %% [markdown]
# ln 10 = 2.303 is the loss of a guess: a net that stays there has not started.
#
# **The paper's way out.** Net E from the trained A, the other layers as strong as the paper drew them, and for
# comparison with He's start in them. Mind that these nets have had A's epochs in addition to their own. One thing has
# to be decided, since the shapes of A's first four convolutions are not those of E's first four: each goes to the first
# layer of E that has its shape.

# %%
for fill in ("strength of the paper", "He"):
    for seed in range(2):
        net = small_vgg(models.vgg19, seed, fill)
        own = convolutions(net)
        for source in convolutions(trained_a)[:4]:
            place = next(i for i, layer in enumerate(own) if layer.weight.shape == source.weight.shape)
            own[place].load_state_dict(source.state_dict())
            own = own[place + 1 :]
        net.classifier.load_state_dict(trained_a.classifier.state_dict())
        outputs_rms, _ = scales(net)
        history, errors = train_vgg(net, seed, settings.start_epochs, fall=False)
        begun[f"E from A and {fill}, seed {seed}"] = history["loss"]
        shown = " ".join(f"{v:.3f}" for v in history["loss"])
        print(
            f"E from A and {fill}, seed {seed}: output of the last convolution {outputs_rms[-1]:.0e}, "
            f"training loss {shown}, test error {errors['test']:.1%}"
        )
lesson.record(loss_by_start=begun)

figure, axis = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
labels = list(begun)
colors = ["#0072B2" if label.startswith("A") else "#E69F00" if "from" in label else "#D55E00" for label in labels]
bars = [values[-1] for values in begun.values()]
axis.barh(range(len(labels)), bars, color=colors)
axis.axvline(np.log(10), color="#666666", linewidth=1, linestyle="--")
axis.text(np.log(10), -0.75, "a guess ", ha="right", va="bottom", fontsize=8, color="#666666")
for place, value in enumerate(bars):
    axis.text(value + 0.02, place, f"{value:.2f}", va="center", fontsize=8)
axis.set_yticks(range(len(labels)), labels, fontsize=9)
axis.set(xlabel=f"training loss of epoch {settings.start_epochs}, nats", xlim=(0, 2.75))
axis.invert_yaxis()
axis.spines[["top", "right"]].set_visible(False)
lesson.figure(figure, "starts")

# %% [markdown]
# **What came out.** In the default run He's start, of 2015, is the only one with which A and E both leave the guess in
# the three epochs. Glorot's starts A but not yet E: a factor of $1 / \sqrt 2$ a layer is little in eleven layers and
# much in nineteen. The two normal starts and that of the published weights start neither: the last still puts out 0.05
# behind its convolutions, but each linear layer multiplies that by 0.06 to 0.08, being far narrower than those for
# which 0.01 was meant.
#
# The paper's story does not show at this size. At its strength not even A starts, which in the paper did. With that
# strength in the layers between, E stays at the guess even with A's layers around them: they make the signal stronger,
# but it still fades. Filled with He's start E trains; so it does without A's layers, and two seeds, which have had A's
# epochs in addition, cannot tell whether these help. The paper trained for 370,000 steps, with pixels in 0 .. 255 whose
# mean alone was subtracted; ours have a few hundred steps. All this is one seed a start (two for E from A) on one set
# of data.
#
# ## 9. Depth, A to E
#
# The paper's claim is that depth alone helps. On ImageNet, with images at one scale (256), the top-5 error was 10.4 %
# for A, 9.9 % for B, 8.8 % for D and 9.0 % for E (table 3). So between 16 and 19 layers it had stopped helping there,
# too.
#
# Ours: the same digits, the same number of epochs, the same recipe with the rate divided by 10 three times, He's start,
# and several seeds each. A seed sets weights, order of the images and dropout. Errors are those of the trained net
# without dropout, on all images that it learned from and on the 1,000 that it did not.

# %%
lesson.section("9. Depth, A to E")
depth = {name: {"train": [], "test": [], "loss": []} for name in builders}
for seed in range(settings.depth_seeds):
    for name, build in builders.items():
        net = small_vgg(build, seed)
        history, errors = train_vgg(net, seed, settings.depth_epochs)
        for part in ("train", "test"):
            depth[name][part].append(errors[part])
        depth[name]["loss"].append(history["loss"])
        print(
            f"net {name}, seed {seed}: training error {errors['train']:.2%}, test error {errors['test']:.2%}",
            flush=True,
        )
        depth[name]["parameters"] = sum(p.size for p in net.parameters())

published_top5 = {"A": 10.4, "B": 9.9, "D": 8.8, "E": 9.0}
print(f"\n{settings.depth_seeds} seeds: mean (smallest to largest)")
print("net   parameters     training error             test error                 the paper's top-5 error, ImageNet")
for name, found in depth.items():
    shown = [f"{np.mean(found[k]):6.2%} ({min(found[k]):.2%} to {max(found[k]):.2%})" for k in ("train", "test")]
    print(f"{name:3}   {found['parameters']:10,}     {shown[0]:25}  {shown[1]:25}  {published_top5[name]} %")
lesson.record(depth=depth)

figure, axes = plt.subplots(1, 2, figsize=(10.5, 3.8), layout="constrained")
losses = {f"net {name}": np.mean(found["loss"], axis=0) for name, found in depth.items()}
viz.curves(losses, ax=axes[0], ylabel="training loss, nats", log=True, title="mean over the seeds")
for offset, (part, color, marker) in enumerate((("train", "#0072B2", "o"), ("test", "#D55E00", "s"))):
    for place, found in enumerate(depth.values()):
        at = place + 0.2 * offset - 0.1
        axes[1].plot([at] * len(found[part]), found[part], marker, color=color, markersize=5, alpha=0.6)
        axes[1].plot([at - 0.08, at + 0.08], [np.mean(found[part])] * 2, color=color, linewidth=2)
    axes[1].plot([], [], marker, color=color, label=part)
axes[1].set_xticks(range(4), [f"{name}\n{n} layers" for name, n in zip(depth, (11, 13, 16, 19), strict=True)])
axes[1].yaxis.set_major_formatter(plt.matplotlib.ticker.PercentFormatter(1.0))
axes[1].set_ylim(0, 1.15 * max(max(found["train"] + found["test"]) for found in depth.values()))
axes[1].set(ylabel="error", title="each seed a point, the mean a bar")
axes[1].grid(True, axis="y", linewidth=0.4, color="#CCCCCC")
axes[1].spines[["top", "right"]].set_visible(False)
axes[1].legend(frameon=False)
lesson.figure(figure, "depth")

# %%
lesson.finish()

# %% [markdown]
# ## What was measured, and what to try next
#
# `results.json` holds the numbers of your run. What agrees to the last digit: the parameters and the work of ZFNet and
# VGG-16, the receptive fields by formula, by ledger and by gradient, 27 against 49, the deconvnet by hand.
#
# **Depth.** At this size the paper's gain from A to E does not show: read the table above with its spread. Nor is
# overfitting the reason, for the error on the images that the nets *learned from* does not fall with depth either. A
# digit of 28 x 28 hardly needs nineteen layers. In the default run the shallowest net has the lowest training error,
# and those of B, D and E overlap in their ranges. That more layers can raise the training error is what the ResNet
# paper called degradation.
#
# **Common errors** where the story is told: ILSVRC 2013 was won by Clarifai (11.7 %), the ZFNet paper has 14.8 %.
# Stages 3, 4 and 5 have three convolutions in VGG-16, and four in VGG-19. And the paper's deep nets started from the
# trained net A; that Glorot's rule does without was remarked after the submission.
#
# 1. The paper also replaced each pair of 3 x 3 in B by one 5 x 5 and lost 7 % top-1. Write that net with
#    `nn.Sequential`, count it, and train it beside B.
# 2. Put batch normalisation behind every convolution (`models.vgg19_bn`) and draw its weights from $N(0, 0.01^2)$. Why
#    does the strength of the start no longer matter?
# 3. Shrink VGG-16's first linear layer by a mean over the last maps (`grid=1`). How many parameters are left?
# 4. Use guided backpropagation, `viz.saliency`, for the test of section 3. Is it fooled more, or less?
# 5. Derive the receptive field of a 3 x 3 window with dilation 2 behind a pooling, and check it as in section 4.
# 6. Measure the receptive field of a *trained* net A, E. Has what is used of it grown?
# 7. Train with `--full`: CIFAR-10, the paper's widths, 74 epochs. Does depth help now?
#
# Next: `03_inception`, windows of several sizes side by side.
