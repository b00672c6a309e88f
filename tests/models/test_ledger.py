"""The ledger: its rows by hand, and what a layer sees of the image by experiment."""

import json
import subprocess
import sys

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import models, nn, ops
from minitorch_cv.models import ledger


def test_every_row_by_hand():
    net = nn.Sequential(
        nn.Conv2d(3, 8, (3, 5), (2, 1), (1, 2), groups=1),
        nn.ReLU(),
        nn.Conv2d(8, 4, 3, groups=2, bias=False),
        nn.Flatten(),
        nn.Linear(4 * 2 * 5, 10),
    )
    counted = ledger(net, (2, 3, 8, 7))
    assert [(row.name, row.kind, row.output_shape) for row in counted.rows] == [
        ("0", "Conv2d", (2, 8, 4, 7)),
        ("1", "ReLU", (2, 8, 4, 7)),
        ("2", "Conv2d", (2, 4, 2, 5)),
        ("3", "Flatten", (2, 40)),
        ("4", "Linear", (2, 10)),
    ]
    assert [row.parameters for row in counted.rows] == [8 * 3 * 15 + 8, 0, 4 * 4 * 9, 0, 410]
    # Each output of a convolution takes C / groups kh kw products, each of a linear layer as many as it has inputs.
    conv1, conv2, linear = 2 * 8 * 4 * 7 * 45, 2 * 4 * 2 * 5 * 36, 2 * 10 * 40
    assert [row.multiply_adds for row in counted.rows] == [conv1, 0, conv2, 0, linear]
    assert [row.activation_bytes for row in counted.rows] == [4 * n for n in (448, 448, 80, 80, 20)]
    assert [row.receptive_field for row in counted.rows] == [(3, 5), (3, 5), (7, 7), None, None]
    assert counted.parameters == 368 + 144 + 410
    assert counted.multiply_adds == conv1 + conv2 + linear
    assert counted.activation_bytes == 4 * (448 + 448 + 80 + 80 + 20)


def test_a_transposed_convolution_multiplies_each_input_by_its_weights():
    layer = nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 0), (1, 2), groups=2)
    row = ledger(layer, (2, 4, 7, 5)).rows[0]
    assert row.multiply_adds == 2 * 4 * 7 * 5 * (3 * 3 * 2)


def test_shared_parameters_and_modules_are_counted_once():
    linear = nn.Linear(3, 3)
    counted = ledger(nn.Sequential(linear, nn.ReLU(), linear), (1, 3))
    assert counted.parameters == 12
    assert [row.name for row in counted.rows] == ["0", "1", "0"], "it runs twice"


def test_the_model_is_left_as_it_was():
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Dropout(0.5), nn.Sequential(nn.ReLU()))
    net[2].eval()
    before = net[0].weight.numpy().copy()
    ledger(net, (1, 3, 4, 4))
    assert [m.training for m in net.modules()] == [True, True, True, False, False]
    assert all(not m._forward_hooks for m in net.modules())
    assert net[0].weight.grad is None and (net[0].weight.numpy() == before).all()

    class Broken(nn.Module):
        def __init__(self):
            self.inner = nn.ReLU()

        def forward(self, x):
            raise ArithmeticError

    broken = Broken()
    with pytest.raises(ArithmeticError):
        ledger(broken, (1,))
    assert broken.training and not broken.inner._forward_hooks


def test_it_counts_the_same_without_recording_and_in_float64():
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3))
    expected = ledger(net, (1, 3, 9, 9))
    with mt.no_grad():
        assert ledger(net, (1, 3, 9, 9)) == expected
    assert ledger(net.double(), (1, 3, 9, 9)) == expected


def test_the_json_holds_rows_and_sums():
    with nn.init.skipped():
        counted = ledger(models.alexnet(), (1, 3, 224, 224))
    data = json.loads(counted.to_json())
    assert data["model"] == "AlexNet" and data["input_shape"] == [1, 3, 224, 224]
    assert data["parameters"] == 61_100_840 == sum(row["parameters"] for row in data["layers"])
    assert data["multiply_adds"] == sum(row["multiply_adds"] for row in data["layers"])
    assert data["activation_bytes"] == sum(row["activation_bytes"] for row in data["layers"])
    assert data["layers"][0] == {
        "name": "features.0",
        "kind": "Conv2d",
        "output_shape": [1, 64, 55, 55],
        "parameters": 23_296,
        "multiply_adds": 64 * 55 * 55 * 3 * 121,
        "activation_bytes": 64 * 55 * 55 * 4,
        "receptive_field": [11, 11],
    }
    text = str(counted)
    assert "61,100,840" in text and "0.714 G" in text and "11 x 11" in text


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_the_command_prints_it(arguments):
    command = [sys.executable, "-m", "minitorch_cv", "summary", "alexnet", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60)
    assert result.returncode == 0, result.stderr
    if arguments:
        assert json.loads(result.stdout)["parameters"] == 61_100_840
    else:
        assert "61,100,840" in result.stdout


@pytest.mark.parametrize("name", ["ddpm_unet_small", "dcgan_generator", "dcgan_discriminator", "vae", "autoencoder"])
def test_nets_of_other_inputs_than_an_image_in_colour_have_one(name):
    with nn.init.skipped():
        model = models.NAMES[name]()
    counted = ledger(model, model.input_shape)
    assert counted.parameters == sum(row.parameters for row in counted.rows) > 0
    assert counted.multiply_adds > 0


# ---- what a layer sees: compared with where the gradient of one of its outputs is not zero


def all_positive(net):
    """With positive weights and a positive image no path to an input cancels another."""
    for parameter in net.parameters():
        nn.init.constant_(parameter, 0.5)
    return net.double()


def measured(net, input_shape):
    """Rows and columns of the image in which the gradient of the output in the middle is not zero."""
    x = mt.Tensor(np.random.default_rng(0).uniform(1.0, 1.001, input_shape), requires_grad=True)
    y = net(x)
    upstream = np.zeros(y.shape)
    upstream[0, 0, y.shape[2] // 2, y.shape[3] // 2] = 1.0
    seen = np.abs(mt.grad(y, x, mt.Tensor(upstream)).numpy()[0]).sum(0) > 0
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


class Residual(nn.Module):
    def __init__(self):
        self.deep = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1))
        self.shallow = nn.Conv2d(2, 2, 1)
        self.last = nn.AvgPool2d(2)

    def forward(self, x):
        return self.last(ops.relu(self.deep(x) + self.shallow(x)))


@pytest.mark.parametrize(
    ("net", "size"),
    [
        (nn.Sequential(nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, (5, 1))), (7, 3)),
        (nn.Sequential(nn.Conv2d(2, 2, 3, stride=(2, 1)), nn.Conv2d(2, 2, 3, stride=2), nn.Conv2d(2, 2, 2)), (11, 7)),
        (nn.Sequential(nn.Conv2d(2, 2, 3, dilation=(2, 3)), nn.Conv2d(2, 2, 2, dilation=2)), (7, 9)),
        (nn.Sequential(nn.AvgPool2d(3, 2), nn.Conv2d(2, 2, 3), nn.AvgPool2d((2, 4))), (9, 13)),
        (nn.Sequential(nn.Conv2d(2, 2, 2), nn.AdaptiveAvgPool2d((20, 6)), nn.Conv2d(2, 2, 3)), (7, 22)),
        (Residual(), (6, 6)),
    ],
)
def test_the_receptive_field_is_what_the_gradient_reaches(net, size):
    shape = (1, 2, 41, 43)
    assert measured(all_positive(net), shape) == size
    assert ledger(net, shape).rows[-1].receptive_field == size


@pytest.mark.parametrize(
    "layer",
    [
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.ConvTranspose2d(2, 2, 3, 2),
        nn.AdaptiveAvgPool2d(5),
        nn.Upsample(scale_factor=2, mode="bilinear"),
    ],
)
def test_what_cannot_be_followed_is_left_open(layer):
    net = nn.Sequential(nn.Conv2d(2, 2, 3), layer, nn.ReLU())
    assert [row.receptive_field for row in ledger(net, (1, 2, 9, 9)).rows] == [(3, 3), None, None]


def test_max_pooling_sees_its_whole_window_though_only_the_largest_gets_a_gradient():
    net = nn.Sequential(nn.Conv2d(2, 2, 3), nn.MaxPool2d(3, 2), nn.Conv2d(2, 2, 3))
    averaging = nn.Sequential(nn.Conv2d(2, 2, 3), nn.AvgPool2d(3, 2), nn.Conv2d(2, 2, 3))
    shape = (1, 2, 31, 31)
    assert ledger(net, shape).rows[-1].receptive_field == measured(all_positive(averaging), shape) == (9, 9)


def test_what_alexnets_convolutions_see():
    with nn.init.skipped():
        counted = ledger(models.alexnet(), (1, 3, 224, 224))
    fields = [row.receptive_field for row in counted.rows if row.kind == "Conv2d"]
    assert fields == [(n, n) for n in (11, 51, 99, 131, 163)]
    assert [row.receptive_field for row in counted.rows if row.kind == "MaxPool2d"] == [(n, n) for n in (19, 67, 195)]

    settings = {"channels": (2, 2, 2, 2, 2), "hidden": 2, "num_classes": 2}
    features = models.AlexNet(**settings).features
    averaging = nn.Sequential(*(nn.AvgPool2d(3, 2) if isinstance(m, nn.MaxPool2d) else m for m in features))
    assert measured(all_positive(averaging), (1, 3, 259, 259)) == (195, 195)
