"""`training.capture`: the same numbers as plain steps, and what a graph must not freeze."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import recorded_graphs

import minitorch_cv as mt
from minitorch_cv import Tensor, nn, ops, optim, training
from minitorch_cv._capturing import recording_a_graph
from minitorch_cv._device import usable_simulator
from minitorch_cv.training import _capture


@pytest.fixture
def cupy(monkeypatch):
    """CuPy's part, played on the simulator, which counts as a device with graphs."""
    usable, reason = usable_simulator()
    if not usable:
        pytest.skip(reason)
    monkeypatch.setattr(_capture, "GRAPHS_ON", ("cuda-sim",))
    with monkeypatch.context() as patch:
        yield recorded_graphs.play_cupy(patch)


def network():
    generator = mt.Generator(3)
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, generator=generator), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(36, 5, generator=generator)),
    )


def batches(count, size=6):
    rng = np.random.default_rng(0)
    return [(rng.standard_normal((size, 1, 8, 8)).astype(np.float32), rng.integers(0, 5, size)) for _ in range(count)]


def train(device, captured, make_optimizer, data):
    net = network().to(device)
    optimizer = make_optimizer(net.parameters())

    def objective(x, labels):
        return ops.cross_entropy(net(x if isinstance(x, Tensor) else Tensor(x)), labels, ignore_index=4)

    step = training.capture(objective, net) if captured else None
    losses = []
    for number, (images, labels) in enumerate(data):
        optimizer.param_groups[0]["lr"] = 0.01 / (1 + number)  # a schedule
        x, labels = Tensor(images, device=device), Tensor(labels, device=device)
        if step is None:
            optimizer.zero_grad()
            loss = objective(x, labels)
            loss.backward()
        else:
            loss = step(x, labels)
        optimizer.step()
        losses.append(loss.item())
    return losses, {name: value.numpy() for name, value in net.state_dict().items()}


OPTIMIZERS = [
    lambda parameters: optim.SGD(parameters, 0.01, momentum=0.9),
    lambda parameters: optim.Adam(parameters, 0.01),
]


@pytest.mark.parametrize("make_optimizer", OPTIMIZERS, ids=["SGD", "Adam"])
def test_a_graph_trains_as_plain_steps_do(make_optimizer, cupy):
    """Rates that change, Adam's count, running statistics, ignored labels whose number differs by batch."""
    data = batches(4)
    plain, plain_state = train("cuda-sim", False, make_optimizer, data)
    assert cupy.graphs == []
    losses, state = train("cuda-sim", True, make_optimizer, data)
    assert [graph.launches for graph in cupy.graphs] == [4]
    assert len({int((labels == 4).sum()) for _, labels in data}) > 1
    np.testing.assert_allclose(losses, plain, rtol=1e-6)
    for name, value in plain_state.items():
        np.testing.assert_allclose(state[name], value, rtol=1e-5, atol=1e-7, err_msg=name)


def test_on_the_cpu_the_step_runs():
    data = batches(3)
    losses, state = train("cpu", True, OPTIMIZERS[0], data)
    plain, plain_state = train("cpu", False, OPTIMIZERS[0], data)
    assert losses == plain and all(np.array_equal(state[name], value) for name, value in plain_state.items())


@pytest.fixture
def layer(cupy):
    net = nn.Sequential(nn.Linear(3, 2, generator=mt.Generator(0))).to("cuda-sim")
    return net, training.capture(lambda x: net(Tensor(x)).sum(), net)


@pytest.fixture
def restored_precision():
    yield
    mt.set_precision("fp32")


def test_it_is_recorded_anew_for_what_it_would_freeze(cupy, layer, restored_precision):
    net, step = layer
    x = np.ones((2, 3), np.float32)
    changes = [
        lambda: None,
        lambda: net.eval(),
        lambda: setattr(net[0].bias, "requires_grad", False),
        lambda: mt.set_precision("bf16"),
    ]
    for number, change in enumerate(changes, start=1):
        change()
        step(x)
        step(x)
        assert len(cupy.graphs) == number
    step(np.ones((5, 3), np.float32))
    assert len(cupy.graphs) == len(changes) + 1
    step(x)
    assert len(cupy.graphs) == len(changes) + 1  # the graph of the other shape was kept


def test_an_array_that_was_replaced_is_read(cupy, layer):
    """And one that was written into needs no new graph."""
    net, step = layer
    x = np.ones((2, 3), np.float32)
    step(x)
    net[0].weight.data[...] = 0.0
    net[0].bias.data[...] = 1.0
    assert step(x).item() == 4 and len(cupy.graphs) == 1
    net[0].weight.data = net[0].weight.data + 1
    assert step(x).item() == 16 and len(cupy.graphs) == 2


def test_results_and_gradients_are_of_the_last_batch(cupy, layer):
    net, step = layer
    first = step(np.ones((2, 3), np.float32))
    value = first.item()
    net.zero_grad()
    step(np.full((2, 3), 2.0, np.float32))
    assert first.item() == value and not first.requires_grad
    assert np.array_equal(net[0].weight.grad.numpy(), np.full((2, 3), 4.0, np.float32))


def test_several_results(cupy):
    net = nn.Linear(3, 2, generator=mt.Generator(0)).to("cuda-sim")

    def objective(x):
        y = net(Tensor(x))
        return y.sum(), y

    loss, y = training.capture(objective, net)(np.ones((2, 3), np.float32))
    assert y.shape == (2, 2) and y.numpy().sum() == pytest.approx(loss.item())


def test_dropout_is_refused(cupy):
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Dropout(0.5)).to("cuda-sim")
    before = net.state_dict()["1.running_mean"].numpy().copy()
    step = training.capture(lambda x: net(Tensor(x)).sum(), net)
    message = "^capture: the step cannot be recorded as a CUDA graph: Generator: expects not to be captured"
    with pytest.raises(RuntimeError, match=message):
        step(np.ones((2, 3), np.float32))
    assert np.array_equal(net.state_dict()["1.running_mean"].numpy(), before) and cupy.graphs == []
    assert mt.Generator(0).random() is not None  # drawing is refused no longer


def test_a_wrong_label_is_named_as_anywhere(cupy):
    net = nn.Linear(3, 2).to("cuda-sim")
    step = training.capture(lambda x, labels: ops.cross_entropy(net(Tensor(x)), labels), net)
    with pytest.raises(IndexError, match=r"^cross_entropy: target expects classes 0 \.\. 1; it has 7$"):
        step(np.ones((2, 3), np.float32), np.array([0, 7]))


def test_another_thread_may_draw_meanwhile():
    """A loader shuffles and flips ahead, in a thread of its own."""
    with recording_a_graph(), ThreadPoolExecutor(1) as pool:
        assert 0 <= pool.submit(mt.Generator(0).random).result() < 1
        with pytest.raises(RuntimeError, match=r"^Generator: expects not to be captured"):
            mt.Generator(0).random()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda y: y * y.sum().item(), "not permitted when stream is capturing"),
        (lambda y: ops.matmul(y.reshape(1, 2, 2), y.reshape(1, 2, 2)), "cuBLAS"),
    ],
)
def test_what_cupy_refuses_is_said(spoil, reason, cupy):
    net = nn.Linear(3, 2).to("cuda-sim")
    step = training.capture(lambda x: spoil(net(Tensor(x))).sum(), net)
    with pytest.raises(RuntimeError, match=f"^capture: the step cannot be recorded as a CUDA graph: .*{reason}"):
        step(np.ones((2, 3), np.float32))
    assert cupy.recording is None and all(parameter.grad is None for parameter in net.parameters())


def test_what_does_not_fit_is_named():
    net = nn.Linear(3, 2)
    with pytest.raises(TypeError, match=r"^capture: argument 0 of the step expects a Tensor or an array; it is \[1\]$"):
        training.capture(lambda x: net(x).sum(), net)([1])
    with pytest.raises(TypeError, match=r"^capture: objective expects to return Tensors; result 0 is 1.0$"):
        training.capture(lambda x: 1.0, net)(np.ones((2, 3), np.float32))


# ---- the Trainer's


def fit(device, capture, data, **settings):
    net = network().to(device)
    trainer = training.Trainer(
        *(net, optim.Adam(net.parameters(), 0.01)),
        train_loader=data,
        test_loader=data[:1],
        ema=optim.ExponentialMovingAverage(net, 0.5),
        clip_norm=0.5,
        progress=False,
        capture=capture,
        **settings,
    )
    history = trainer.fit(2)
    return {name: history[name] for name in ("loss", "top1", "test_loss")}, trainer


def test_the_trainer_trains_by_graphs(cupy):
    data = batches(3)
    plain, other = fit("cuda-sim", False, data)
    given, trainer = fit("cuda-sim", True, data)
    assert [graph.launches for graph in cupy.graphs] == [6]
    for name in plain:
        np.testing.assert_allclose(given[name], plain[name], rtol=1e-5, err_msg=name)
    state = trainer.model.state_dict()
    for name, value in other.model.state_dict().items():
        np.testing.assert_allclose(state[name].numpy(), value.numpy(), rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_trainer_captures_nothing_on_the_cpu():
    data = batches(3)
    assert fit("cpu", True, data)[0] == fit("cpu", False, data)[0]


def test_a_step_that_fails_leaves_the_running_statistics(cupy):
    """A graph writes into them, so the Trainer keeps copies."""
    data = batches(2)
    _, trainer = fit("cuda-sim", True, data)
    before = {name: value.numpy().copy() for name, value in trainer.model.state_dict().items()}
    trainer.train_loader.batches = [(np.full_like(data[0][0], np.nan), data[0][1])]
    with pytest.raises(FloatingPointError), np.errstate(all="ignore"):
        trainer.fit(3)
    assert all(np.array_equal(value.numpy(), before[name]) for name, value in trainer.model.state_dict().items())


def test_a_game_is_not_captured():
    with pytest.raises(ValueError, match="AdversarialTrainer: expects none of capture"):
        training.AdversarialTrainer(nn.Linear(1, 1), *OPTIMIZERS, capture=True)  # pyright: ignore
