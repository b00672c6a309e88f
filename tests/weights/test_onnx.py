"""Every architecture as an ONNX file, run by onnxruntime: the same outputs, for any number of images."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import nn, ops
from minitorch_cv.models import REGISTRY
from minitorch_cv.weights import export_onnx

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install -e '.[export]'")

VGG = {"num_classes": 5, "channels": (4, 6, 8, 10, 12), "hidden": 14, "grid": 2, "input_size": 64}
NARROW = {
    "alexnet": {"num_classes": 5, "channels": (4, 8, 6, 6, 4), "hidden": 9, "grid": 6, "input_size": 224},
    "alexnet_paper": {"num_classes": 5, "channels": (4, 8, 6, 6, 4), "hidden": 9, "input_size": 227},
    "zfnet": {"num_classes": 5, "channels": (4, 8, 6, 6, 4), "hidden": 9},
    "googlenet": {"num_classes": 5, "width": 0.125, "input_size": 96},
    "googlenet_paper": {"num_classes": 5, "width": 0.125, "input_size": 224},
    **{name: {} for name in REGISTRY if "dcgan" in name or "autoencoder" in name},
    "ddpm_unet_small": {},
    "ddpm_unet_digits": {},
}
CIFAR = {f"{kind}{depth}" for kind in ("resnet", "plain") for depth in (20, 32, 44, 56, 110)}
FORGETFUL = {f"plain{depth}" for depth in (32, 44, 56, 110)}
"""So deep without shortcuts that all images look alike at the end, before training."""
RANDOM = dict.fromkeys(("vae", "conv_vae"), "its code is drawn anew in each pass")
NAMES = [name for name in REGISTRY if name not in (*RANDOM, "ddpm_unet")]


def narrow(name):
    """The architecture at a small width, in random weights and statistics."""
    settings = NARROW.get(name)
    if settings is None:
        size = 32 if name in CIFAR else 64
        settings = VGG if name.startswith("vgg") else {"num_classes": 5, "width": 4, "input_size": size}
    generator = mt.Generator(4)
    net = REGISTRY[name].constructor(**settings, generator=generator)
    for parameter in net.parameters():  # so that the image reaches the output, whatever the paper starts from
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)
        elif not parameter.numpy().any():
            nn.init.normal_(parameter, 0.0, 0.1, generator=generator)
    for key, value in net.named_buffers():  # of their own, and near those that leave the image recognisable
        if key.endswith("running_mean"):
            value.data[...] = generator.normal(value.shape, dtype=value.dtype) * 0.1
        elif key.endswith("running_var"):
            value.data[...] = np.exp(generator.normal(value.shape, dtype=value.dtype) * 0.2)
    return net.eval()


def run(path, *inputs):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install -e '.[yardstick]'")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {given.name: x for given, x in zip(session.get_inputs(), inputs, strict=True)})


@pytest.mark.yardstick
@pytest.mark.parametrize("name", NAMES)
def test_onnxruntime_computes_the_same(name, tmp_path):
    net, path = narrow(name), tmp_path / "net.onnx"
    export_onnx(net, path)
    generator = mt.Generator(7)
    for count in (1, 3):
        x = generator.normal((count, *net.input_shape[1:]), dtype=np.float32)
        others = [np.repeat(np.asarray(o.data, np.float32), count, axis=0) for o in getattr(net, "other_inputs", ())]
        with mt.no_grad():
            ours = net(mt.Tensor(x), *map(mt.Tensor, others))
        ours = ours if isinstance(ours, tuple) else (ours,)
        theirs = run(path, x, *others)
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            error = np.abs(mine.numpy() - other).max() / np.abs(other).max()
            print(f"{name}, {count} images: worst error {error:.1e}")
            assert error < 1e-4
            if count > 1 and name not in FORGETFUL:
                assert other.std(axis=0).max() > 1e-2 * np.abs(other).max(), "the outputs tell the images apart"


def test_the_file_holds_the_weights_by_their_names(tmp_path):
    net = narrow("resnet18")
    export_onnx(net, tmp_path / "net.onnx")
    graph = onnx.load(tmp_path / "net.onnx").graph
    written = {constant.name: onnx.numpy_helper.to_array(constant) for constant in graph.initializer}
    for name, value in net.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(written[name], value.numpy(), err_msg=name)
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"


def test_the_model_is_left_as_it_was(tmp_path):
    net = narrow("resnet20").train()
    net.layer1.eval()
    before = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    with mt.no_grad():
        export_onnx(net, tmp_path / "net.onnx")
    assert net.training and not net.layer1.training
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    assert all(p.grad is None for p in net.parameters())


def test_what_has_no_counterpart_is_named_and_no_file_is_left(tmp_path):
    class Odd(nn.Module):
        input_shape = (1, 3)

        def __init__(self):
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            return ops.flip(self.linear(x), 1)

    with pytest.raises(NotImplementedError, match="export_onnx: the operation flip has no counterpart"):
        export_onnx(Odd(), tmp_path / "net.onnx")
    with pytest.raises(NotImplementedError, match="adaptive_avg_pool2d from"):
        export_onnx(nn.Sequential(nn.Conv2d(1, 1, 1), nn.AdaptiveAvgPool2d(3)), tmp_path / "net.onnx", (1, 1, 7, 7))
    assert not list(tmp_path.iterdir())


def test_names_of_ones_own_meet_none_of_the_graphs(tmp_path):
    class Odd(nn.Module):
        input_shape = (1, 4)

        def __init__(self):
            self.constant_0 = nn.Parameter(np.arange(4, dtype=np.float32))
            self.x = nn.Parameter(np.full(4, 3, np.float32))
            self.multiply_0 = nn.Parameter(np.full(4, 5, np.float32))

        def forward(self, image):
            return ops.permute((image * 2.0 + self.constant_0) * self.x + self.multiply_0, (0, -1))

    net, path, x = Odd(), tmp_path / "net.onnx", mt.Generator(0).normal((3, 4), dtype=np.float32)
    export_onnx(net, path)
    np.testing.assert_allclose(run(path, x)[0], net(mt.Tensor(x)).numpy(), rtol=1e-6)


def test_a_model_that_returns_something_else_is_refused(tmp_path):
    class Odd(nn.Sequential):
        def forward(self, x):
            return {"logits": super().forward(x)}

    with pytest.raises(TypeError, match="export_onnx: model expects to return a Tensor or a tuple of them"):
        export_onnx(Odd(nn.Linear(3, 2)), tmp_path / "net.onnx", (1, 3))


def test_without_the_package_the_cure_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install -e \"\.\[export\]\""):
        export_onnx(narrow("resnet20"), tmp_path / "net.onnx")


def test_single_layers_with_all_their_settings(tmp_path):
    """What the architectures do not use."""
    layers = {
        "conv": nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), groups=2),
        "transposed": nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 0), (1, 2), groups=2),
        "average": nn.Sequential(nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.AdaptiveAvgPool2d((2, 4))),
        "norms": nn.Sequential(nn.GroupNorm(2, 4), nn.LayerNorm((8, 8)), nn.GELU(), nn.ELU(0.5)),
        "linear": nn.Sequential(nn.Linear(8, 5), nn.Softmax(-1), nn.LogSoftmax(2)),
    }
    x = mt.Generator(0).normal((2, 4, 8, 8), dtype=np.float32)
    for name, layer in layers.items():
        net = nn.Sequential(nn.Conv2d(4, 4, 1), layer).eval()
        export_onnx(net, tmp_path / f"{name}.onnx", (1, 4, 8, 8))
        (theirs,) = run(tmp_path / f"{name}.onnx", x)
        with mt.no_grad():
            np.testing.assert_allclose(net(mt.Tensor(x)).numpy(), theirs, rtol=1e-4, atol=1e-5, err_msg=name)
