"""The diffusion U-Net: the published count, names and initialisation; against torch; that it predicts noise."""

import math
import re

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import models, nn, ops
from minitorch_cv.optim import Adam

NARROW = {"channels": 8, "multipliers": (1, 2, 2), "blocks": 2, "attention_sizes": (4,), "groups": 4, "input_size": 8}


def images_and_steps(rng, n=3, channels=3, size=8):
    return rng.standard_normal((n, channels, size, size)), rng.integers(0, 1000, n)


def test_the_parameters_are_the_published_ones():
    with nn.init.skipped():
        assert sum(p.size for p in models.ddpm_unet().parameters()) == 35_746_307
        assert sum(p.size for p in models.ddpm_unet_small().parameters()) == 1_113_955


def test_the_multiply_adds_are_the_published_ones():
    """With the two products of each attention, 2 (H W)^2 C, which are neither convolution nor linear layer."""
    with nn.init.skipped():
        model = models.ddpm_unet()
    attention = 5 * 2 * 256**2 * 256 + 2 * 16**2 * 256
    assert f"{(models.ledger(model, model.input_shape).multiply_adds + attention) / 1e9:.2f}" == "6.22"


def test_the_state_has_the_published_names():
    with nn.init.skipped():
        state = models.ddpm_unet().state_dict()
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in state))
    assert all({f"{layer}.weight", f"{layer}.bias"} <= set(state) for layer in layers)

    def block(name, changes=False):
        parts = ["norm1", "conv1", "temb_proj", "norm2", "conv2"] + ["nin_shortcut"] * changes
        return [f"{name}.{part}" for part in parts]

    def attention(name):
        return [f"{name}.{part}" for part in ("norm", "q", "k", "v", "proj_out")]

    expected = ["temb.dense.0", "temb.dense.1", "conv_in"]
    for i in range(4):
        expected += block(f"down.{i}.block.0", changes=i == 1) + block(f"down.{i}.block.1")
        expected += [*attention("down.1.attn.0"), *attention("down.1.attn.1")] if i == 1 else []
        expected += [f"down.{i}.downsample.conv"] if i < 3 else []
    expected += block("mid.block_1") + attention("mid.attn_1") + block("mid.block_2")
    for i in range(4):
        for j in range(3):
            expected += block(f"up.{i}.block.{j}", changes=True)
        expected += [name for j in range(3) for name in attention(f"up.1.attn.{j}")] if i == 1 else []
        expected += [f"up.{i}.upsample.conv"] if i > 0 else []
    assert layers == [*expected, "norm_out", "conv_out"]


def test_the_published_shapes():
    with nn.init.skipped():
        shapes = {name: value.shape for name, value in models.ddpm_unet().state_dict().items()}
    assert shapes["temb.dense.0.weight"] == (512, 128) and shapes["temb.dense.1.weight"] == (512, 512)
    assert shapes["down.1.block.0.nin_shortcut.weight"] == (256, 128, 1, 1)
    assert shapes["up.0.block.0.conv1.weight"] == (128, 384, 3, 3)
    assert shapes["up.3.block.2.conv1.weight"] == (256, 512, 3, 3)
    assert shapes["mid.attn_1.q.weight"] == (256, 256, 1, 1)
    assert shapes["conv_out.weight"] == (3, 128, 3, 3)


def test_the_initialisation(rng):
    model = models.ddpm_unet_small(generator=mt.Generator(2))
    for name, parameter in model.named_parameters():
        values = parameter.numpy()
        if name.endswith(("conv2.weight", "proj_out.weight", "conv_out.weight", "bias")):
            assert not values.any(), name
        elif "norm" in name:
            assert (values == 1).all(), name
        else:
            bound = math.sqrt(6 / sum(nn.init.fan_in_and_fan_out(parameter)))
            assert 0.9 * bound < abs(values).max() <= bound, name
    x, t = images_and_steps(rng, size=32)
    assert not model(mt.Tensor(x.astype(np.float32)), mt.Tensor(t)).numpy().any(), "at first it predicts no noise"
    again = models.ddpm_unet_small(generator=mt.Generator(2))
    assert all((a.numpy() == b.numpy()).all() for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_what_it_cannot_take_is_refused(rng):
    with pytest.raises(ValueError, match="DDPMUNet: channels expects an even multiple of 32 groups; it is 24"):
        models.ddpm_unet(channels=24)
    x, _ = images_and_steps(rng)
    model = models.ddpm_unet(**NARROW)
    with pytest.raises(ValueError, match=r"DDPMUNet: t expects a step for each of 3 images; it is of shape \(1,\)"):
        model(mt.Tensor(x.astype(np.float32)), mt.Tensor(np.array([5])))


def test_it_equals_torchs(assert_equals_twin, rng):
    assert_equals_twin("ddpm_unet", *images_and_steps(rng), dropout=0.0, **NARROW)


def test_it_equals_torchs_with_labels(assert_equals_twin, rng):
    settings = {**NARROW, "num_classes": 4, "in_channels": 1, "blocks": 1, "dropout": 0.0}
    x, t = images_and_steps(rng, channels=1)
    assert_equals_twin("ddpm_unet_small", x, t, np.array([1, 4, 0]), **settings)


def test_it_equals_torchs_in_single_precision(assert_equals_twin, rng):
    assert_equals_twin(
        "ddpm_unet_small",
        *images_and_steps(rng, 2, size=16),
        dropout=0.0,
        input_size=32,
        dtype=np.float32,
        tolerance=1e-3,
    )


def test_no_label_is_the_last_one(rng):
    model = models.ddpm_unet(**NARROW, num_classes=4, dropout=0.0, generator=mt.Generator(0)).double()
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):  # those that start at zero would hide the label
            nn.init.normal_(layer.weight, 0.0, 0.1, generator=mt.Generator(1))
    x, t = (mt.Tensor(values) for values in images_and_steps(rng))
    given = [model(x, t, mt.Tensor(np.full(3, label))).numpy() for label in (0, 4)]
    np.testing.assert_array_equal(model(x, t).numpy(), given[1])
    assert (given[0] != given[1]).any()


def test_it_learns_the_noise_of_one_image(rng):
    """x_t = sqrt(abar) x_0 + sqrt(1 - abar) eps with one x_0 and abar by t = 0 .. 3: eps can be solved for."""
    settings = {**NARROW, "channels": 16, "in_channels": 1, "dropout": 0.0}
    model = models.ddpm_unet(**settings, generator=mt.Generator(0))
    abar, x0 = np.array([0.9, 0.7, 0.5, 0.3], np.float32), rng.uniform(-1, 1, (1, 1, 8, 8)).astype(np.float32)
    optimizer, losses = Adam(model.parameters(), lr=2e-3), []
    for _ in range(60):
        t = rng.integers(0, 4, 16)
        a, eps = abar[t][:, None, None, None], rng.standard_normal((16, 1, 8, 8), dtype=np.float32)
        optimizer.zero_grad()
        loss = ops.mse_loss(model(mt.Tensor(np.sqrt(a) * x0 + np.sqrt(1 - a) * eps), mt.Tensor(t)), mt.Tensor(eps))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert abs(losses[0] - 1) < 0.15, "zero predicted: the variance of eps"
    assert np.mean(losses[-5:]) < 0.2


@pytest.mark.parametrize("shape", [(2, 3, 8), (2, 4, 8, 8), (2, 3, 7, 8), (2, 3, 8, 7)])
def test_images_that_do_not_fit_are_refused(shape):
    model = models.ddpm_unet(**NARROW)
    message = rf"^DDPMUNet: x expects \(N, 3, H, W\), H and W multiples of 4; it is {re.escape(str(shape))}"
    with pytest.raises(ValueError, match=message):
        model(mt.Tensor(np.zeros(shape, np.float32)), mt.Tensor(np.zeros(2, np.int64)))
