"""What a network sees: each map against its definition, worked out another way."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import models, nn, ops, viz
from minitorch_cv.models import ledger


def vgg(normalize=False):
    settings = {"num_classes": 4, "channels": (4, 5), "depths": (2, 1), "hidden": 8, "grid": 2, "input_size": 16}
    net = models.VGG(**settings, normalize=normalize, generator=mt.Generator(0))
    for key, value in net.named_buffers():
        if key.endswith("running_mean"):
            value.data[...] = mt.Generator(5).normal(value.shape, dtype=value.dtype) * 0.2
    return net.to(dtype=np.float64)


def resnet():
    return models.resnet18(num_classes=4, width=4, input_size=32, generator=mt.Generator(0)).to(dtype=np.float64)


@pytest.fixture
def image(rng):
    return rng.standard_normal((1, 3, 16, 16))


def test_occlusion_hides_a_square_and_asks_again(image):
    net = vgg().train()
    found = viz.occlusion(net, image, 2, size=6, stride=5, fill=0.5)
    assert found.shape == (3, 3) and net.training
    hidden = image.copy()
    hidden[:, :, 10:16, 5:11] = 0.5
    with mt.no_grad():
        logits = net.eval()(mt.Tensor(hidden)).numpy()[0]
    np.testing.assert_allclose(found[2, 1], np.exp(logits[2]) / np.exp(logits).sum())


@pytest.mark.parametrize("make", [vgg, lambda: vgg(normalize=True)])
def test_plain_saliency_is_the_gradient(make, image):
    net = make().eval()
    x = mt.Tensor(image, requires_grad=True)
    logits = net(x)
    expected = mt.grad(logits[0, 1], x).numpy()[0]
    np.testing.assert_allclose(viz.saliency(net, image[0], 1, guided=False), expected, rtol=1e-10, atol=1e-14)
    assert all(p.grad is None for p in net.parameters())


def two_layers(pool=2):
    """With pool=1 nothing is pooled, and there the two rules differ most."""
    generator = mt.Generator(3)
    first, second = nn.Conv2d(3, 4, 3, padding=1, generator=generator), nn.Conv2d(4, 5, 3, generator=generator)
    return nn.Sequential(first, nn.ReLU(), nn.MaxPool2d(pool), second, nn.ReLU()).to(dtype=np.float64)


def by_hand(net, image, channel, mask_forward):
    """The way back from a channel's strongest value, step by step: max(dy, 0) at each ReLU, and its own mask or not."""
    x = image
    one = x
    a1 = ops.conv2d(one, net[0].weight.data, net[0].bias.data, padding=1)
    r1 = ops.relu(a1)
    pool = net[2].kernel_size
    p, where = ops.max_pool2d(r1, pool, return_indices=True)
    a2 = ops.conv2d(p, net[3].weight.data, net[3].bias.data)
    r2 = ops.relu(a2)
    dy = np.zeros_like(r2)
    row, column = np.unravel_index(r2[0, channel].argmax(), r2.shape[2:])
    dy[0, channel, row, column] = r2[0, channel, row, column]
    dy = np.maximum(dy, 0) * (a2 > 0 if mask_forward else 1)
    dy = ops.conv2d_input_gradient(dy, net[3].weight.data, p.shape)
    dy = ops.max_unpool2d(dy, where, pool, output_size=r1.shape[2:])
    dy = np.maximum(dy, 0) * (a1 > 0 if mask_forward else 1)
    return ops.conv2d_input_gradient(dy, net[0].weight.data, image.shape, padding=1)[0]


@pytest.mark.parametrize("pool", [1, 2])
def test_deconvnet_by_hand(image, pool):
    net = two_layers(pool)
    expected = by_hand(net, image, 3, mask_forward=False)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(viz.deconvnet(net, image, "4", 3), expected, rtol=1e-10, atol=1e-14)
    if pool == 1:
        assert not np.allclose(expected, by_hand(net, image, 3, mask_forward=True)), "the two rules differ here"


def test_guided_saliency_by_hand(image):
    last = nn.Linear(5 * 36, 4, generator=mt.Generator(4))
    net = nn.Sequential(*two_layers(), nn.Flatten(), last).to(dtype=np.float64)
    weight = net[6].weight.data

    def masked(dy, a):
        return np.maximum(dy, 0) * (a > 0)

    a1 = ops.conv2d(image, net[0].weight.data, net[0].bias.data, padding=1)
    p, where = ops.max_pool2d(ops.relu(a1), 2, return_indices=True)
    a2 = ops.conv2d(p, net[3].weight.data, net[3].bias.data)
    dy = masked(weight[2].reshape(a2.shape), a2)
    dy = ops.conv2d_input_gradient(dy, net[3].weight.data, p.shape)
    dy = masked(ops.max_unpool2d(dy, where, 2, output_size=a1.shape[2:]), a1)
    expected = ops.conv2d_input_gradient(dy, net[0].weight.data, image.shape, padding=1)[0]
    np.testing.assert_allclose(viz.saliency(net, image, 2), expected, rtol=1e-10, atol=1e-14)


def test_response_normalisation_is_passed_by(image):
    layers = nn.Conv2d(3, 6, 3, generator=mt.Generator(3)), nn.ReLU(), nn.LocalResponseNorm(5, 1e-2)
    net = nn.Sequential(*layers).to(dtype=np.float64)
    with_it = viz.deconvnet(net, image, "2", 1)
    strongest = ops.relu(net[0](mt.Tensor(image))).numpy()[0, 1].max()
    without = viz.deconvnet(net, image, "1", 1)
    scale = np.abs(with_it).max() / np.abs(without).max()
    np.testing.assert_allclose(with_it, without * scale, rtol=1e-9, atol=1e-14)
    assert scale < 1 and strongest > 0


def test_fused_batch_norms_are_followed(rng):
    """A residual net's blocks rectify within an operation; the deconvnet's rule holds there too."""
    net, image = resnet(), rng.standard_normal((1, 3, 32, 32))
    pattern, guided = viz.deconvnet(net, image, "layer2", 1), viz.saliency(net, image, 0)
    assert pattern.shape == guided.shape == (3, 32, 32)
    assert np.abs(pattern).max() > 0 and np.abs(guided).max() > 0


def test_the_class_activations_mean_is_the_logit(rng):
    net, image = resnet(), rng.standard_normal((3, 32, 32))
    with mt.no_grad():
        logits = net.eval()(mt.Tensor(image[None])).numpy()[0]
    for target in range(4):
        found = viz.class_activation(net, image, target)
        np.testing.assert_allclose(found.mean() + net.fc.bias.numpy()[target], logits[target], rtol=1e-10)


@pytest.mark.parametrize("name", ["features.0", "features.2", "features.4", "features.5"])
def test_the_receptive_field_that_is_measured_is_the_one_that_is_computed(name):
    net = vgg()
    found = viz.receptive_field(net, name, (1, 3, 32, 32), images=24)
    rows = {row.name: row for row in ledger(net, (1, 3, 32, 32)).rows}
    reached = found > 0
    height, width = reached.any(axis=1).sum(), reached.any(axis=0).sum()
    assert (height, width) == rows[name].receptive_field


def test_gradients_are_taken_though_nothing_is_recorded(image):
    net = vgg()
    with mt.no_grad():
        quiet = viz.saliency(net, image, 1), viz.deconvnet(net, image, "features.2", 1)
    for found, expected in zip(quiet, (viz.saliency(net, image, 1), viz.deconvnet(net, image, "features.2", 1))):
        np.testing.assert_array_equal(found, expected)
        assert found.any()


def test_pixels_as_whole_numbers_are_refused(image):
    with pytest.raises(TypeError, match=r"saliency: image expects floats .*standardized_photographs"):
        viz.saliency(vgg(), (image * 50).astype(np.uint8), 1)


def test_the_receptive_field_is_exact_where_winograd_would_round():
    net = models.resnet20(width=16, in_channels=1, generator=mt.Generator(0))
    before = mt.get_numerics()
    found = viz.receptive_field(net, "layer2.0", (1, 1, 64, 64), images=4)
    rows = {row.name: row for row in ledger(net, (1, 1, 64, 64)).rows}
    size = rows["layer2.0.bn2"].receptive_field
    assert ((found > 0).any(axis=1).sum(), (found > 0).any(axis=0).sum()) == size
    assert mt.get_numerics() == before


def test_errors_name_what_was_expected(image):
    net = vgg()
    with pytest.raises(ValueError, match=r"occlusion: image expects shape \(1, C, H, W\) or \(C, H, W\)"):
        viz.occlusion(net, image[0, 0], 0)
    with pytest.raises(ValueError, match=r"occlusion: size expects 1 \.\. 16 and stride 1 or more; they are 17 and 8"):
        viz.occlusion(net, image, 0, size=17)
    with pytest.raises(ValueError, match=r"deconvnet: layer expects the name of one, such as 'features'"):
        viz.deconvnet(net, image, "nowhere", 0)
    with pytest.raises(
        ValueError, match=r"deconvnet: channel expects the number of a feature map of layer 'features\.0'"
    ):
        viz.deconvnet(net, image, "features.0", 4)
    for function in (viz.saliency, viz.occlusion):
        with pytest.raises(ValueError, match=r"target expects a class, 0 \.\. 3; it is -1"):
            function(net, image, -1)
    with pytest.raises(ValueError, match="images expects at least 1"):
        viz.receptive_field(net, "features.0", (1, 3, 16, 16), images=0)
    with pytest.raises(ValueError, match="class_activation: model expects global average pooling"):
        viz.class_activation(net, image, 0)
    with pytest.raises(ValueError, match=r"receptive_field: layer 'classifier\.0' expects feature maps"):
        viz.receptive_field(net, "classifier.0", (1, 3, 16, 16))


def test_class_activation_needs_no_names(image):
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4, generator=mt.Generator(1))
    )
    image = image.astype(np.float32)
    found = viz.class_activation(net, image, 2)
    with mt.no_grad():
        logit = net.eval()(mt.Tensor(image)).numpy()[0, 2]
    assert found.mean() + net[4].bias.numpy()[2] == pytest.approx(logit, abs=1e-5)


def test_the_figures_show_what_was_given(image, rng):
    values = rng.standard_normal((4, 5))
    figure = viz.overlay(image, values, title="where")
    np.testing.assert_array_equal(figure.axes[0].images[1].get_array(), values)
    assert figure.axes[0].images[0].get_extent() == figure.axes[0].images[1].get_extent()
    placed = viz.overlay(image, values, windows=(6, 2)).axes[0].images[1]
    left, right, bottom, top = placed.get_extent()
    # Squares of pixels 0..5, 2..7, ...: their middles are at 2.5, 4.5, ...
    assert left + (right - left) / 5 * 0.5 == 2.5 and right - (right - left) / 5 * 0.5 == 10.5
    assert (bottom, top) == (9.5, 1.5)
    pattern = rng.standard_normal((3, 6, 6))
    shown = np.asarray(viz.signed(pattern).axes[0].images[0].get_array())
    np.testing.assert_allclose(shown.transpose(2, 0, 1), 0.5 + 0.5 * pattern / np.abs(pattern).max())
    bars = viz.top_classes(image, [("a cat", 0.7), ("a dog", 0.2)], "x.jpg").axes[1]
    assert [patch.get_width() for patch in bars.patches] == [0.7, 0.2]
    assert [text.get_text() for text in bars.texts] == ["a cat", "70.0%", "a dog", "20.0%"]
    for wrong in (
        lambda: viz.overlay(image, values[0]),
        lambda: viz.signed(values),
        lambda: viz.top_classes(values, []),
    ):
        with pytest.raises(ValueError, match="expects shape"):
            wrong()


def test_the_ledger_as_a_figure():
    counted = ledger(vgg(), (1, 3, 16, 16))
    figure = viz.ledger(counted, "a small VGG")
    rows = [row for row in counted.rows if row.parameters]
    for ax, name in zip(figure.axes, ("parameters", "multiply_adds", "activation_bytes"), strict=True):
        assert [bar.get_width() for bar in ax.patches] == [getattr(row, name) for row in rows]
    assert figure.axes[0].get_title() == f"{counted.parameters:,}"
    with pytest.raises(ValueError, match="ledger: counted expects at least one layer"):
        viz.ledger(ledger(nn.Sequential(nn.ReLU()), (1, 3, 4, 4)))
