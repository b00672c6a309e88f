"""Learning-rate schedules: each `step()` sets the rate of every group of its optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .optimizer import Optimizer


class Schedule:
    """The rate as a function of the number of steps taken: initial rate times `factor(steps)`.

    The first rate is set when the schedule is made; call `step()` after each epoch or each update, as you count.
    """

    def __init__(self, optimizer: Optimizer):
        self.optimizer = optimizer
        self.initial = [group["lr"] for group in optimizer.param_groups]
        self.last_step = 0
        self._apply()

    def factor(self, step: int) -> float:
        raise TypeError(f"{type(self).__name__} has no factor(); define it to say how the rate changes")

    def _apply(self) -> None:
        for group, lr in zip(self.optimizer.param_groups, self.initial, strict=True):
            group["lr"] = float(lr * self.factor(self.last_step))  # a lambda may return a NumPy scalar

    def step(self) -> None:
        self.last_step += 1
        self._apply()

    @property
    def lr(self) -> float:
        """The rate of the first group."""
        return self.optimizer.param_groups[0]["lr"]

    def state_dict(self) -> dict[str, Any]:
        return {"initial": list(self.initial), "last_step": self.last_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.initial, self.last_step = list(state["initial"]), int(state["last_step"])
        self._apply()


class LambdaLR(Schedule):
    """Initial rate times a function of the number of steps."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable[[int], float]):
        self.lr_lambda = lr_lambda
        super().__init__(optimizer)

    def factor(self, step: int) -> float:
        return self.lr_lambda(step)


class StepLR(Schedule):
    """Times `gamma` after every `step_size` steps."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1):
        if step_size < 1:
            raise ValueError(f"StepLR: step_size expects a whole number >= 1; it is {step_size}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def factor(self, step: int) -> float:
        return self.gamma ** (step // self.step_size)


class MultiStepLR(Schedule):
    """Times `gamma` at each of the milestones."""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1):
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def factor(self, step: int) -> float:
        return self.gamma ** sum(step >= milestone for milestone in self.milestones)


class ExponentialLR(Schedule):
    """Times `gamma` at every step."""

    def __init__(self, optimizer: Optimizer, gamma: float):
        self.gamma = gamma
        super().__init__(optimizer)

    def factor(self, step: int) -> float:
        return self.gamma**step


class CosineAnnealingLR(Schedule):
    r"""Half a cosine from the initial rate to `eta_min` over `T_max` steps.

    At step t: eta_min + (lr - eta_min)(1 + cos(pi t / T_max)) / 2. After T_max the rate stays at `eta_min`.
    Source: Loshchilov and Hutter 2016, arXiv 1608.03983, eq. 5, without restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0):
        if T_max < 1:
            raise ValueError(f"CosineAnnealingLR: T_max expects a whole number >= 1; it is {T_max}")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def _apply(self) -> None:
        share = (1.0 + math.cos(math.pi * min(self.last_step, self.T_max) / self.T_max)) / 2.0
        for group, lr in zip(self.optimizer.param_groups, self.initial, strict=True):
            group["lr"] = self.eta_min + (lr - self.eta_min) * share


class LinearLR(Schedule):
    """Warm-up: from `start_factor` to `end_factor` times the initial rate over `total_iters` steps, then constant."""

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1.0 / 3.0, end_factor: float = 1.0, total_iters: int = 5
    ):
        if total_iters < 1:
            raise ValueError(f"LinearLR: total_iters expects a whole number >= 1; it is {total_iters}")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer)

    def factor(self, step: int) -> float:
        share = min(step, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * share


class SequentialLR:
    """One schedule until the first milestone, the next until the second, and so on; each counts from its own start."""

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[Schedule], milestones: Sequence[int]):
        if len(milestones) != len(schedulers) - 1 or list(milestones) != sorted(set(milestones)):
            raise ValueError(
                f"SequentialLR: milestones expects {len(schedulers) - 1} growing numbers; it is {list(milestones)}"
            )
        self.optimizer, self.schedulers, self.milestones = optimizer, list(schedulers), list(milestones)
        self.last_step = 0
        for schedule in schedulers:
            schedule.initial = list(schedulers[0].initial)
        self.schedulers[0]._apply()

    def step(self) -> None:
        self.last_step += 1
        current = sum(self.last_step >= milestone for milestone in self.milestones)
        schedule = self.schedulers[current]
        schedule.last_step = self.last_step - (self.milestones[current - 1] if current else 0)
        schedule._apply()

    @property
    def lr(self) -> float:
        return self.optimizer.param_groups[0]["lr"]

    def state_dict(self) -> dict[str, Any]:
        return {"last_step": self.last_step, "schedulers": [schedule.state_dict() for schedule in self.schedulers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.last_step = int(state["last_step"])
        current = sum(self.last_step >= milestone for milestone in self.milestones)
        for schedule, saved in zip(self.schedulers, state["schedulers"], strict=True):
            schedule.initial, schedule.last_step = list(saved["initial"]), int(saved["last_step"])
        self.schedulers[current]._apply()


class ReduceLROnPlateau:
    """Times `factor` when a measure has not improved for more than `patience` steps: `step(measure)`.

    An improvement is a change by more than `threshold`, relative to the best so far ("rel") or as it is ("abs").
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ):
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueError(
                "ReduceLROnPlateau: mode expects 'min' or 'max' and threshold_mode 'rel' or 'abs'; "
                f"they are {mode!r} and {threshold_mode!r}"
            )
        if not 0.0 < factor < 1.0:
            raise ValueError(f"ReduceLROnPlateau: factor expects a number between 0 and 1; it is {factor}")
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown = threshold, threshold_mode, cooldown
        self.min_lr, self.eps = min_lr, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.bad_steps, self.cooling = 0, 0

    def _improves(self, measure: float) -> bool:
        sign = 1.0 if self.mode == "max" else -1.0
        if math.isinf(self.best):
            return sign * measure > sign * self.best
        margin = self.threshold * (abs(self.best) if self.threshold_mode == "rel" else 1.0)
        return sign * measure > sign * self.best + margin

    def step(self, measure: float) -> None:
        measure = float(measure)
        if self._improves(measure):
            self.best, self.bad_steps = measure, 0
        else:
            self.bad_steps += 1
        if self.cooling > 0:
            self.cooling, self.bad_steps = self.cooling - 1, 0
        if self.bad_steps > self.patience:
            for group in self.optimizer.param_groups:
                lower = max(group["lr"] * self.factor, self.min_lr)
                if group["lr"] - lower > self.eps:
                    group["lr"] = lower
            self.cooling, self.bad_steps = self.cooldown, 0

    @property
    def lr(self) -> float:
        return self.optimizer.param_groups[0]["lr"]

    def state_dict(self) -> dict[str, Any]:
        rates = [group["lr"] for group in self.optimizer.param_groups]
        return {"best": self.best, "bad_steps": self.bad_steps, "cooling": self.cooling, "rates": rates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.bad_steps, self.cooling = float(state["best"]), int(state["bad_steps"]), int(state["cooling"])
        for group, lr in zip(self.optimizer.param_groups, state["rates"], strict=True):
            group["lr"] = lr
