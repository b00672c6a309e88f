"""Every layer against torch's of the same name, arguments and weights: values, gradients, names, state."""

import inspect

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import nn, ops

IMAGE = (2, 4, 7, 6)
LAYERS = [
    ("Linear", (5, 3), {}, (2, 4, 5)),
    ("Linear", (5, 3, False), {}, (5,)),
    ("Flatten", (), {}, IMAGE),
    ("Flatten", (1, 2), {}, IMAGE),
    ("Unflatten", (1, (2, 2)), {}, IMAGE),
    ("Identity", (), {}, IMAGE),
    ("Conv2d", (4, 6, 3), {}, IMAGE),
    ("Conv2d", (4, 6, (3, 2), (2, 1), (1, 2), (2, 1), 2, False), {}, IMAGE),
    ("Conv2d", (4, 2, 3), {"padding": (2, 1), "padding_mode": "reflect"}, IMAGE),
    ("Conv2d", (4, 2, 3), {"padding": (2, 1), "stride": 2, "padding_mode": "replicate"}, IMAGE),
    ("Conv2d", (4, 2, 3), {"padding": (1, 2), "padding_mode": "circular"}, IMAGE),
    ("Conv2d", (4, 2, (3, 2)), {"padding": "same"}, IMAGE),
    ("Conv2d", (4, 2, (4, 3)), {"padding": "same", "dilation": 2, "padding_mode": "replicate"}, IMAGE),
    ("Conv2d", (4, 2, 3), {"padding": "valid"}, IMAGE),
    ("ConvTranspose2d", (4, 6, 3), {}, IMAGE),
    ("ConvTranspose2d", (4, 6, (3, 2), (2, 3), (1, 0), (1, 2), 2, False, (2, 1)), {}, IMAGE),
    ("MaxPool2d", (3, 2), {}, IMAGE),
    ("MaxPool2d", (2,), {}, IMAGE),
    ("MaxPool2d", ((3, 2), (2, 1), (1, 0), (1, 2)), {"ceil_mode": True}, IMAGE),
    ("AvgPool2d", (2,), {}, IMAGE),
    ("AvgPool2d", ((3, 2), (2, 1), 1, True, False), {}, IMAGE),
    ("AvgPool2d", (3,), {"divisor_override": 5}, IMAGE),
    ("AdaptiveAvgPool2d", (1,), {}, IMAGE),
    ("AdaptiveAvgPool2d", ((3, None),), {}, IMAGE),
    ("AdaptiveAvgPool2d", ((5, 4),), {}, IMAGE),
    ("BatchNorm2d", (4,), {}, IMAGE),
    ("BatchNorm2d", (4, 1e-2, 0.3, False), {}, IMAGE),
    ("BatchNorm2d", (4,), {"momentum": None}, IMAGE),
    ("BatchNorm2d", (4,), {"track_running_stats": False}, IMAGE),
    ("BatchNorm2d", (4,), {"bias": False}, IMAGE),
    ("BatchNorm1d", (5,), {}, (6, 5)),
    ("BatchNorm1d", (5,), {}, (3, 5, 4)),
    ("GroupNorm", (2, 4), {}, IMAGE),
    ("GroupNorm", (4, 4, 1e-2, False), {}, IMAGE),
    ("GroupNorm", (1, 4), {"bias": False}, IMAGE),
    ("LayerNorm", (6,), {}, IMAGE),
    ("LayerNorm", ((7, 6), 1e-2), {}, IMAGE),
    ("LayerNorm", (6,), {"bias": False}, IMAGE),
    ("LayerNorm", (6,), {"elementwise_affine": False}, IMAGE),
    ("LocalResponseNorm", (3,), {}, IMAGE),
    ("LocalResponseNorm", (2, 0.5, 0.6, 2.0), {}, IMAGE),
    ("ReLU", (), {}, IMAGE),
    ("ReLU6", (), {}, IMAGE),
    ("LeakyReLU", (0.2,), {}, IMAGE),
    ("ELU", (0.7,), {}, IMAGE),
    ("Sigmoid", (), {}, IMAGE),
    ("LogSigmoid", (), {}, IMAGE),
    ("Tanh", (), {}, IMAGE),
    ("Softplus", (2.0, 1.5), {}, IMAGE),
    ("SiLU", (), {}, IMAGE),
    ("GELU", (), {}, IMAGE),
    ("GELU", ("tanh",), {}, IMAGE),
    ("Softmax", (1,), {}, IMAGE),
    ("LogSoftmax", (-1,), {}, IMAGE),
    ("Dropout", (0.0,), {}, IMAGE),
    ("Dropout2d", (0.0,), {}, IMAGE),
    ("Upsample", (), {"scale_factor": 2}, IMAGE),
    ("Upsample", ((5, 9),), {"mode": "bilinear"}, IMAGE),
    ("Upsample", (), {"scale_factor": 3, "mode": "bilinear", "align_corners": True}, IMAGE),
    ("ZeroPad2d", (2,), {}, IMAGE),
    ("ZeroPad2d", ((1, 0, 2, 3),), {}, IMAGE),
    ("ConstantPad2d", ((1, 0, 2, 3), 1.5), {}, IMAGE),
    ("ReflectionPad2d", ((1, 0, 2, 3),), {}, IMAGE),
    ("ReplicationPad2d", ((1, 0, 2, 3),), {}, IMAGE),
    ("CircularPad2d", ((1, 0, 2, 3),), {}, IMAGE),
]
IDS = [f"{name}{args}{''.join(f' {k}={v}' for k, v in settings.items())}" for name, args, settings, _ in LAYERS]

LOGITS = (5, 3)
LOSSES = [
    ("CrossEntropyLoss", {}, "class"),
    ("CrossEntropyLoss", {"label_smoothing": 0.2, "ignore_index": 1}, "class"),
    ("CrossEntropyLoss", {"weight": [0.5, 2.0, 1.0], "reduction": "sum"}, "class"),
    ("CrossEntropyLoss", {"weight": [0.5, 2.0, 1.0], "reduction": "none"}, "probability"),
    ("NLLLoss", {"weight": [0.5, 2.0, 1.0]}, "class"),
    ("NLLLoss", {"ignore_index": 2, "reduction": "sum"}, "class"),
    ("BCEWithLogitsLoss", {}, "probability"),
    ("BCEWithLogitsLoss", {"weight": [0.5, 2.0, 1.0], "pos_weight": [3.0, 1.0, 0.1]}, "probability"),
    ("MSELoss", {}, "probability"),
    ("MSELoss", {"reduction": "none"}, "probability"),
    ("L1Loss", {"reduction": "sum"}, "probability"),
    ("GaussianNLLLoss", {}, "probability"),
    ("GaussianNLLLoss", {"full": True, "eps": 0.5, "reduction": "sum"}, "probability"),
]


def twins(torch, name, args, settings, rng):
    """Our layer and torch's in float64, with the same random weights and running statistics."""
    theirs = getattr(torch.nn, name)(*args, **settings).double()
    for tensor in theirs.state_dict().values():
        if tensor.dtype == torch.float64:
            tensor.copy_(torch.tensor(rng.uniform(0.5, 1.5, tuple(tensor.shape))))
    ours = getattr(nn, name)(*args, **settings).double()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def assert_same(torch, ours, theirs, shape, rng):
    x = rng.standard_normal(shape) * 2
    a, b = mt.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(a), theirs(b)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-10, atol=1e-12)
    upstream = rng.standard_normal(y.shape)
    y.backward(mt.Tensor(upstream))
    z.backward(torch.tensor(upstream))
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-9, atol=1e-11)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-9, atol=1e-11, err_msg=name)
        p.grad = q.grad = None
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name].numpy(), value.numpy(), rtol=1e-12, err_msg=name)


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize(("name", "args", "settings", "shape"), LAYERS, ids=IDS)
def test_a_layer_equals_torchs_in_training_and_in_evaluation(name, args, settings, shape, rng, torch):
    ours, theirs = twins(torch, name, args, settings, rng)
    for _ in range(3):
        assert_same(torch, ours, theirs, shape, rng)
    assert_same(torch, ours.eval(), theirs.eval(), shape, rng)


def public_layers():
    return [c for c in vars(nn).values() if inspect.isclass(c) and issubclass(c, nn.Module)]


def test_every_layer_is_among_the_compared():
    apart = {"Module", "Sequential", "ModuleList", "Embedding", "MaxUnpool2d", "SpectralNorm"}
    names = {c.__name__ for c in public_layers()} - apart
    losses = {name for name in names if name.endswith("Loss")}
    assert names - losses == {name for name, *_ in LAYERS}
    assert losses == {name for name, *_ in LOSSES}


@pytest.mark.parametrize("layer", public_layers(), ids=lambda layer: layer.__name__)
def test_arguments_are_named_ordered_and_set_as_torchs(layer, torch):
    """In torch's order, save what is deprecated or unsafe (inplace), ours (generator) and NumPy's `axis` for `dim`."""
    if layer is nn.SpectralNorm:
        return  # in torch a function that changes a layer
    if not hasattr(torch.nn, layer.__name__):
        pytest.fail(f"torch.nn has no {layer.__name__}")
    left_out = {"size_average", "reduce", "inplace", "max_norm", "norm_type", "scale_grad_by_freq", "sparse"}
    left_out |= {"_weight", "_freeze", "recompute_scale_factor"}
    if layer is nn.ConvTranspose2d:
        left_out.add("padding_mode")  # only zeros
    theirs = inspect.signature(getattr(torch.nn, layer.__name__)).parameters.values()
    theirs = [p for p in theirs if p.name not in left_out and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    ours = [p for p in inspect.signature(layer).parameters.values() if p.name not in ("generator", "unknown")]
    if layer in (nn.Softmax, nn.LogSoftmax):
        assert [p.name for p in ours] == ["axis"] and [p.name for p in theirs] == ["dim"]
        return
    if layer in (nn.Sequential, nn.ModuleList, nn.Module, nn.Identity):
        return
    assert [p.name for p in ours] == [p.name for p in theirs]
    for p, q in zip(ours, theirs, strict=True):
        if p.name != "dtype" and q.default is not inspect.Parameter.empty:
            assert p.default == q.default, p.name


@pytest.mark.parametrize("layer", public_layers(), ids=lambda layer: layer.__name__)
def test_every_layer_says_what_it_computes(layer):
    assert vars(layer).get("__doc__")


def test_embedding_equals_torchs(rng, torch):
    ours, theirs = twins(torch, "Embedding", (7, 3, 2), {}, rng)
    index = np.array([[1, 2, 6], [2, 1, 1]])
    y, z = ours(mt.Tensor(index)), theirs(torch.tensor(index))
    np.testing.assert_array_equal(y.numpy(), z.detach().numpy())
    upstream = rng.standard_normal(y.shape)
    y.backward(mt.Tensor(upstream))
    z.backward(torch.tensor(upstream))
    np.testing.assert_allclose(ours.weight.grad.numpy(), theirs.weight.grad.numpy(), rtol=1e-12)
    assert not ours.weight.grad.numpy()[2].any(), "the padding learns nothing"


def test_unpooling_puts_maxima_back_as_torch_does(rng, torch):
    x = rng.standard_normal(IMAGE)
    y, indices = nn.MaxPool2d(2, return_indices=True)(mt.Tensor(x))
    z, places = torch.nn.MaxPool2d(2, return_indices=True)(torch.tensor(x))
    np.testing.assert_array_equal(indices.numpy(), places.numpy())
    for size in (None, (7, 6)):
        ours = nn.MaxUnpool2d(2)(y, indices, size)
        np.testing.assert_array_equal(ours.numpy(), torch.nn.MaxUnpool2d(2)(z, places, size).numpy())


@pytest.mark.parametrize(("name", "settings", "target"), LOSSES)
def test_a_loss_equals_torchs(name, settings, target, rng, torch):
    weights = {k: v for k, v in settings.items() if isinstance(v, list)}
    rest = {k: v for k, v in settings.items() if k not in weights}
    ours = getattr(nn, name)(**rest, **{k: np.array(v) for k, v in weights.items()})
    theirs = getattr(torch.nn, name)(**rest, **{k: torch.tensor(v, dtype=torch.float64) for k, v in weights.items()})
    assert list(ours.state_dict()) == list(theirs.state_dict())

    x = rng.standard_normal(LOGITS)
    goal = np.array([0, 2, 1, 1, 2]) if target == "class" else rng.dirichlet(np.ones(3), 5)
    more = [rng.uniform(0.1, 2.0, LOGITS)] if name == "GaussianNLLLoss" else []
    a, b = mt.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y = ours(a, mt.Tensor(goal), *map(mt.Tensor, more))
    z = theirs(b, torch.tensor(goal), *map(torch.tensor, more))
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-12)
    y.sum().backward()
    z.sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-10, atol=1e-13)


def test_a_weight_of_classes_may_be_a_list_and_moves_with_the_module():
    loss = nn.CrossEntropyLoss(weight=[0.5, 2.0, 1.0])
    assert loss.weight.dtype == np.float32
    assert loss.double().weight.dtype == np.float64
    assert not list(loss.parameters())


@pytest.mark.parametrize("name", ["Dropout", "Dropout2d"])
def test_dropout_zeroes_and_scales_only_while_training(name):
    layer = getattr(nn, name)(0.3, generator=mt.Generator(5))
    x = mt.Tensor(np.ones((40, 50, 3, 2), np.float32), requires_grad=True)
    y = layer(x).numpy()
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.7], rtol=1e-6)
    units = y[:, :, 0, 0] if name == "Dropout2d" else y
    assert abs((units == 0).mean() - 0.3) < 5 * np.sqrt(0.21 / units.size)
    if name == "Dropout2d":
        assert (y == y[:, :, :1, :1]).all(), "whole channels"
    assert (layer(x).numpy() != y).any(), "the generator goes on"
    layer.generator.state = mt.Generator(5).state
    np.testing.assert_array_equal(layer(x).numpy(), y)
    state = layer.generator.state
    np.testing.assert_array_equal(layer.eval()(x).numpy(), x.numpy())
    assert layer.generator.state == state, "nothing is drawn in evaluation"


@pytest.mark.parametrize(("name", "args", "settings", "shape"), LAYERS, ids=IDS)
def test_float32_stays_float32(name, args, settings, shape, rng):
    layer = getattr(nn, name)(*args, **settings)
    x = mt.Tensor(rng.standard_normal(shape).astype(np.float32), requires_grad=True)
    for _ in range(2):
        y = layer(x)
        assert y.dtype == np.float32
        y.sum().backward()
        assert all(t.grad.dtype == np.float32 for t in (x, *layer.parameters()))
        assert all(b.dtype in (np.float32, np.int64) for b in layer.buffers())
        layer.eval()


@pytest.mark.parametrize(
    ("name", "args", "shape"),
    [
        ("Linear", (4, 3), (2, 4)),
        ("Conv2d", (2, 3, (3, 2), 2, 1), (2, 2, 5, 4)),
        ("ConvTranspose2d", (2, 3, 2, 2), (1, 2, 3, 2)),
        ("BatchNorm2d", (2,), (3, 2, 3, 2)),
        ("GroupNorm", (1, 2), (2, 2, 3, 2)),
        ("LayerNorm", (4,), (3, 4)),
    ],
)
def test_gradients_in_inputs_and_parameters_are_right(name, args, shape, rng):
    layer = getattr(nn, name)(*args, generator=mt.Generator(1)) if "Norm" not in name else getattr(nn, name)(*args)
    report = mt.gradcheck(layer, rng.standard_normal(shape))
    assert report, str(report)
    assert {"weight", "bias"} <= {entry.name for entry in report.inputs}


def test_batch_norm_in_evaluation_uses_what_it_has_seen_and_changes_nothing(rng):
    layer = nn.BatchNorm2d(3, dtype=np.float64)
    batches = [rng.standard_normal((4, 3, 5, 2)) * 3 + 1 for _ in range(5)]
    mean, var = np.zeros(3), np.ones(3)
    for batch in batches:
        layer(mt.Tensor(batch))
        mean = 0.9 * mean + 0.1 * batch.mean((0, 2, 3))
        var = 0.9 * var + 0.1 * batch.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-12)
    np.testing.assert_allclose(layer.running_var.numpy(), var, rtol=1e-12)
    assert layer.num_batches_tracked.item() == 5

    layer.eval()
    y = layer(mt.Tensor(batches[0])).numpy()
    by_channel = (1, 3, 1, 1)
    expected = (batches[0] - mean.reshape(by_channel)) / np.sqrt(var.reshape(by_channel) + 1e-5)
    np.testing.assert_allclose(y, expected, rtol=1e-10)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-12)
    assert layer.num_batches_tracked.item() == 5


@pytest.mark.parametrize(("name", "shape"), [("BatchNorm2d", (4, 3, 5, 2)), ("BatchNorm1d", (5, 3))])
def test_batch_norm_ends_a_residual_block(name, shape, rng):
    """Rectified in the layer, and after the shortcut is added, as by operations of their own; then in evaluation."""
    in_one, apart = (nn.Sequential(getattr(nn, name)(3), getattr(nn, name)(3, momentum=None)).double() for _ in "ab")
    batches = [mt.Tensor(rng.standard_normal(shape) * 3 + 1) for _ in range(3)]
    for training in (True, True, False):
        x = batches.pop()
        y = in_one.train(training)[1](in_one[0](x, relu=True), residual=x, relu=True)
        expected = ops.add_relu(apart.train(training)[1](ops.relu(apart[0](x))), x)
        np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=1e-10, atol=1e-11)
        assert (y.numpy() == 0).any()
    for key, value in apart.state_dict().items():
        np.testing.assert_allclose(in_one.state_dict()[key].numpy(), value.numpy(), rtol=1e-12, err_msg=key)
    with pytest.raises(ValueError, match="batch_norm: residual expects relu=True; it is False"):
        in_one[0](x, residual=x)


def test_batch_norm_without_momentum_keeps_plain_means(rng):
    layer = nn.BatchNorm1d(2, momentum=None, dtype=np.float64)
    batches = [rng.standard_normal((6, 2)) + k for k in range(4)]
    for batch in batches:
        layer(mt.Tensor(batch))
    np.testing.assert_allclose(layer.running_mean.numpy(), np.mean([b.mean(0) for b in batches], 0), rtol=1e-12)
    np.testing.assert_allclose(layer.running_var.numpy(), np.mean([b.var(0, ddof=1) for b in batches], 0), rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(3, 4, 0), r"Conv2d: kernel_size expects a whole number >= 1, or two; it is 0"),
        (lambda: nn.Conv2d(3, 4, 3, padding="full"), r"Conv2d: padding expects .*it is 'full'"),
        (
            lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"),
            r"Conv2d: padding 'same' expects stride 1; it is \(2, 2\)",
        ),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), r"Conv2d: groups expects a divisor of in_channels = 3 and .*; it is 2"),
        (lambda: nn.Conv2d(3, 4, 3, padding_mode="wrap"), r"Conv2d: padding_mode expects one of zeros, .*'wrap'"),
        (lambda: nn.ConvTranspose2d(4, 3, 3, groups=2), r"ConvTranspose2d: groups expects a divisor"),
        (lambda: nn.GroupNorm(3, 4), r"GroupNorm: num_groups expects a divisor of the 4 channels; it is 3"),
        (lambda: nn.Dropout(1.5), r"Dropout: p expects a probability in \[0, 1\]; it is 1.5"),
        (lambda: nn.Dropout2d(-1), r"Dropout2d: p expects a probability in \[0, 1\]; it is -1"),
        (lambda: nn.ZeroPad2d((1, 2)), r"ZeroPad2d: padding expects a number, or \(left, right, top, bottom\)"),
        (
            lambda: nn.BatchNorm2d(3)(mt.Tensor(np.ones((2, 3), np.float32))),
            r"BatchNorm2d: x expects 4 axes; it is \(2, 3\)",
        ),
        (
            lambda: nn.BatchNorm1d(3)(mt.Tensor(np.ones((2, 3, 1, 1), np.float32))),
            r"BatchNorm1d: x expects 2 or 3 axes; it is \(2, 3, 1, 1\)",
        ),
    ],
)
def test_wrong_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
