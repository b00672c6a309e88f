"""ZFNet: its sizes on the way, its initialisation, and that it learns."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import models, nn, ops
from minitorch_cv.models import ledger
from minitorch_cv.optim import Adam

SMALL = {"num_classes": 3, "channels": (6, 8, 8, 8, 6), "hidden": 16, "first": (3, 1, 1), "second": (3, 1, 1)}
SMALL |= {"grid": 2, "dropout": 0.0, "input_size": 24}


def test_the_sizes_of_figure_3():
    with nn.init.skipped():
        rows = ledger(models.zfnet(), (1, 3, 224, 224)).rows
    shapes = [row.output_shape[1:] for row in rows if row.kind in ("Conv2d", "MaxPool2d")]
    assert shapes == [
        *((96, 110, 110), (96, 55, 55), (256, 26, 26), (256, 13, 13)),
        *((384, 13, 13), (384, 13, 13), (256, 13, 13), (256, 6, 6)),
    ]


def test_it_is_initialised_as_the_paper_says():
    net = models.zfnet(channels=(16, 32, 32, 32, 32), hidden=64, num_classes=50, generator=mt.Generator(0))
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            assert not parameter.numpy().any()
        else:
            assert parameter.numpy().std() == pytest.approx(0.01, rel=0.05), name


def test_a_wrong_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="ZFNet: channels expects five numbers"):
        models.zfnet(channels=(1, 2, 3))


def test_it_equals_its_parts(rng):
    net = models.zfnet(**SMALL, generator=mt.Generator(1)).eval()
    x = rng.standard_normal((2, 3, 24, 24)).astype(np.float32)
    y = x
    for i, layer in enumerate([layer for layer in net.features if isinstance(layer, nn.Conv2d)]):
        y = ops.relu(ops.conv2d(y, layer.weight.data, layer.bias.data, layer.stride, layer.padding))
        if i in (0, 1, 4):
            y = ops.max_pool2d(y, 3, 2, ceil_mode=i < 2)
        if i < 2:  # the paper's formula: 1e-4 on the sum over five channels
            y = ops.local_response_norm(y, 5, 5e-4, 0.75, 2.0)
    y = ops.adaptive_avg_pool2d(y, 2).reshape(2, -1)
    for i in (1, 4, 6):
        layer = net.classifier[i]
        y = y @ layer.weight.data.T + layer.bias.data
        y = ops.relu(y) if i < 6 else y
    np.testing.assert_allclose(net(mt.Tensor(x)).numpy(), y, rtol=1e-4, atol=1e-7)


def test_one_batch_is_learned():
    rng = np.random.default_rng(0)
    net = models.zfnet(**SMALL, normalize=False, generator=mt.Generator(0))
    for parameter in net.parameters():  # so narrow a net does not start from 0.01
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=mt.Generator(2))
    x, target = mt.Tensor(rng.standard_normal((6, 3, 24, 24)).astype(np.float32)), np.arange(6) % 3
    optimizer = Adam(net.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss = ops.cross_entropy(net(x), target)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
