"""How a run shows itself: a bar in a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from typing import Any


class Reporter:
    """Says nothing; what the others have in common."""

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def step(self, epoch: int, size: int, means: Mapping[str, float]) -> None:
        """After each step: `epoch` that is under way (from 1), images of the batch, means so far."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """After each epoch: its measurements."""


class LineReporter(Reporter):
    """One line an epoch, with the time that is left."""

    def __init__(self, epochs: int, done: int):
        self.epochs, self.done, self.first = epochs, done, done
        self.began = time.perf_counter()

    def epoch(self, row: Mapping[str, Any]) -> None:
        self.done += 1
        left = (time.perf_counter() - self.began) / (self.done - self.first) * (self.epochs - self.done)
        self.write(epoch_line(row, self.epochs) + (f", {duration(left)} left" if self.done < self.epochs else ""))

    def write(self, line: str) -> None:
        print(line, flush=True)


class BarReporter(LineReporter):
    """A bar over all steps of the run with rate and time left; each epoch's line stays above it."""

    def __init__(self, epochs: int, done: int, steps_per_epoch: int | None, steps_done: int):
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        super().__init__(epochs, done)
        # Of a terminal's 80 columns, the bar takes what the rest leaves.
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            transient=True,
            expand=True,
        )
        total = None if steps_per_epoch is None else epochs * steps_per_epoch
        before = steps_done if steps_per_epoch is None else done * steps_per_epoch + steps_done
        self.task = self.progress.add_task(f"epoch {done + 1}/{epochs}", total=total, completed=before, rate="")
        self.images = 0

    def __enter__(self) -> BarReporter:
        self.began = time.perf_counter()
        self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()

    def step(self, epoch: int, size: int, means: Mapping[str, float]) -> None:
        self.images += size
        rate = self.images / max(time.perf_counter() - self.began, 1e-9)
        shown = " ".join(f"{name} {quantity(name, value)}" for name, value in list(means.items())[:2])
        self.progress.update(
            self.task, advance=1, description=f"epoch {epoch}/{self.epochs} {shown}", rate=f"{rate:,.0f}/s"
        )

    def write(self, line: str) -> None:
        self.progress.console.print(line, markup=False, highlight=False)


def reporter_for(progress: bool, epochs: int, done: int, steps_per_epoch: int | None, steps_done: int) -> Reporter:
    """The bar where standard output is a terminal, lines where it is not, silence where progress is not wanted."""
    if not progress:
        return Reporter()
    with contextlib.suppress(ImportError, AttributeError, ValueError):
        if sys.stdout.isatty():
            return BarReporter(epochs, done, steps_per_epoch, steps_done)
    return LineReporter(epochs, done)


def epoch_line(row: Mapping[str, Any], epochs: int) -> str:
    """One epoch in one line: `epoch 3/10  loss 0.1234, top1 96.10 %  |  test: loss 0.0987, top1 97.20 %  |  ...`"""
    measured = {
        name: value for name, value in row.items() if name not in ("epoch", "lr", "seconds", "images_per_second")
    }
    train = ", ".join(f"{n} {quantity(n, v)}" for n, v in measured.items() if not n.startswith("test_"))
    test = ", ".join(
        f"{n.removeprefix('test_')} {quantity(n, v)}" for n, v in measured.items() if n.startswith("test_")
    )
    parts = [f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  {train}"]
    parts += [f"test: {test}"] if test else []
    parts += [f"lr {row['lr']:.4g}", f"{row['images_per_second']:,.0f} images/s, {duration(row['seconds'])}"]
    return "  |  ".join(parts)


def quantity(name: str, value: float) -> str:
    """A share of right answers in per cent, anything else with four digits."""
    return f"{100 * value:.2f} %" if name.removeprefix("test_").startswith("top") else f"{value:.4f}"


def duration(seconds: float) -> str:
    """`0.8 s`, `41 s`, `3:07`, `2:05:09`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
