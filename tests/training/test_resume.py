"""Exact resume: wherever a run is stopped, it ends with the same bits as an unbroken one."""

import importlib.util
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import ops
from minitorch_cv.training import CheckpointError, load_checkpoint

SCRIPT = Path(__file__).with_name("resumable_run.py")
_spec = importlib.util.spec_from_file_location("resumable_run", SCRIPT)
run = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(run)

TIMES = ("seconds", "images_per_second")


def bits(value):
    """Everything of a state, arrays as bytes, times left out."""
    if isinstance(value, mt.Tensor):
        value = value.data
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return {str(key): bits(entry) for key, entry in value.items() if key not in TIMES}
    if isinstance(value, (list, tuple)):
        return [bits(entry) for entry in value]
    return repr(value)


def differences(a, b, at=""):
    """Where two states differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [d for key in {*a, *b} for d in differences(a.get(key), b.get(key), f"{at}.{key}")]
    return [] if a == b else [at]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The end of an unbroken run of each kind, made once."""
    ends = {}

    def end(kind):
        if kind not in ends:
            folder = tmp_path_factory.mktemp(kind)
            trainer = run.make(folder, kind)
            trainer.fit(run.EPOCHS)
            ends[kind] = bits(trainer.state_dict())
            assert not differences(bits(load_checkpoint(folder / "run.safetensors")), ends[kind])
        return ends[kind]

    return end


def interrupting(when, how):
    """A loss that calls `how()` in its call number `when` (from 1)."""
    calls = iter(range(1, 10**6))

    def loss_fn(logits, labels):
        if next(calls) == when:
            how()
        return ops.cross_entropy(logits, labels)

    return loss_fn


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def raise_interrupt():
    raise KeyboardInterrupt


def stop(folder, kind, when, how=press_ctrl_c, **settings):
    trainer = run.make(folder, kind, interrupting(when, how), **settings)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(run.EPOCHS)
    return trainer


# An epoch has 7 steps and 2 batches of evaluation: call 8 and 9 are the evaluation of the first.
@pytest.mark.parametrize("when", [1, 4, 7, 8, 9, 10, 26, 27])
@pytest.mark.parametrize("kind", run.KINDS)
def test_stopped_by_ctrl_c_and_resumed(tmp_path, unbroken, kind, when):
    stop(tmp_path, kind, when)
    mt.default_generator().random(3)  # whatever happened in between
    resumed = run.make(tmp_path, kind)
    resumed.fit(run.EPOCHS, resume=True)
    assert not differences(bits(resumed.state_dict()), unbroken(kind))


@pytest.mark.parametrize("when", [1, 5, 8, 14])
def test_interrupted_within_a_step(tmp_path, unbroken, when):
    """Without the signal handler, as in a thread: the begun step or evaluation is undone."""
    stop(tmp_path, "sgd", when, raise_interrupt)
    resumed = run.make(tmp_path, "sgd")
    resumed.fit(run.EPOCHS, resume=True)
    assert not differences(bits(resumed.state_dict()), unbroken("sgd"))


def test_stopped_after_every_step(tmp_path, unbroken):
    def one_step(logits, labels):
        if logits.requires_grad:  # not in an evaluation
            press_ctrl_c()
        return ops.cross_entropy(logits, labels)

    kind = "adamw-step-schedule-ema"
    for step in range(1, run.EPOCHS * run.STEPS_PER_EPOCH + 1):
        trainer = run.make(tmp_path, kind, one_step)
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(run.EPOCHS, resume=True)
        assert trainer.steps_done == step
    trainer = run.make(tmp_path, kind, one_step)
    trainer.fit(run.EPOCHS, resume=True)
    assert not differences(bits(trainer.state_dict()), unbroken(kind))


@pytest.mark.parametrize("when", [3, 8, 12])
def test_the_same_trainer_goes_on(tmp_path, unbroken, when):
    """As in a notebook: interrupt the cell, look at a batch and at the test set, run the cell again."""
    trainer = stop(tmp_path, "adam", when)
    next(iter(trainer.train_loader))
    trainer.evaluate([(np.zeros((2, 1, 24, 24), np.float32), np.zeros(2, int))])
    trainer.fit(run.EPOCHS)
    assert not differences(bits(trainer.state_dict()), unbroken("adam"))


@pytest.mark.parametrize("when", [3, 9, 15])
def test_the_training_data_may_be_the_test_data(tmp_path, when):
    def make(folder, loss_fn=None):
        trainer = run.make(folder, "sgd")
        return run.make(folder, "sgd", loss_fn, train_loader=trainer.test_loader, test_loader=trainer.test_loader)

    whole = make(tmp_path / "whole")
    whole.checkpoint = whole.log = None
    whole.fit(4)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, interrupting(when, press_ctrl_c)).fit(4)
    resumed = make(tmp_path)
    resumed.fit(4, resume=True)
    assert not differences(bits(resumed.state_dict()), bits(whole.state_dict()))


def test_epoch_by_epoch_is_the_same_as_at_once(tmp_path, unbroken):
    trainer = run.make(tmp_path, "sgd")
    for epochs in range(1, run.EPOCHS + 1):
        history = trainer.fit(epochs)
        assert len(history) == epochs
    assert not differences(bits(trainer.state_dict()), unbroken("sgd"))


def test_prefetching_changes_no_bit(tmp_path, unbroken):
    loader = run.make(tmp_path, "sgd").train_loader
    loader.prefetch = 4
    trainer = run.make(tmp_path, "sgd", train_loader=loader)
    trainer.fit(run.EPOCHS)
    assert not differences(bits(trainer.state_dict()), unbroken("sgd"))


def test_an_error_in_a_step_leaves_the_end_of_the_step_before(tmp_path, unbroken):
    def fail():
        raise OSError("the disk is gone")

    trainer = run.make(tmp_path, "sgd", interrupting(11, fail))
    with pytest.raises(OSError, match="the disk is gone"):
        trainer.fit(run.EPOCHS)
    trainer.loss_fn = ops.cross_entropy
    trainer.fit(run.EPOCHS)
    assert not differences(bits(trainer.state_dict()), unbroken("sgd"))


def test_a_loss_that_is_not_finite_stops_before_the_update(tmp_path, unbroken):
    calls = iter(range(1, 100))
    trainer = run.make(tmp_path, "sgd", lambda z, y: ops.cross_entropy(z, y) * (np.nan if next(calls) == 10 else 1.0))
    with pytest.raises(FloatingPointError, match=r"^fit: the loss is nan in epoch 2, step 8; a smaller learning rate"):
        trainer.fit(run.EPOCHS)
    trainer.loss_fn = ops.cross_entropy
    trainer.fit(run.EPOCHS)
    assert not differences(bits(trainer.state_dict()), unbroken("sgd"))


def test_a_step_cut_in_its_update_is_neither_saved_nor_continued(tmp_path, unbroken, capsys):
    trainer = run.make(tmp_path, "sgd")
    trainer.fit(1)
    step = trainer.optimizer.step

    def cut():
        trainer.model.get_submodule("0").weight.data[...] = 0
        raise KeyboardInterrupt

    trainer.optimizer.step = cut
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(run.EPOCHS)
    assert "the weights are of half a step and were not saved" in capsys.readouterr().err
    trainer.optimizer.step = step
    with pytest.raises(RuntimeError, match=r"^fit: the last step was cut in its middle; load a checkpoint"):
        trainer.fit(run.EPOCHS)
    with pytest.raises(RuntimeError, match=r"^save: the last step was cut in its middle"):
        trainer.save(tmp_path / "other.safetensors")
    trainer.fit(run.EPOCHS, resume=True)
    assert not differences(bits(trainer.state_dict()), unbroken("sgd"))


def test_ctrl_c_says_how_to_go_on(tmp_path, capsys):
    stop(tmp_path, "sgd", 10)
    said = capsys.readouterr().err
    assert "Stopped after step 8, with 1 of 3 epochs done." in said
    assert f"Saved in {tmp_path / 'run.safetensors'}" in said and "fit(3, resume=True)" in said
    stop(tmp_path, "sgd", 2, checkpoint=None)
    assert "Nothing was saved (the Trainer has no checkpoint=)" in capsys.readouterr().err


def test_the_handler_of_ctrl_c_is_given_back(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    stop(tmp_path, "sgd", 3)
    assert signal.getsignal(signal.SIGINT) is before
    run.make(tmp_path, "sgd").fit(1)
    assert signal.getsignal(signal.SIGINT) is before


def test_no_thread_is_left_behind(tmp_path):
    stop(tmp_path, "adam", 4)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("minitorch-cv-data")]


def test_training_in_a_thread(tmp_path, unbroken):
    trainer = run.make(tmp_path, "sgd")
    thread = threading.Thread(target=trainer.fit, args=(run.EPOCHS,))
    thread.start()
    thread.join()
    assert not differences(bits(trainer.state_dict()), unbroken("sgd"))


# ---- in other processes


def child(folder, kind, *options, **settings):
    command = [sys.executable, str(SCRIPT), str(folder), kind, str(run.EPOCHS), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings)


def finish(process, expected=0):
    out, err = process.communicate(timeout=60)
    assert process.returncode == expected, err
    return out, err


def wait_for(process, line):
    for said in process.stdout:
        if said.strip() == line:
            return
    raise AssertionError(f"the process ended before it said {line!r}: {process.stderr.read()}")


def test_killed_and_resumed_in_another_process(tmp_path, unbroken):
    kind = "adamw-step-schedule-ema"
    finish(child(tmp_path, kind, "--exit-at", "13", "--checkpoint-every", "2"), expected=9)
    assert load_checkpoint(tmp_path / "run.safetensors")["progress"]["steps"] == 12
    finish(child(tmp_path, kind, "--resume"))
    left = [path.name for path in tmp_path.iterdir()]
    assert sorted(left) == ["run.csv", "run.safetensors"]
    found = bits(load_checkpoint(tmp_path / "run.safetensors"))
    found.pop("environment")
    expected = {name: part for name, part in unbroken(kind).items() if name != "environment"}
    assert not differences(found, expected)


@pytest.mark.skipif(os.name != "posix", reason="another process cannot be sent Ctrl-C here")
def test_ctrl_c_in_another_process(tmp_path, unbroken):
    process = child(tmp_path, "sgd", "--sleep-at", "20")
    wait_for(process, "step 10")
    process.send_signal(signal.SIGINT)
    _, err = finish(process, expected=-signal.SIGINT)
    assert "Saved in" in err and "resume=True" in err
    assert 8 <= load_checkpoint(tmp_path / "run.safetensors")["progress"]["steps"] < 20
    finish(child(tmp_path, "sgd", "--resume"))
    found = bits(load_checkpoint(tmp_path / "run.safetensors"))
    found.pop("environment")
    assert not differences(found, {n: part for n, part in unbroken("sgd").items() if n != "environment"})


@pytest.mark.skipif(os.name != "posix", reason="another process cannot be sent Ctrl-C here")
def test_the_second_ctrl_c_stops_at_once(tmp_path):
    process = child(tmp_path, "sgd", "--sleep-at", "3")
    wait_for(process, "sleeping")
    process.send_signal(signal.SIGINT)
    assert "press it again to stop at once" in process.stderr.readline() + process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = finish(process, expected=-signal.SIGINT)
    assert "Stopped after step 2" in err and "It was not saved" in err
    assert not (tmp_path / "run.safetensors").exists()


# ---- checkpoints that do not fit


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop("optimizer"), "missing: optimizer"),
        (lambda s: s["model"].pop("0.weight"), "missing: 0.weight"),
        (lambda s: s["model"].update({"0.weight": np.zeros((1, 2))}), "misshapen: 0.weight expects"),
        (lambda s: s["optimizer"]["param_groups"].pop(), "load_state_dict expects groups of"),
        (lambda s: s.update(ema=None), "state expects one for ema, as this Trainer; it has none"),
        (lambda s: s["ema"].pop("0.weight"), "state expects the names and shapes of the module"),
        (lambda s: s["generators"].pop("default"), "state expects the generators"),
        (lambda s: s["generators"]["default"].pop("seed"), "Generator: state expects"),
        (lambda s: s["train_loader"].update(images=7), "state expects images = 100"),
        (lambda s: s["progress"].pop("steps"), "steps"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_changed(tmp_path, spoil, message):
    from minitorch_cv.training import save_checkpoint

    kind = "adamw-step-schedule-ema"
    stop(tmp_path, kind, 11)
    state = load_checkpoint(tmp_path / "run.safetensors")
    spoil(state)
    save_checkpoint(tmp_path / "spoilt.safetensors", state)
    trainer = run.make(tmp_path / "elsewhere", kind, checkpoint=None, log=None)
    trainer.fit(1)
    before = bits(trainer.state_dict())
    with pytest.raises(CheckpointError, match=r"^load: .*spoilt.safetensors does not fit this Trainer: ") as caught:
        trainer.load(tmp_path / "spoilt.safetensors")
    assert message in str(caught.value)
    assert not differences(bits(trainer.state_dict()), before)


def test_another_environment_is_warned_of(tmp_path):
    trainer = run.make(tmp_path, "sgd")
    trainer.fit(1)
    state = trainer.state_dict()
    state["environment"] = {**state["environment"], "numpy": "1.0"}
    with pytest.warns(UserWarning, match="perhaps not to the same bits: it was saved with numpy '1.0', now"):
        run.make(tmp_path, "sgd").load_state_dict(state)
