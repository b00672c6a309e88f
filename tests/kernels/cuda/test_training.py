"""Training on the simulator is training on the CPU: the same steps of a LeNet with batch norm, by our kernels."""

import numpy as np
import pytest

from minitorch_cv import Generator, Tensor, kernel_usage, manual_seed, nn, ops, optim
from minitorch_cv._device import to_numpy, usable_simulator
from minitorch_cv.training import Trainer


@pytest.fixture(scope="module", autouse=True)
def _simulator():
    usable, reason = usable_simulator()
    if not usable:
        pytest.skip(reason)


def lenet():
    manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten()),
        *(nn.Linear(16 * 5 * 5, 120), nn.SiLU(), nn.Linear(120, 84), nn.LeakyReLU(), nn.Linear(84, 10)),
    )


@pytest.mark.parametrize(
    ("optimizer", "update"),
    [
        (lambda params: optim.SGD(params, 0.05, momentum=0.9, weight_decay=1e-4, nesterov=True), "sgd_step"),
        (lambda params: optim.Adam(params, 3e-3, weight_decay=1e-4), "adam_step"),
    ],
)
def test_twenty_steps_equal_the_cpu(optimizer, update):
    images = np.random.default_rng(1).standard_normal((8, 1, 28, 28)).astype(np.float32)
    labels = np.arange(8) % 10
    losses, weights = {}, {}
    for device in ("cpu", "cuda-sim"):
        net = lenet().to(device)
        step = optimizer(net.parameters())
        x, t, generator = Tensor(images, device=device), Tensor(labels, device=device), Generator(3)
        losses[device] = []
        with kernel_usage() as usage:
            for _ in range(20):
                step.zero_grad()
                loss = ops.cross_entropy(net(ops.dropout(x, 0.1, generator=generator)), t)
                loss.backward()
                step.step()
                losses[device].append(loss.item())
        weights[device] = [to_numpy(p.data) for p in net.parameters()]
    assert losses["cpu"][-1] < 0.7 * losses["cpu"][0]
    np.testing.assert_allclose(losses["cuda-sim"], losses["cpu"], rtol=1e-4, atol=1e-4)
    for given, right in zip(weights["cuda-sim"], weights["cpu"], strict=True):
        # In the mean: Adam divides by the gradient's size, so where that is rounding alone a weight may stray.
        assert np.linalg.norm(given - right) <= 1e-4 * np.linalg.norm(right)
    assert all(choice.device == "cuda-sim" for choice in usage.counts if choice.dtype)
    ours = {choice.operation for choice in usage.counts if choice.body != "portable"}
    assert ours >= {"relu", "tanh", "silu", "leaky_relu", "scale_kept", "softmax_cross_entropy", update}


def test_the_trainer_runs_on_the_device(tmp_path):
    """Loader, clipping, averages, checkpoint and a resumed run: as on the CPU."""
    losses, averages = {}, {}
    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal((24, 1, 28, 28)).astype(np.float32), np.arange(24) % 10
    batches = [(images[i : i + 8], labels[i : i + 8]) for i in range(0, 24, 8)]
    for device in ("cpu", "cuda-sim"):
        for epochs in (1, 2):  # the second trainer goes on where the first ended
            net = lenet().to(device)
            average = optim.ExponentialMovingAverage(net, 0.5)
            trainer = Trainer(
                *(net, optim.Adam(net.parameters(), 3e-3), ops.cross_entropy),
                train_loader=batches,
                test_loader=batches,
                ema=average,
                clip_norm=1.0,
                checkpoint=tmp_path / f"{device}.ckpt",
                progress=False,
            )
            history = trainer.fit(epochs, resume=epochs > 1)
        losses[device] = [*history["loss"], *history["test_loss"]]
        averages[device] = [to_numpy(v) for v in average.shadow.values()]
    np.testing.assert_allclose(losses["cuda-sim"], losses["cpu"], rtol=1e-4)
    for given, right in zip(averages["cuda-sim"], averages["cpu"], strict=True):
        assert np.linalg.norm(given - right) <= 1e-3 * np.linalg.norm(right)
