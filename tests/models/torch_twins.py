"""The same nets in PyTorch, written down as the papers say, with the same names: `torch_twin("resnet20")`.

A twin takes the settings of ours that it knows, so that narrow nets can be compared too; weights go over by
`load_state_dict`. Dropout is off, unless it is asked for. Tests and benchmarks import this file.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F


def torch_twin(name, **settings):
    """The twin of `models.NAMES[name](**settings)`."""
    return TWINS[name](**settings)


# ---- AlexNet and VGG


class Features(nn.Module):
    def __init__(self, features, grid, classifier):
        super().__init__()
        self.features, self.avgpool = nn.Sequential(*features), nn.AdaptiveAvgPool2d(grid)
        self.classifier = nn.Sequential(*classifier)

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def dense(inputs, hidden, num_classes, dropout):
    return [
        *(nn.Dropout(dropout), nn.Linear(inputs, hidden), nn.ReLU()),
        *(nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.ReLU()),
        nn.Linear(hidden, num_classes),
    ]


def alexnet(
    num_classes=1000,
    channels=(64, 192, 384, 256, 256),
    groups=(1, 1, 1, 1, 1),
    first=(11, 4, 2),
    normalize=False,
    hidden=4096,
    grid=6,
    dropout=0.0,
):
    a, b, c, d, e = channels
    lrn = [nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)] * normalize
    features = [
        *(nn.Conv2d(3, a, *first, groups=groups[0]), nn.ReLU(), *lrn, nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(a, b, 5, padding=2, groups=groups[1]), nn.ReLU(), *lrn, nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(b, c, 3, padding=1, groups=groups[2]), nn.ReLU()),
        *(nn.Conv2d(c, d, 3, padding=1, groups=groups[3]), nn.ReLU()),
        *(nn.Conv2d(d, e, 3, padding=1, groups=groups[4]), nn.ReLU(), nn.MaxPool2d(3, 2)),
    ]
    return Features(features, grid, dense(e * grid * grid, hidden, num_classes, dropout))


def zfnet(
    num_classes=1000,
    channels=(96, 256, 384, 384, 256),
    first=(7, 2, 1),
    second=(5, 2, 0),
    hidden=4096,
    grid=6,
    dropout=0.0,
    normalize=True,
):
    a, b, c, d, e = channels
    lrn = [nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)] * normalize
    features = [
        *(nn.Conv2d(3, a, *first), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), *lrn),
        *(nn.Conv2d(a, b, *second), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), *lrn),
        *(nn.Conv2d(b, c, 3, padding=1), nn.ReLU(), nn.Conv2d(c, d, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(d, e, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
    ]
    return Features(features, grid, dense(e * grid * grid, hidden, num_classes, dropout))


def vgg(configuration, normalize=False):
    """`configuration`: the stage of each convolution, M for a pooling."""

    def make(num_classes=1000, channels=(64, 128, 256, 512, 512), hidden=4096, grid=7, dropout=0.0):
        features, before = [], 3
        for letter in configuration:
            if letter == "M":
                features.append(nn.MaxPool2d(2, 2))
            else:
                after = channels[int(letter)]
                norm = [nn.BatchNorm2d(after)] * normalize
                features += [nn.Conv2d(before, after, 3, padding=1), *norm, nn.ReLU()]
                before = after
        classifier = [
            *(nn.Linear(before * grid * grid, hidden), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout)),
            nn.Linear(hidden, num_classes),
        ]
        return Features(features, grid, classifier)

    return make


# ---- GoogLeNet


class BasicConv2d(nn.Module):
    def __init__(self, before, after, size, stride=1, padding=0, paper=False):
        super().__init__()
        self.conv = nn.Conv2d(before, after, size, stride, padding, bias=paper)
        if not paper:
            self.bn = nn.BatchNorm2d(after, eps=0.001)

    def forward(self, x):
        x = self.conv(x)
        return F.relu(self.bn(x) if hasattr(self, "bn") else x)


class Inception(nn.Module):
    def __init__(self, before, c1, r3, c3, r5, c5, pool, paper):
        super().__init__()
        size = 5 if paper else 3
        self.branch1 = BasicConv2d(before, c1, 1, paper=paper)
        self.branch2 = nn.Sequential(
            BasicConv2d(before, r3, 1, paper=paper), BasicConv2d(r3, c3, 3, padding=1, paper=paper)
        )
        self.branch3 = nn.Sequential(
            BasicConv2d(before, r5, 1, paper=paper), BasicConv2d(r5, c5, size, padding=size // 2, paper=paper)
        )
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), BasicConv2d(before, pool, 1, paper=paper))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Aux(nn.Module):
    def __init__(self, before, channels, hidden, num_classes, paper, dropout):
        super().__init__()
        self.paper, self.dropout = paper, dropout
        self.conv = BasicConv2d(before, channels, 1, paper=paper)
        self.fc1 = nn.Linear(channels * 4 * 4, hidden)
        self.fc2 = nn.Linear(hidden, num_classes)

    def forward(self, x):
        x = F.avg_pool2d(x, 5, 3) if self.paper else F.adaptive_avg_pool2d(x, (4, 4))
        x = F.relu(self.fc1(torch.flatten(self.conv(x), 1)))
        return self.fc2(F.dropout(x, self.dropout, self.training))


class GoogLeNet(nn.Module):
    def __init__(self, num_classes=1000, aux=False, width=1.0, paper=False, dropout=0.0, aux_dropout=0.0):
        super().__init__()

        def w(*channels):
            return [max(1, round(c * width)) for c in channels]

        def inception(before, *row):
            return Inception(*w(before, *row), paper=paper)

        self.paper, self.dropout = paper, dropout
        self.conv1 = BasicConv2d(3, *w(64), 7, 2, 3, paper=paper)
        self.conv2 = BasicConv2d(*w(64, 64), 1, paper=paper)
        self.conv3 = BasicConv2d(*w(64, 192), 3, padding=1, paper=paper)
        self.inception3a = inception(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = inception(256, 128, 128, 192, 32, 96, 64)
        self.inception4a = inception(480, 192, 96, 208, 16, 48, 64)
        self.inception4b = inception(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = inception(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = inception(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = inception(528, 256, 160, 320, 32, 128, 128)
        self.inception5a = inception(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = inception(832, 384, 192, 384, 48, 128, 128)
        if aux:
            self.aux1 = Aux(*w(512, 128, 1024), num_classes, paper, aux_dropout)
            self.aux2 = Aux(*w(528, 128, 1024), num_classes, paper, aux_dropout)
        self.fc = nn.Linear(*w(1024), num_classes)

    def forward(self, x):
        def pool(x, size=3):
            return F.max_pool2d(x, size, 2, ceil_mode=True)

        def lrn(x):
            return F.local_response_norm(x, 5, 1e-4, 0.75, 1.0) if self.paper else x

        x = lrn(pool(self.conv1(x)))
        x = pool(lrn(self.conv3(self.conv2(x))))
        x = pool(self.inception3b(self.inception3a(x)))
        a = self.inception4a(x)
        d = self.inception4d(self.inception4c(self.inception4b(a)))
        x = pool(self.inception4e(d), 3 if self.paper else 2)
        x = self.inception5b(self.inception5a(x)).mean((2, 3))
        logits = self.fc(F.dropout(x, self.dropout, self.training))
        return (logits, self.aux2(d), self.aux1(a)) if self.training and hasattr(self, "aux1") else logits


def googlenet_paper(**settings):
    return GoogLeNet(paper=True, **settings)


# ---- ResNet


class Padded(nn.Module):
    """Shortcut A."""

    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def forward(self, x):
        x = x[:, :, ::2, ::2]
        return torch.cat([x, x.new_zeros(len(x), self.channels - x.shape[1], *x.shape[2:])], 1)


def downsample(before, after, stride, shortcut):
    if shortcut is None or (stride == 1 and before == after):
        return None
    if shortcut == "A":
        return Padded(after)
    return nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))


class Basic(nn.Module):
    expansion = 1

    def __init__(self, before, channels, stride, shortcut):
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.residual, self.downsample = shortcut is not None, downsample(before, channels, stride, shortcut)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.residual:
            y = y + (x if self.downsample is None else self.downsample(x))
        return F.relu(y)


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, before, channels, stride, shortcut, paper=False):
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 1, stride if paper else 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1 if paper else stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        self.downsample = downsample(before, 4 * channels, stride, shortcut)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


class PaperBottleneck(Bottleneck):
    def __init__(self, before, channels, stride, shortcut):
        super().__init__(before, channels, stride, shortcut, paper=True)


class ResNet(nn.Module):
    def __init__(self, block, depths, num_classes, width, shortcut, stem):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False) if stem else nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.stem, self.stages, before = stem, len(depths), width
        for i, depth in enumerate(depths):
            blocks = []
            for j in range(depth):
                blocks.append(block(before, width * 2**i, 2 if i > 0 and j == 0 else 1, shortcut))
                before = width * 2**i * block.expansion
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(before, num_classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool2d(x, 3, 2, 1) if self.stem else x
        for i in range(self.stages):
            x = self.get_submodule(f"layer{i + 1}")(x)
        return self.fc(x.mean((2, 3)))


def resnet(block, *depths):
    return lambda num_classes=1000, width=64, shortcut="B": ResNet(block, depths, num_classes, width, shortcut, True)


def cifar_resnet(n):
    return lambda num_classes=10, width=16, shortcut="A": ResNet(Basic, (n, n, n), num_classes, width, shortcut, False)


# ---- the diffusion U-Net


class Block(nn.Module):
    def __init__(self, before, after, time, groups, dropout):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(groups, before, 1e-6), nn.Conv2d(before, after, 3, padding=1)
        self.temb_proj = nn.Linear(time, after)
        self.norm2, self.conv2 = nn.GroupNorm(groups, after, 1e-6), nn.Conv2d(after, after, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        if before != after:
            self.nin_shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x, temb):
        h = self.conv1(F.silu(self.norm1(x))) + self.temb_proj(F.silu(temb))[:, :, None, None]
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class Attention(nn.Module):
    def __init__(self, channels, groups):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, 1e-6)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (layer(h).flatten(2) for layer in (self.q, self.k, self.v))  # N, C, H W
        weights = torch.softmax(torch.einsum("nci,ncj->nij", q, k) / math.sqrt(x.shape[1]), 2)
        return x + self.proj_out(torch.einsum("nij,ncj->nci", weights, v).reshape(x.shape))


class Unet(nn.Module):
    def __init__(
        self,
        channels=128,
        multipliers=(1, 2, 2, 2),
        blocks=2,
        attention_sizes=(16,),
        in_channels=3,
        groups=32,
        dropout=0.0,
        num_classes=None,
        input_size=32,
    ):
        super().__init__()
        self.channels, time, last = channels, 4 * channels, len(multipliers) - 1

        def holder(**modules):
            module = nn.Module()
            for name, child in modules.items():
                module.add_module(name, child)
            return module

        def level(befores, after, i):
            attends = input_size // 2**i in attention_sizes
            block = nn.ModuleList(Block(before, after, time, groups, dropout) for before in befores)
            return holder(block=block, attn=nn.ModuleList(Attention(after, groups) for _ in befores if attends))

        self.temb = holder(dense=nn.ModuleList([nn.Linear(channels, time), nn.Linear(time, time)]))
        if num_classes is not None:
            self.label = nn.Embedding(num_classes + 1, time)
        self.conv_in = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.down = nn.ModuleList()
        widths = [channels * m for m in multipliers]
        for i, width in enumerate(widths):
            before = widths[i - 1] if i else channels
            self.down.append(level([before] + [width] * (blocks - 1), width, i))
            if i < last:
                self.down[i].downsample = holder(conv=nn.Conv2d(width, width, 3, 2))
        self.mid = holder(
            block_1=Block(widths[-1], widths[-1], time, groups, dropout),
            attn_1=Attention(widths[-1], groups),
            block_2=Block(widths[-1], widths[-1], time, groups, dropout),
        )
        self.up = nn.ModuleList()
        for i, width in enumerate(widths):
            below, above = widths[min(i + 1, last)], widths[i - 1] if i else channels
            # The last block of a level meets what came before the level's first block on the way down.
            befores = [below] + [width] * blocks
            kept = [width] * blocks + [above]
            self.up.append(level([a + b for a, b in zip(befores, kept, strict=True)], width, i))
            if i:
                self.up[i].upsample = holder(conv=nn.Conv2d(width, width, 3, padding=1))
        self.norm_out = nn.GroupNorm(groups, widths[0], 1e-6)
        self.conv_out = nn.Conv2d(widths[0], in_channels, 3, padding=1)

    def forward(self, x, t, label=None):
        half = self.channels // 2
        frequencies = torch.exp(-math.log(10000) / (half - 1) * torch.arange(half, dtype=torch.float64)).to(x)
        angles = t.to(x.dtype)[:, None] * frequencies[None]
        temb = torch.cat([torch.sin(angles), torch.cos(angles)], 1)
        temb = self.temb.dense[1](F.silu(self.temb.dense[0](temb)))
        if hasattr(self, "label"):
            temb = temb + self.label(torch.full_like(t, self.label.num_embeddings - 1) if label is None else label)

        kept = [self.conv_in(x)]
        for level in self.down:
            for i, block in enumerate(level.block):
                h = block(kept[-1], temb)
                kept.append(level.attn[i](h) if len(level.attn) else h)
            if hasattr(level, "downsample"):
                kept.append(level.downsample.conv(F.pad(kept[-1], (0, 1, 0, 1))))
        h = self.mid.block_2(self.mid.attn_1(self.mid.block_1(kept[-1], temb)), temb)
        for level in reversed(self.up):
            for i, block in enumerate(level.block):
                h = block(torch.cat([h, kept.pop()], 1), temb)
                h = level.attn[i](h) if len(level.attn) else h
            if hasattr(level, "upsample"):
                h = level.upsample.conv(F.interpolate(h, scale_factor=2))
        return self.conv_out(F.silu(self.norm_out(h)))


def ddpm_unet_small(**settings):
    return Unet(**{"channels": 32, "multipliers": (1, 2, 2), "blocks": 1, "groups": 8, **settings})


# ---- DCGAN and the autoencoders


class DCGANGenerator(nn.Module):
    def __init__(self, latent=100, channels=3, width=64, image_size=32):
        super().__init__()
        after = width * 4 if image_size == 28 else width * image_size // 8
        layers = [nn.ConvTranspose2d(latent, after, 4, 1, 0, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        if image_size == 28:
            layers += [nn.ConvTranspose2d(after, after // 2, 3, 2, 1, bias=False), nn.BatchNorm2d(after // 2)]
            layers, after = [*layers, nn.ReLU()], after // 2
        while after > width:
            layers += [nn.ConvTranspose2d(after, after // 2, 4, 2, 1, bias=False), nn.BatchNorm2d(after // 2)]
            layers.append(nn.ReLU())
            after //= 2
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z):
        return self.main(z.reshape(*z.shape[:2], 1, 1))


class DCGANDiscriminator(nn.Module):
    def __init__(self, channels=3, width=64, image_size=32):
        super().__init__()
        layers, size = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)], image_size // 2
        while size > 4:
            layers += [nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2)]
            size, width = size // 2, 2 * width
            if size == 7:
                layers += [nn.Conv2d(width, 2 * width, 3, 2, 1, bias=False), nn.BatchNorm2d(2 * width)]
                layers, size, width = [*layers, nn.LeakyReLU(0.2)], 4, 2 * width
        self.main = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, bias=False))

    def forward(self, x):
        return self.main(x).flatten()


class VAE(nn.Module):
    """Its eps may be given, as another generator would draw another one."""

    def __init__(self, pixels=784, hidden=400, latent=20):
        super().__init__()
        self.fc1 = nn.Linear(pixels, hidden)
        self.fc21, self.fc22 = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.fc3, self.fc4 = nn.Linear(latent, hidden), nn.Linear(hidden, pixels)

    def forward(self, x, eps=None):
        hidden = F.relu(self.fc1(x.flatten(1)))
        mean, log_variance = self.fc21(hidden), self.fc22(hidden)
        z = mean + torch.exp(0.5 * log_variance) * (torch.randn_like(mean) if eps is None else eps)
        return self.fc4(F.relu(self.fc3(z))).reshape(x.shape), mean, log_variance


class Autoencoder(nn.Module):
    def __init__(self, pixels=784, hidden=256, latent=64):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, pixels))

    def forward(self, x):
        return self.decoder(self.encoder(x.flatten(1))).reshape(x.shape)


def convolutions(channels, width):
    return [
        *(nn.Conv2d(channels, width, 4, 2, 1), nn.ReLU()),
        *(nn.Conv2d(width, 2 * width, 4, 2, 1), nn.ReLU(), nn.Flatten()),
    ]


def transposed_convolutions(latent, channels, width, quarter):
    return nn.Sequential(
        *(nn.Linear(latent, 2 * width * quarter**2), nn.ReLU(), nn.Unflatten(1, (2 * width, quarter, quarter))),
        *(nn.ConvTranspose2d(2 * width, width, 4, 2, 1), nn.ReLU()),
        nn.ConvTranspose2d(width, channels, 4, 2, 1),
    )


class ConvVAE(nn.Module):
    """Its eps may be given, as another generator would draw another one."""

    def __init__(self, latent=20, width=32, channels=1, image_size=28):
        super().__init__()
        flat = 2 * width * (image_size // 4) ** 2
        self.encoder = nn.Sequential(*convolutions(channels, width))
        self.mean, self.log_variance = nn.Linear(flat, latent), nn.Linear(flat, latent)
        self.decoder = transposed_convolutions(latent, channels, width, image_size // 4)

    def forward(self, x, eps=None):
        hidden = self.encoder(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        z = mean + torch.exp(0.5 * log_variance) * (torch.randn_like(mean) if eps is None else eps)
        return self.decoder(z), mean, log_variance


class ConvAutoencoder(nn.Module):
    def __init__(self, latent=64, width=32, channels=1, image_size=28):
        super().__init__()
        quarter = image_size // 4
        self.encoder = nn.Sequential(*convolutions(channels, width), nn.Linear(2 * width * quarter**2, latent))
        self.decoder = transposed_convolutions(latent, channels, width, quarter)

    def forward(self, x):
        return self.decoder(self.encoder(x))


def negative_bound(x, decoded, mean, log_variance):
    """Of a VAE with the Bernoulli likelihood, for each x, by the formula and not by a loss of torch's."""
    log_likelihood = (x * F.logsigmoid(decoded) + (1 - x) * F.logsigmoid(-decoded)).flatten(1).sum(1)
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1) - log_likelihood


def plain(n):
    return lambda **settings: cifar_resnet(n)(shortcut=None, **settings)


class DigitClassifier(nn.Module):
    def __init__(self, num_classes=10, in_channels=1, width=32, features=64, input_size=28, dropout=0.0):
        super().__init__()
        wide = 2 * width
        for i, (before, after) in enumerate([(in_channels, width), (width, wide), (wide, wide)], 1):
            setattr(self, f"conv{i}", nn.Conv2d(before, after, 3, padding=1, bias=False))
            setattr(self, f"bn{i}", nn.BatchNorm2d(after))
        self.fc1 = nn.Linear(wide * (input_size // 8) ** 2, features)
        self.fc2 = nn.Linear(features, num_classes)

    def forward(self, x):
        for conv, bn in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = F.max_pool2d(F.relu(bn(conv(x))), 2)
        return self.fc2(F.relu(self.fc1(torch.flatten(x, 1))))


TWINS = {
    "alexnet": alexnet,
    "zfnet": zfnet,
    "vgg11": vgg("0M1M22M33M44M"),
    "vgg11_bn": vgg("0M1M22M33M44M", normalize=True),
    "vgg13": vgg("00M11M22M33M44M"),
    "vgg13_bn": vgg("00M11M22M33M44M", normalize=True),
    "vgg16": vgg("00M11M222M333M444M"),
    "vgg16_bn": vgg("00M11M222M333M444M", normalize=True),
    "vgg19": vgg("00M11M2222M3333M4444M"),
    "vgg19_bn": vgg("00M11M2222M3333M4444M", normalize=True),
    "googlenet": GoogLeNet,
    "googlenet_paper": googlenet_paper,
    "resnet18": resnet(Basic, 2, 2, 2, 2),
    "resnet34": resnet(Basic, 3, 4, 6, 3),
    "resnet50": resnet(Bottleneck, 3, 4, 6, 3),
    "resnet50_paper": resnet(PaperBottleneck, 3, 4, 6, 3),
    "resnet101": resnet(Bottleneck, 3, 4, 23, 3),
    "resnet101_paper": resnet(PaperBottleneck, 3, 4, 23, 3),
    "resnet152": resnet(Bottleneck, 3, 8, 36, 3),
    "resnet152_paper": resnet(PaperBottleneck, 3, 8, 36, 3),
    **{f"resnet{6 * n + 2}": cifar_resnet(n) for n in (3, 5, 7, 9, 18)},
    **{f"plain{6 * n + 2}": plain(n) for n in (3, 5, 7, 9, 18)},
    "ddpm_unet": Unet,
    "ddpm_unet_small": ddpm_unet_small,
    "dcgan_generator": DCGANGenerator,
    "dcgan_discriminator": DCGANDiscriminator,
    "dcgan_generator_digits": lambda **settings: DCGANGenerator(32, 1, image_size=28, **settings),
    "dcgan_discriminator_digits": lambda **settings: DCGANDiscriminator(1, image_size=28, **settings),
    "vae": VAE,
    "autoencoder": Autoencoder,
    "digit_classifier": DigitClassifier,
    "conv_vae": ConvVAE,
    "conv_autoencoder": ConvAutoencoder,
}
