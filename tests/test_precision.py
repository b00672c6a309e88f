"""`mt.set_precision`: what it sets, what it rounds and what it does not, and that nothing need be scaled."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import Tensor, nn, ops, optim
from minitorch_cv._device import usable_simulator
from minitorch_cv._precision import PRECISIONS, in_precision
from minitorch_cv.training import CheckpointError, Trainer

ROUNDING = {"fp32": 2.0**-24, "tf32": 2.0**-11, "bf16": 2.0**-8}
"""The largest relative error of a number that is rounded to it."""


@pytest.fixture
def simulator():
    usable, reason = usable_simulator()
    if not usable:
        pytest.skip(reason)
    return "cuda-sim"


@pytest.fixture(autouse=True)
def _put_back():
    yield
    mt.set_precision("fp32")


def test_it_is_set_and_got():
    assert mt.get_precision() == "fp32"
    mt.set_precision("bf16")
    assert mt.get_precision() == "bf16"


def test_an_unknown_precision_is_named():
    with pytest.raises(ValueError, match=r"^set_precision: value expects one of fp32, tf32, bf16; it is 'fp16'$"):
        mt.set_precision("fp16")


def test_it_is_put_back_after_an_error():
    with pytest.raises(KeyError), in_precision("tf32"):
        raise KeyError
    assert mt.get_precision() == "fp32"


def test_the_cpu_rounds_nothing():
    rng = np.random.default_rng(0)
    x, weight = (Tensor(rng.standard_normal(s).astype(np.float32)) for s in ((2, 3, 6, 6), (4, 3, 3, 3)))
    exact = ops.conv2d(x, weight).numpy()
    with in_precision("bf16"):
        assert np.array_equal(ops.conv2d(x, weight).numpy(), exact)


def gradients(device, dtype, scale=1.0):
    """Of a small network's sum with random factors, by parameter."""
    net = network().to(device)
    net = net.double() if dtype is np.float64 else net
    rng = np.random.default_rng(4)
    x, upstream = rng.standard_normal((4, 2, 6, 6)), rng.standard_normal((4, 3))
    y = net(Tensor(x.astype(dtype), device=device))
    y.backward(Tensor((scale * upstream).astype(dtype), device=device))
    return [p.grad.numpy().astype(np.float64) for p in net.parameters() if p.grad is not None]


def network():
    generator = mt.Generator(5)
    return nn.Sequential(
        *(nn.Conv2d(2, 5, 3, generator=generator), nn.Tanh(), nn.Flatten()),
        nn.Linear(80, 3, generator=generator),
    )


@pytest.mark.parametrize("precision", PRECISIONS)
def test_gradients_are_as_exact_as_the_precision(precision, simulator):
    """Against float64 on the CPU: in the mean a few roundings, and each precision coarser than the one before."""
    right = gradients("cpu", np.float64)
    with in_precision(precision):
        given = gradients(simulator, np.float32)
    errors = [np.linalg.norm(g - r) / np.linalg.norm(r) for g, r in zip(given, right, strict=True)]
    assert max(errors) <= 4 * ROUNDING[precision]
    if precision != "fp32":  # the weights' gradients are sums of rounded products
        assert max(errors) >= ROUNDING[precision] / 16


@pytest.mark.parametrize("precision", PRECISIONS)
def test_tiny_gradients_survive_without_scaling(precision, simulator):
    """An upstream gradient of 1e-30, which float16 would make zero, changes the gradients by that factor alone."""
    scale = 2.0**-100
    assert np.float16(scale) == 0
    with in_precision(precision):
        usual, tiny = gradients(simulator, np.float32), gradients(simulator, np.float32, scale)
    for one, other in zip(usual, tiny, strict=True):
        assert np.count_nonzero(other) == np.count_nonzero(one) > 0
        assert np.array_equal(other, one * scale)  # a power of two: not a bit of the mantissa is lost


def to_bf16(values):
    """Rounded to nearest, ties to even."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)


def test_updates_below_bf16s_resolution_add_up(simulator):
    """The weights stay in float32, so 256 updates of 2^-12 arrive; a weight of 1 held in bf16 would never move."""
    update, steps = 2.0**-12, 256
    layer = nn.Linear(1, 1, bias=False).to(simulator)
    (weight,) = layer.parameters()
    weight.data[...] = 1.0
    optimizer = optim.SGD(layer.parameters(), lr=update)
    x = Tensor(np.ones((1, 1), np.float32), device=simulator)
    held_in_bf16 = np.ones(1, np.float32)
    with in_precision("bf16"):
        for _ in range(steps):
            optimizer.zero_grad()
            layer(x).sum().backward()
            optimizer.step()
            gradient = weight.grad.numpy()[0]  # pyright: ignore[reportOptionalMemberAccess]
            held_in_bf16 = to_bf16(held_in_bf16 - np.float32(update) * gradient)
    assert weight.item() == 1 - steps * update == 0.9375
    assert held_in_bf16[0] == 1


def train(precision, device, steps=20):
    mt.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh()),
        *(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 10)),
    ).to(device)
    images = np.random.default_rng(1).standard_normal((8, 1, 28, 28)).astype(np.float32)
    x, labels = Tensor(images, device=device), Tensor(np.arange(8), device=device)
    optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    losses = []
    with in_precision(precision):
        for _ in range(steps):
            optimizer.zero_grad()
            loss = ops.cross_entropy(net(x), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def test_a_lenet_learns_in_each_precision(simulator):
    """Twenty steps: the losses are those of float32 within 2e-4 of the first in tf32, 2e-3 in bf16."""
    losses = {precision: train(precision, simulator) for precision in PRECISIONS}
    assert losses["fp32"][-1] < 0.5 * losses["fp32"][0]
    for precision, allowed in (("tf32", 2e-4), ("bf16", 2e-3)):
        distance = max(abs(a - b) for a, b in zip(losses[precision], losses["fp32"], strict=True))
        print(f"{precision}: the losses are off by at most {distance:.2e}; {losses[precision][-1]:.4f} at the end")
        assert 0 < distance <= allowed * losses["fp32"][0]


# ---- the Trainer's


def trainer_of(precision, **settings):
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, generator=mt.Generator(0)))
    batches = [(np.ones((2, 1, 2, 2), np.float32), np.arange(2))]
    return Trainer(
        *(net, optim.SGD(net.parameters(), lr=0.1)),
        train_loader=batches,
        test_loader=batches,
        progress=False,
        precision=precision,
        **settings,
    )


def test_a_trainer_trains_and_evaluates_in_its_precision():
    met = []

    def loss_fn(logits, labels):
        met.append(mt.get_precision())
        return ops.cross_entropy(logits, labels)

    trainer = trainer_of("bf16", loss_fn=loss_fn)
    trainer.fit(1)
    trainer.evaluate()
    assert met == ["bf16"] * 3 and mt.get_precision() == "fp32"


def test_a_trainer_takes_what_is_set_when_it_is_made():
    mt.set_precision("tf32")
    trainer = trainer_of(None)
    mt.set_precision("fp32")
    assert trainer.precision == "tf32"


def test_a_trainer_names_an_unknown_precision():
    with pytest.raises(ValueError, match=r"^Trainer: precision expects one of fp32, tf32, bf16; it is 'half'$"):
        trainer_of("half")


def test_a_run_goes_on_in_its_precision_alone(tmp_path):
    trainer_of("tf32", checkpoint=tmp_path / "run").fit(1)
    trainer_of("tf32", checkpoint=tmp_path / "run").fit(2, resume=True)
    other = trainer_of("fp32", checkpoint=tmp_path / "run")
    with pytest.raises(CheckpointError, match="state expects the precision 'fp32', as this Trainer; it has 'tf32'"):
        other.fit(2, resume=True)


def test_a_checkpoint_from_before_precisions_is_of_fp32():
    state = trainer_of("fp32").state_dict()
    del state["precision"]
    trainer_of("fp32").load_state_dict(state)
    with pytest.raises(ValueError, match="state expects the precision 'bf16'"):
        trainer_of("bf16").load_state_dict(state)
