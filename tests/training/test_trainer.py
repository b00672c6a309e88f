"""The Trainer: that it learns, measures, logs and says what does not fit."""

import csv
import json
import sys

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import nn, ops, optim
from minitorch_cv.data import DataLoader, TenCrop, mnist5k
from minitorch_cv.training import History, Trainer, topk_accuracy


@pytest.fixture
def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10, generator=mt.Generator(0)))


def batches(rng, count=3, size=4):
    return [(rng.random((size, 1, 28, 28), np.float32), rng.integers(0, 10, size)) for _ in range(count)]


def trainer_of(net, train, lr=0.1, **settings):
    return Trainer(net, optim.SGD(net.parameters(), lr=lr), train_loader=train, **{"progress": False, **settings})


def test_it_learns_digits(net):
    data = mnist5k("train").subset(slice(1000))
    loader = DataLoader(data, 50, shuffle=True, generator=mt.Generator(0))
    trainer = Trainer(
        net,
        optim.SGD(net.parameters(), lr=0.1, momentum=0.9),
        train_loader=loader,
        test_loader=DataLoader(mnist5k("test"), 200),
        progress=False,
    )
    history = trainer.fit(3)
    assert history["epoch"] == [1, 2, 3] and history["loss"][2] < history["loss"][0]
    assert history.last["test_top1"] > 0.8
    assert set(history) == {
        *("epoch", "lr", "loss", "top1", "test_loss", "test_top1"),
        *("seconds", "images_per_second"),
    }


def test_a_step_is_the_textbook_step(net, rng):
    """One epoch against the loop written out, with clipping, schedule and averaged weights."""
    data = batches(rng)
    other = nn.Sequential(nn.Flatten(), nn.Linear(784, 10, generator=mt.Generator(0)))
    optimizer = optim.SGD(other.parameters(), lr=0.5, momentum=0.9)
    schedule, ema = optim.CosineAnnealingLR(optimizer, 3), optim.ExponentialMovingAverage(other, 0.5)
    losses = []
    for images, labels in data:
        loss = ops.cross_entropy(other(mt.Tensor(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optim.clip_grad_norm_(other.parameters(), 0.5)
        optimizer.step()
        schedule.step()
        ema.update()
        losses.append(loss.item())

    own = optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
    trainer = Trainer(
        net,
        own,
        train_loader=data,
        schedule=optim.CosineAnnealingLR(own, 3),
        schedule_per="step",
        ema=optim.ExponentialMovingAverage(net, 0.5),
        clip_norm=0.5,
        progress=False,
    )
    history = trainer.fit(1)
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert np.array_equal(a.data, b.data)
    for name, value in ema.shadow.items():
        assert np.array_equal(trainer.ema.shadow[name], value)
    assert history["loss"][0] == pytest.approx(np.mean(losses), rel=1e-12)
    assert history["lr"][0] == pytest.approx(0.5 * (1 + np.cos(np.pi * 2 / 3)) / 2)
    assert own.param_groups[0]["lr"] == pytest.approx(0.0)


def test_measurements_are_weighted_by_the_size_of_the_batch(net, rng):
    train = batches(rng, 1, 5) + batches(rng, 1, 1)
    trainer = trainer_of(net, train, lr=0.0, metrics=("top1", "top5"))
    history = trainer.fit(1)
    images, labels = (np.concatenate(parts) for parts in zip(*train))
    logits = net(mt.Tensor(images))
    assert history["loss"][0] == pytest.approx(ops.cross_entropy(logits, labels).item(), rel=1e-6)
    assert history["top5"][0] == pytest.approx(topk_accuracy(logits, labels, 5))
    found = trainer.evaluate(train)
    assert found["loss"] == pytest.approx(history["loss"][0], rel=1e-6) and found["top1"] == history["top1"][0]
    predicted, known = trainer.predict(train)
    np.testing.assert_allclose(predicted, logits.data, rtol=1e-5, atol=1e-6)
    assert np.array_equal(known, labels)


def test_evaluation_leaves_the_model_as_it_was(rng):
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(784, 10))
    net.get_submodule("1").training = False  # frozen by the user
    trainer = trainer_of(net, batches(rng))
    weights, generator = net.get_submodule("2").weight.data.copy(), mt.default_generator().state
    first, second = trainer.evaluate(batches(rng, 2)), trainer.evaluate(batches(np.random.default_rng(9), 1))
    assert set(first) == set(second) == {"loss", "top1"}
    assert [module.training for module in net.modules()] == [True, True, False, True]
    assert np.array_equal(net.get_submodule("2").weight.data, weights) and mt.default_generator().state == generator
    trainer.fit(1)
    assert not net.get_submodule("1").training


def test_evaluation_is_of_the_averaged_weights(net, rng):
    data = batches(rng)
    ema = optim.ExponentialMovingAverage(net, 0.9)
    trainer = trainer_of(net, data, lr=1.0, ema=ema)
    trainer.fit(2)
    own = ops.cross_entropy(net(mt.Tensor(data[0][0])), data[0][1]).item()
    with ema.applied():
        averaged = ops.cross_entropy(net(mt.Tensor(data[0][0])), data[0][1]).item()
    assert trainer.evaluate(data[:1])["loss"] == pytest.approx(averaged) and abs(own - averaged) > 1e-3


def test_ten_crops_are_one_prediction(rng):
    net = nn.Sequential(nn.Flatten(), nn.Linear(20 * 20, 10, generator=mt.Generator(0)))
    test = mnist5k("test").subset(slice(30))
    loader = DataLoader(test, 7, transform=lambda images, generator: TenCrop(20)(images))
    logits, labels = trainer_of(net, [(rng.random((2, 1, 20, 20), np.float32), np.zeros(2, int))]).predict(loader)
    crops = TenCrop(20)(test.images) / np.float32(255)
    probabilities = np.mean([ops.softmax(net(mt.Tensor(crops[:, i]))).data for i in range(10)], axis=0)
    np.testing.assert_allclose(np.exp(logits), probabilities, rtol=1e-5)
    assert np.array_equal(labels, test.labels)


def test_metrics_of_ones_own(net, rng):
    def error(logits, labels):
        return 1 - topk_accuracy(logits, labels)

    history = trainer_of(net, batches(rng), metrics={"top1": "top1", "error": error}).fit(1)
    assert history["error"][0] == pytest.approx(1 - history["top1"][0])


def test_metrics_see_the_first_of_several_outputs(net, rng):
    class Headed(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            logits = self.net(x)
            return (logits, -logits) if self.training else logits

    def loss(outputs, labels):
        return ops.cross_entropy(outputs[0] if isinstance(outputs, tuple) else outputs, labels)

    train = batches(rng)
    plain = trainer_of(net, train).fit(1)["top1"]
    net.load_state_dict(nn.Sequential(nn.Flatten(), nn.Linear(784, 10, generator=mt.Generator(0))).state_dict())
    assert trainer_of(Headed(), train, loss_fn=loss).fit(1)["top1"] == plain


def test_an_objective_in_place_of_logits(net, rng):
    train, test = batches(rng), batches(rng, 1)

    def objective(x, labels):
        return ops.cross_entropy(net(x), labels)

    expected = trainer_of(net, train, test_loader=test).fit(1)
    net.load_state_dict(nn.Sequential(nn.Flatten(), nn.Linear(784, 10, generator=mt.Generator(0))).state_dict())
    found = trainer_of(net, train, test_loader=test, objective=objective).fit(1)
    assert found["loss"] == expected["loss"] and found["test_loss"] == expected["test_loss"]
    assert "top1" not in found


def test_plateau_follows_the_test_loss(net, rng):
    optimizer = optim.SGD(net.parameters(), lr=0.0)
    optimizer.param_groups[0]["lr"] = 1e-12
    schedule = optim.ReduceLROnPlateau(optimizer, patience=0, eps=0.0)
    trainer = Trainer(
        net,
        optimizer,
        train_loader=batches(rng),
        test_loader=batches(rng, 1),
        schedule=schedule,
        progress=False,
    )
    history = trainer.fit(3)
    assert schedule.best == pytest.approx(history["test_loss"][0]) and history["lr"] == [1e-12, 1e-12, 1e-13]


# ---- files


def test_csv_log_grows_line_by_line(net, rng, tmp_path):
    log = tmp_path / "run.csv"
    trainer = trainer_of(net, batches(rng), log=log)
    for epochs in (1, 2, 3):
        trainer.fit(epochs)
        with open(log, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [int(row["epoch"]) for row in rows] == list(range(1, epochs + 1))
    assert [float(row["loss"]) for row in rows] == trainer.history["loss"]


def test_jsonl_log_is_plain_json(net, rng, tmp_path):
    log = tmp_path / "run.jsonl"
    history = trainer_of(net, batches(rng), log=log, metrics={"odd": lambda z, y: float("nan")}).fit(2)
    rows = [json.loads(line, parse_constant=lambda name: pytest.fail(name)) for line in log.read_text().splitlines()]
    assert [row["loss"] for row in rows] == history["loss"] and [row["odd"] for row in rows] == [None, None]


def test_a_log_is_brought_to_the_checkpoint(net, rng, tmp_path):
    """Lines of epochs that are trained again, and a last line that was cut, are dropped."""
    data, log, saved = batches(rng), tmp_path / "run.csv", tmp_path / "run.safetensors"
    trainer_of(net, data, log=log, checkpoint=saved).fit(2)
    with open(log, "a", encoding="utf-8") as file:
        file.write("3,0.1,0.5,0.4,1.0,10.0\n4,0.1,0.")
    history = trainer_of(net, data, log=log, checkpoint=saved).fit(3, resume=True)
    with open(log, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == history["loss"] and len(rows) == 3


def test_a_new_run_keeps_the_files_of_the_one_before(net, rng, tmp_path):
    data, log, saved = batches(rng), tmp_path / "run.csv", tmp_path / "run.safetensors"
    trainer_of(net, data, log=log, checkpoint=saved).fit(1)
    old = log.read_text(), saved.read_bytes()
    trainer_of(net, data, log=log, checkpoint=saved).fit(1)
    assert (tmp_path / "run.previous.csv").read_text() == old[0]
    assert (tmp_path / "run.previous.safetensors").read_bytes() == old[1]
    assert len(log.read_text().splitlines()) == 2


def test_resume_without_a_checkpoint_starts_from_the_beginning(net, rng, tmp_path):
    trainer = trainer_of(net, batches(rng), checkpoint=tmp_path / "run.safetensors")
    assert len(trainer.fit(2, resume=True)) == 2 and (tmp_path / "run.safetensors").exists()


# ---- what one sees


def test_one_line_an_epoch_where_there_is_no_terminal(net, rng, capsys):
    trainer_of(net, batches(rng), test_loader=batches(rng), progress=True).fit(2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("epoch 1/2  loss ") and " %  |  test: loss " in lines[0]
    assert "images/s" in lines[0] and lines[0].endswith(" left") and not lines[1].endswith(" left")


def test_silence_where_it_is_wanted(net, rng, capsys):
    trainer_of(net, batches(rng)).fit(1)
    assert capsys.readouterr() == ("", "")


def test_a_bar_in_a_terminal(net, rng, monkeypatch):
    import io

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setattr(sys, "stdout", Terminal())
    trainer_of(net, batches(rng), progress=True).fit(2)
    shown = sys.stdout.getvalue()
    assert (
        "epoch 2/2 loss" in shown
        and "epoch 1/2  loss" in shown
        and "/s" in shown
        and "left" in shown
        and "6/6" in shown
    )


def test_durations():
    from minitorch_cv.training._progress import duration

    assert [duration(s) for s in (0.04, 9.9, 41.3, 187, 7509)] == ["0.0 s", "9.9 s", "41 s", "3:07", "2:05:09"]


def test_importing_training_loads_neither_rich_nor_safetensors_nor_matplotlib():
    import subprocess

    code = "import sys, minitorch_cv.training as t; assert not {'rich', 'safetensors', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_history_as_a_table():
    history = History()
    assert repr(history) == "" and history.last == {} and len(history) == 0
    history.append({"epoch": 1, "loss": 0.123456})
    assert repr(history) == "epoch    loss\n    1  0.1235" and history.rows() == [{"epoch": 1, "loss": 0.123456}]
    with pytest.raises(ValueError, match=r"^History: row expects the names \['epoch', 'loss'\]; it has \['loss'\]"):
        history.append({"loss": 1.0})
    with pytest.raises(KeyError, match=r"History: name expects one of epoch, loss; it is 'top1'"):
        history["top1"]


# ---- what does not fit


def other_net():
    return nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"schedule_per": "batch"}, ValueError, r"schedule_per expects 'epoch' or 'step'; it is 'batch'"),
        ({"clip_norm": 0}, ValueError, r"clip_norm expects a number above 0; it is 0"),
        ({"checkpoint_every": 5}, ValueError, r"checkpoint_every expects .*; it is 5, checkpoint is None"),
        ({"checkpoint_every": 0}, ValueError, r"checkpoint_every expects 1 or more steps; it is 0"),
        ({"checkpoint_every": 2.5}, TypeError, r"checkpoint_every expects a whole number; it is 2.5"),
        (
            {"objective": ops.mse_loss, "metrics": ["top1"]},
            ValueError,
            r"objective expects neither loss_fn nor metrics",
        ),
        ({"log": "run.txt"}, ValueError, r"path expects a name that ends in .csv or .jsonl; it is 'run.txt'"),
        ({"generators": [np.random.default_rng(0)]}, TypeError, r"generators expects minitorch_cv Generators; '0' is"),
        ({"train_loader": iter([])}, TypeError, r"train_loader expects a DataLoader, or batches that can be iterated"),
        ({"test_loader": 3}, TypeError, r"test_loader expects a DataLoader, or batches .* it is 3"),
        ({"ema": optim.ExponentialMovingAverage(other_net())}, ValueError, r"ema expects .* it has another one"),
        (
            {"schedule": optim.StepLR(optim.SGD(other_net().parameters()), 1)},
            ValueError,
            r"schedule expects to have been made for the trainer's optimizer; it has another one",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_named(net, rng, settings, kind, message):
    with pytest.raises(kind, match=message):
        Trainer(net, optim.SGD(net.parameters()), **{"train_loader": batches(rng), **settings})


def test_a_plateau_needs_an_epoch(net, rng):
    optimizer = optim.SGD(net.parameters())
    schedule = optim.ReduceLROnPlateau(optimizer)
    with pytest.raises(ValueError, match=r"ReduceLROnPlateau expects schedule_per='epoch'; it is 'step'"):
        Trainer(net, optimizer, train_loader=batches(rng), schedule=schedule, schedule_per="step")


def test_calls_that_do_not_fit_are_named(net, rng):
    trainer = trainer_of(net, batches(rng))
    with pytest.raises(ValueError, match=r"^fit: epochs expects 1 or more; it is 0"):
        trainer.fit(0)
    with pytest.raises(TypeError, match=r"^fit: epochs expects a whole number; it is 1.5"):
        trainer.fit(1.5)
    for name, path in (("checkpoint", "absent/run.safetensors"), ("log", "absent/run.csv")):
        with pytest.raises(ValueError, match=rf"^fit: {name} expects a file in a folder that exists; it is '{path}'"):
            trainer_of(net, batches(rng), **{name: path}).fit(1)
    with pytest.raises(ValueError, match=r"^fit: resume expects a Trainer with a checkpoint; it has none"):
        trainer.fit(1, resume=True)
    with pytest.raises(ValueError, match=r"^evaluate: loader expects batches, since the Trainer has no test_loader"):
        trainer.evaluate()
    with pytest.raises(ValueError, match=r"^predict: loader expects at least one batch; it has none"):
        trainer.predict([])
    with pytest.raises(ValueError, match=r"^fit: train_loader expects at least one batch; it has none"):
        trainer_of(net, []).fit(1)
