"""The training loop: steps, epochs, evaluation, and a run that can be stopped anywhere and goes on to the same bits."""

from __future__ import annotations

import contextlib
import copy
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import ops
from .._arguments import whole_number
from .._autograd import no_grad
from .._device import to_device, to_numpy
from .._numerics import load_numerics_state, numerics_state
from .._precision import checked, get_precision, in_precision
from .._random import Generator
from .._tensor import Tensor
from ..nn import Module
from ..optim import ExponentialMovingAverage, Optimizer, ReduceLROnPlateau, clip_grad_norm_
from ._batches import at_start_of_pass, close, count, with_position
from ._capture import Captured
from ._interrupts import Interrupts
from ._log import Log, set_aside
from ._progress import Reporter, reporter_for
from ._reproducibility import environment, generators_of, warn_of_another_environment
from .checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from .history import History
from .metrics import Metric, RunningMeans, named_metrics

_SCHEDULE_PER = ("epoch", "step")


class _Boundary(NamedTuple):
    """What a step changes besides weights, as it was when the last one ended."""

    train_loader: dict[str, Any]
    test_loader: dict[str, Any] | None
    generators: dict[str, dict[str, int]]
    buffers: list[Any]


class Trainer:
    """Trains a model on the batches of a loader, measures it, and keeps what is needed to go on.

    `fit(epochs)` trains until that many epochs are done in all. Each step is: forward, loss, backward, clipping, update
    of the optimiser, of the schedule (with `schedule_per="step"`) and of the averaged weights. After each epoch the
    model is evaluated on `test_loader`, and the measurements are added to `history`, to the log and to the output.

    **Exact resume.** A checkpoint holds weights, optimiser, schedule, averaged weights, the state of every generator,
    the position in the data, and the measurements so far, those of a begun epoch too. A run that is stopped at any step
    and goes on in a new process, from objects made in the same way, ends with the same bits as an unbroken one: with
    the same versions, numerics and number of threads.

    **Ctrl-C** stops at the end of the step, saves, says how to go on, and raises KeyboardInterrupt. A second one stops
    at once and saves nothing. An error in a step leaves the trainer where the last step ended.

    model: called on a Tensor of images, returns logits; or a tuple, as GoogLeNet with its auxiliary heads does, the
        first of which are the logits that the metrics see, while `loss_fn` gets the tuple.
    loss_fn: called as `loss_fn(logits, labels)`, returns a scalar Tensor, the mean over the batch; cross-entropy where
        it is None.
    objective: in place of loss_fn, for a model whose loss is no comparison of logits with labels: called as
        `objective(x, labels)`, returns the loss of the batch, as `lambda x, label: diffusion.loss(x, label)` does.
        There are then no metrics, and evaluation measures the objective in evaluation mode.
    train_loader, test_loader: a `data.DataLoader`, or a list of batches (images, labels) as arrays.
    schedule: of `minitorch_cv.optim`; ReduceLROnPlateau follows the test loss (the training loss without test_loader).
    ema: an ExponentialMovingAverage of the model, updated at each step; evaluation is then of the averaged weights.
    generators: what else is random, besides the default generator and those that modules of the model hold.
    metrics: "top1", "top5", ... and functions (logits, labels) of arrays that return the mean over the batch; "top1"
        where it is None.
    clip_norm: the largest joint norm of all gradients.
    checkpoint: a file, written after each epoch, every `checkpoint_every` steps where that is given, and on Ctrl-C.
    log: a .csv or .jsonl file with one line an epoch.
    progress: a bar in a terminal, one line an epoch elsewhere; False is silent.
    device: where batches go; the device of the model's parameters where it is None.
    precision: what factors may be rounded to in training and evaluation, "fp32", "tf32" or "bf16", as by
        `mt.set_precision`; what that has set, where it is None. A checkpoint holds it, and a run goes on in it alone.
    capture: on "cuda", launch forward and backward as one CUDA graph, as `training.capture` does; elsewhere it changes
        nothing.

    Raises: ValueError or TypeError for arguments that do not fit together; in a step FloatingPointError where the loss
    is not finite, before the weights change.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss_fn: Callable[[Any, Any], Tensor] | None = None,
        *,
        objective: Callable[[Tensor, Any], Tensor] | None = None,
        train_loader: Any,
        test_loader: Any = None,
        schedule: Any = None,
        schedule_per: str = "epoch",
        ema: ExponentialMovingAverage | None = None,
        generators: Sequence[Generator] | Mapping[str, Generator] = (),
        metrics: Sequence[str | Metric] | Mapping[str, Metric] | None = None,
        clip_norm: float | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        log: str | os.PathLike[str] | None = None,
        progress: bool = True,
        device: str | None = None,
        precision: str | None = None,
        capture: bool = False,
    ):
        if objective is not None and (loss_fn is not None or metrics is not None):
            raise ValueError(
                "Trainer: objective expects neither loss_fn nor metrics beside it, since there may be no logits"
            )
        if metrics is None:
            metrics = ("top1",) if objective is None else ()
        if schedule_per not in _SCHEDULE_PER:
            raise ValueError(f"Trainer: schedule_per expects 'epoch' or 'step'; it is {schedule_per!r}")
        if schedule_per == "step" and isinstance(schedule, ReduceLROnPlateau):
            raise ValueError("Trainer: schedule ReduceLROnPlateau expects schedule_per='epoch'; it is 'step'")
        if schedule is not None and schedule.optimizer is not optimizer:
            raise ValueError(
                "Trainer: schedule expects to have been made for the trainer's optimizer; it has another one"
            )
        if ema is not None and ema.module is not model:
            raise ValueError("Trainer: ema expects to have been made for the trainer's model; it has another one")
        if clip_norm is not None and not clip_norm > 0:
            raise ValueError(f"Trainer: clip_norm expects a number above 0; it is {clip_norm}")
        if checkpoint_every is not None:
            checkpoint_every = whole_number("Trainer: checkpoint_every", checkpoint_every, 1, " steps")
            if checkpoint is None:
                raise ValueError(
                    "Trainer: checkpoint_every expects a checkpoint to write; "
                    f"it is {checkpoint_every}, checkpoint is None"
                )
        self.model, self.optimizer, self.ema = model, optimizer, ema
        self.schedule, self.schedule_per = schedule, schedule_per
        self.loss_fn = ops.cross_entropy if loss_fn is None else loss_fn
        self.objective = objective
        self.train_loader = with_position("train_loader", train_loader)
        self.test_loader = None if test_loader is None else with_position("test_loader", test_loader)
        self.metrics = named_metrics(metrics)
        self.clip_norm = clip_norm
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.checkpoint_every = checkpoint_every
        self.log = None if log is None else Log(log)
        self.progress = progress
        self.device = device
        self.precision = get_precision() if precision is None else checked("Trainer: precision", precision)
        self._captured = Captured(self._results, model) if capture else None
        self.generators = generators_of(model, generators)
        self.history = History()
        self.epochs_done, self.steps_done = 0, 0
        self._running, self._seconds, self._lr = RunningMeans(), 0.0, 0.0
        # While it is true, weights, optimiser and counters are changing and belong to no step.
        self._updating = False
        # Until the first step or the first load, nothing that lies on the disk belongs to this run.
        self._new = True
        self._boundary = self._mark()._replace(train_loader=at_start_of_pass(self.train_loader))

    # ---- training

    def fit(self, epochs: int, resume: bool = False) -> History:
        """Train until `epochs` epochs are done in all, those before a resume included.

        With `resume` the run goes on from the checkpoint where there is one, and starts from the beginning where there
        is none: the same script starts a run and continues it. Without, a new run keeps an old checkpoint and log as
        `<name>.previous`.
        Raises: ValueError for epochs below 1; RuntimeError after a step that was cut in its middle.
        """
        epochs = whole_number("fit: epochs", epochs, 1)
        if resume and self.checkpoint is None:
            raise ValueError("fit: resume expects a Trainer with a checkpoint; it has none")
        if resume and self.checkpoint is not None and self.checkpoint.exists() and (self._new or self._updating):
            self.load(self.checkpoint)
        if self._updating:
            raise RuntimeError("fit: the last step was cut in its middle; load a checkpoint or make the objects anew")
        self._open_files()
        # Whoever looked at a batch in the meantime has not moved the run.
        self.train_loader.load_state_dict(self._boundary.train_loader)
        if not self.model.training:
            self.model.train()
        reporter = reporter_for(
            self.progress,
            epochs,
            self.epochs_done,
            count(self.train_loader),
            self._boundary.train_loader.get("batch", 0),
        )
        with Interrupts() as interrupts:
            try:
                with reporter, in_precision(self.precision):
                    while self.epochs_done < epochs:
                        self._train_epoch(reporter, interrupts)
                        self._finish_epoch(reporter, interrupts)
            except KeyboardInterrupt:
                print(self._stop(epochs, save=not interrupts.at_once), file=sys.stderr, flush=True)
                raise
            except BaseException:
                self._rewind()
                raise
        return self.history

    def _open_files(self) -> None:
        for name, path in (("checkpoint", self.checkpoint), ("log", self.log and self.log.path)):
            # Said now, and not after an epoch whose work would be lost.
            if path is not None and not path.absolute().parent.is_dir():
                raise ValueError(f"fit: {name} expects a file in a folder that exists; it is {str(path)!r}")
        if self._new and self.log is not None:
            set_aside(self.log.path)
        if self._new and self.checkpoint is not None:
            set_aside(self.checkpoint)
        if not self._new and self.log is not None:
            self.log.restore(self.history.rows())
        self._new = False

    def _train_epoch(self, reporter: Reporter, interrupts: Interrupts) -> None:
        batches = iter(self.train_loader)
        began = time.perf_counter()
        try:
            for images, labels in batches:
                self._step(images, labels)
                self._seconds += time.perf_counter() - began
                reporter.step(self.epochs_done + 1, len(labels), self._running.means())
                if self.checkpoint_every is not None and self.steps_done % self.checkpoint_every == 0:
                    self._save_checkpoint()
                interrupts.raise_if_pending()
                began = time.perf_counter()
        finally:
            close(batches)
        if not self._running.count:
            raise ValueError("fit: train_loader expects at least one batch; it has none")

    def _step(self, images: Any, labels: Any) -> None:
        x, labels = self._on_device(images, labels)
        if self._captured is None:
            self.optimizer.zero_grad()
            loss, logits = self._loss(self.model, x, labels)
        else:
            loss, *logits = self._captured(x, labels)
        value = float(loss.item())
        if not np.isfinite(value):
            raise FloatingPointError(
                f"fit: the loss is {value} in epoch {self.epochs_done + 1}, step {self.steps_done + 1}; "
                "a smaller learning rate, a warm-up or clip_norm may help"
            )
        measured = self._measure(logits, labels)
        if self._captured is None:
            loss.backward()
        if self.clip_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self._updating = True
        self._lr = float(self.optimizer.param_groups[0]["lr"])
        self.optimizer.step()
        if self.schedule is not None and self.schedule_per == "step":
            self.schedule.step()
        if self.ema is not None:
            self.ema.update()
        self._running.update(len(labels), loss=value, **measured)
        self.steps_done += 1
        self._boundary = self._mark()
        self._updating = False

    def _finish_epoch(self, reporter: Reporter, interrupts: Interrupts) -> None:
        next_pass = self.train_loader.state_dict()
        tested = {} if self.test_loader is None else self._evaluate(self.test_loader, interrupts)
        if self.train_loader is self.test_loader:
            self.train_loader.load_state_dict(next_pass)
        measured = self._running.means()
        row = {
            "epoch": self.epochs_done + 1,
            "lr": self._lr,
            **measured,
            **{f"test_{name}": value for name, value in tested.items()},
            "seconds": self._seconds,
            "images_per_second": self._running.count / max(self._seconds, 1e-9),
        }
        self._updating = True
        if self.schedule is not None and self.schedule_per == "epoch":
            if isinstance(self.schedule, ReduceLROnPlateau):
                self.schedule.step(tested.get("loss", measured["loss"]))
            else:
                self.schedule.step()
        self.history.append(row)
        self.epochs_done += 1
        self._running, self._seconds = RunningMeans(), 0.0
        self._boundary = self._mark()
        self._updating = False
        if self.log is not None:
            self.log.append(row)
        reporter.epoch(row)
        if self.checkpoint is not None:
            self._save_checkpoint()
        interrupts.raise_if_pending()

    def _stop(self, epochs: int, save: bool) -> str:
        """After Ctrl-C: go back to the end of the last step, save it if wanted; what to tell the user."""
        if self._updating:
            saved = f"; {self.checkpoint} is of an earlier step" if self.checkpoint and self.checkpoint.exists() else ""
            return f"Stopped within an update: the weights are of half a step and were not saved{saved}."
        self._rewind()
        place = f"Stopped after step {self.steps_done:,}, with {self.epochs_done} of {epochs} epochs done."
        if self.checkpoint is None:
            return f"{place} Nothing was saved (the Trainer has no checkpoint=); fit({epochs}) of this Trainer goes on."
        if not save:
            return f"{place} It was not saved; fit({epochs}) of this Trainer goes on."
        self._save_checkpoint()
        return (
            f"{place} Saved in {self.checkpoint}. To go on to the same bits: fit({epochs}) of this Trainer, "
            f"or in a new process the same program with fit({epochs}, resume=True)."
        )

    # ---- evaluation

    def evaluate(self, loader: Any = None) -> dict[str, float]:
        """Loss and metrics over all batches of `loader` (of `test_loader` where it is None), in evaluation mode.

        With `ema` of the averaged weights. Images (B, K, C, H, W), such as ten crops of each, count as one prediction:
        the mean of the K softmax outputs (Krizhevsky et al. 2012, section 4.1).
        Raises: ValueError where there is no batch.
        """
        loader = self.test_loader if loader is None else with_position("loader", loader)
        if loader is None:
            raise ValueError("evaluate: loader expects batches, since the Trainer has no test_loader; it is None")
        return self._evaluate(loader, None)

    def predict(self, loader: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Logits and labels of all batches of `loader` (of `test_loader` where it is None), as arrays.

        For ten crops: the logarithm of the mean of the softmax outputs. Raises: ValueError where there is no batch.
        """
        loader = self.test_loader if loader is None else with_position("loader", loader)
        if loader is None:
            raise ValueError("predict: loader expects batches, since the Trainer has no test_loader; it is None")
        with self._evaluation():
            pairs = [(to_numpy(self._logits(x).data), to_numpy(y)) for x, y in self._device_batches(loader)]
        if not pairs:
            raise ValueError("predict: loader expects at least one batch; it has none")
        logits, labels = zip(*pairs)
        return np.concatenate(logits), np.concatenate(labels)

    def _evaluate(self, loader: Any, interrupts: Interrupts | None) -> dict[str, float]:
        means = RunningMeans()
        with self._evaluation():
            for x, labels in self._device_batches(loader):
                loss, logits = self._loss(self._logits, x, labels)
                means.update(len(labels), loss=float(loss.item()), **self._measure(logits, labels))
                if interrupts is not None:
                    interrupts.raise_if_pending()
        if not means.count:
            raise ValueError("evaluate: loader expects at least one batch; it has none")
        return means.means()

    @contextlib.contextmanager
    def _evaluation(self) -> Iterator[None]:
        """Averaged weights, evaluation mode, the precision, nothing recorded; afterwards each is as it was before."""
        modes = [(module, module.training) for module in self.model.modules()]
        averaged = contextlib.nullcontext() if self.ema is None else self.ema.applied()
        with averaged, no_grad(), in_precision(self.precision):
            self.model.eval()
            try:
                yield
            finally:
                for module, mode in modes:
                    module.training = mode

    def _device_batches(self, loader: Any) -> Iterator[tuple[Tensor, Any]]:
        batches = iter(loader)
        try:
            for images, labels in batches:
                yield self._on_device(images, labels)
        finally:
            close(batches)

    def _on_device(self, images: Any, labels: Any) -> tuple[Tensor, Any]:
        device = self.device
        if device is None:
            device = next((parameter.device for parameter in self.model.parameters()), "cpu")
        images, labels = (value.data if isinstance(value, Tensor) else value for value in (images, labels))
        return Tensor(images, device=device), to_device(np.asarray(labels), device)

    def _logits(self, x: Tensor) -> Tensor:
        if x.ndim != 5:
            return self.model(x)
        several, crops = x.shape[:2]
        logits = self.model(x.reshape(several * crops, *x.shape[2:]))
        probabilities = ops.softmax(logits, axis=-1).reshape(several, crops, -1).mean(axis=1)
        # The smallest positive number in place of 0, whose logarithm would be minus infinity.
        return probabilities.clip(float(np.finfo(probabilities.dtype).tiny), None).log()

    def _loss(self, forward: Callable[[Tensor], Any], x: Tensor, labels: Any) -> tuple[Tensor, Any]:
        """The loss of a batch, and what the metrics see."""
        if self.objective is not None:
            return self.objective(x, labels), None
        logits = forward(x)
        return self.loss_fn(logits, labels), logits

    def _results(self, x: Tensor, labels: Any) -> tuple[Tensor, ...]:
        """The loss of a batch in training, and the logits where there are any."""
        loss, logits = self._loss(self.model, x, labels)
        return (loss, *logits) if isinstance(logits, tuple) else (loss,) if logits is None else (loss, logits)

    def _measure(self, logits: Any, labels: Any) -> dict[str, float]:
        if not self.metrics:
            return {}
        if isinstance(logits, (tuple, list)):
            logits = logits[0]
        scores, labels = to_numpy(logits.data), to_numpy(labels)
        return {name: float(metric(scores, labels)) for name, metric in self.metrics.items()}

    # ---- state

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint of the run as it was at the end of the last step."""
        if self._updating:
            raise RuntimeError("save: the last step was cut in its middle; there is no whole state to save")
        save_checkpoint(path, self.state_dict())

    def load(self, path: str | os.PathLike[str]) -> None:
        """Go on from a checkpoint. It is read and checked as a whole: where it does not fit, nothing is changed.

        Raises: FileNotFoundError; CheckpointError, naming the file, for one that is not whole or of another run.
        """
        state = load_checkpoint(path)
        try:
            self.load_state_dict(state)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            text = error.args[0] if error.args else error
            raise CheckpointError(f"load: {path} does not fit this Trainer: {text}") from error

    def state_dict(self) -> dict[str, Any]:
        """Everything that a run needs to go on, as it was at the end of the last step; arrays share memory."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
            "generators": {name: generator.state for name, generator in self.generators.items()},
            "train_loader": self._boundary.train_loader,
            "test_loader": None if self.test_loader is None else at_start_of_pass(self.test_loader),
            "history": self.history.state_dict(),
            "progress": {
                "epochs": self.epochs_done,
                "steps": self.steps_done,
                "running": self._running.state_dict(),
                "seconds": self._seconds,
                "lr": self._lr,
            },
            "numerics": numerics_state(),
            "precision": self.precision,
            "environment": environment(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`. Where a part does not fit, its error is raised and every part is as it was before."""
        missing = sorted({*_PARTS} - set(state))
        if missing:
            raise ValueError(f"Trainer: state expects the parts {', '.join(_PARTS)}; missing: {', '.join(missing)}")
        for name in ("schedule", "ema", "test_loader"):
            if (state[name] is None) != (getattr(self, name) is None):
                have, has = ("none", "one") if getattr(self, name) is None else ("one", "none")
                raise ValueError(f"Trainer: state expects {have} for {name}, as this Trainer; it has {has}")
        if set(state["generators"]) != set(self.generators):
            raise ValueError(
                f"Trainer: state expects the generators {sorted(self.generators)}; it has {sorted(state['generators'])}"
            )
        saved = state.get("precision", "fp32")  # checkpoints of before have none
        if saved != self.precision:
            raise ValueError(
                f"Trainer: state expects the precision {self.precision!r}, as this Trainer; it has {saved!r}"
            )
        before = copy.deepcopy(self.state_dict())
        try:
            self._load_parts(state)
        except BaseException:
            self._load_parts(before)
            raise
        self._boundary = self._mark()
        self._updating = self._new = False
        warn_of_another_environment(state["environment"])

    def _load_parts(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        if "numerics" in state:  # checkpoints of before have none
            load_numerics_state(state["numerics"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.optimizer.load_state_dict(state["optimizer"])  # last: the rates are those that were saved
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        for name, generator in self.generators.items():
            generator.state = state["generators"][name]
        if self.test_loader is not None:
            self.test_loader.load_state_dict(state["test_loader"])
        self.train_loader.load_state_dict(state["train_loader"])  # last: it may be the test loader too
        self.history.load_state_dict(state["history"])
        progress = state["progress"]
        self._running.load_state_dict(progress["running"])
        self.epochs_done, self.steps_done = int(progress["epochs"]), int(progress["steps"])
        self._seconds, self._lr = float(progress["seconds"]), float(progress["lr"])

    def _save_checkpoint(self) -> None:
        if self.checkpoint is not None:
            save_checkpoint(self.checkpoint, self.state_dict())

    def _mark(self) -> _Boundary:
        # Modules rebind their buffers and do not write into them, so to remember the arrays is enough; a graph does.
        buffers = [buffer.data for buffer in self.model.buffers()]
        return _Boundary(
            self.train_loader.state_dict(),
            None if self.test_loader is None else at_start_of_pass(self.test_loader),
            {name: generator.state for name, generator in self.generators.items()},
            buffers if self._captured is None else [data.copy() for data in buffers],
        )

    def _rewind(self) -> None:
        """Undo what a forward pass or an evaluation changed, so that the run stands where the last step ended."""
        if self._updating:
            return
        # The position in the training data is not touched: fit() begins by going to where the last step ended.
        if self.test_loader is not None:
            self.test_loader.load_state_dict(self._boundary.test_loader)
        for name, generator in self.generators.items():
            generator.state = self._boundary.generators[name]
        for buffer, data in zip(self.model.buffers(), self._boundary.buffers, strict=True):
            buffer.data = data


_PARTS = (
    "model",
    "optimizer",
    "schedule",
    "ema",
    "generators",
    "train_loader",
    "test_loader",
    "history",
    "progress",
    "environment",
)
