"""Training of a generator and a discriminator against each other, with all that `Trainer` keeps and resumes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .._arguments import whole_number
from ..optim import ExponentialMovingAverage, Optimizer, ReduceLROnPlateau
from .trainer import Trainer


class _Pair:
    """Both optimisers as one, so that a checkpoint holds both."""

    def __init__(self, discriminator: Optimizer, generator: Optimizer):
        self.discriminator, self.generator = discriminator, generator

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [*self.generator.param_groups, *self.discriminator.param_groups]

    def state_dict(self) -> dict[str, Any]:
        return {"discriminator": self.discriminator.state_dict(), "generator": self.generator.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.discriminator.load_state_dict(state["discriminator"])
        self.generator.load_state_dict(state["generator"])


class _Schedules:
    """Several schedules as one that moves with each batch."""

    def __init__(self, optimizer: Any, members: Sequence[Any]):
        self.optimizer, self.members = optimizer, list(members)

    def step(self) -> None:
        for schedule in self.members:
            schedule.step()

    def state_dict(self) -> dict[str, Any]:
        return {str(number): schedule.state_dict() for number, schedule in enumerate(self.members)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if len(state) != len(self.members):
            raise ValueError(f"AdversarialTrainer: state expects {len(self.members)} schedules; it has {len(state)}")
        for number, schedule in enumerate(self.members):
            schedule.load_state_dict(state[str(number)])


@contextmanager
def _held(module: Any) -> Iterator[None]:
    """The module's parameters get no gradient: in G's step D's would be half of D's work, and for nothing."""
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in learning:
            parameter.requires_grad = False
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad = True


class AdversarialTrainer(Trainer):
    """Plays a game (`models.GAN`): each batch is a step of D, and each `discriminator_steps`-th one of G as well.

    As in the paper's algorithm 1, D moves first and G then meets the new D. Labels are for a game that is `labelled`.
    `history` has `discriminator_loss`, also as `loss`, and `generator_loss` of G's own steps, as means over an epoch.
    Stopping, resuming, logs and progress are those of `Trainer`.

    game: has the modules `generator` and `discriminator`, `discriminator_loss(real)`, `generator_loss(count)`, and
        `labelled`; where that is true, `discriminator_loss(real, labels)`.
    ema: an ExponentialMovingAverage of the generator, updated at each of its steps.
    schedules: of either optimiser's rate; each moves once with every batch.

    Raises: ValueError for arguments that do not fit together; in a step FloatingPointError where a loss is not finite.
        If it is G's, D has moved already, and the run goes on from its checkpoint only.
    Source: Goodfellow et al. 2014, arXiv 1406.2661, algorithm 1
    """

    def __init__(
        self,
        game: Any,
        generator_optimizer: Optimizer,
        discriminator_optimizer: Optimizer,
        *,
        discriminator_steps: int = 1,
        ema: ExponentialMovingAverage | None = None,
        schedules: Sequence[Any] = (),
        **settings: Any,
    ):
        refused = sorted(_REFUSED & set(settings))
        if refused:
            raise ValueError(f"AdversarialTrainer: expects none of {', '.join(refused)}: the game has its own losses")
        if any(schedule.optimizer not in (generator_optimizer, discriminator_optimizer) for schedule in schedules):
            raise ValueError("AdversarialTrainer: schedules expects those of its optimisers; one has another optimizer")
        if ema is not None and ema.module is not game.generator:
            raise ValueError("AdversarialTrainer: ema expects to have been made for the game's generator; it was not")
        if any(isinstance(schedule, ReduceLROnPlateau) for schedule in schedules):
            raise ValueError(
                "AdversarialTrainer: schedules expects none that follows a measure: no loss falls steadily"
            )
        self.discriminator_steps = whole_number("AdversarialTrainer: discriminator_steps", discriminator_steps, 1)
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        pair: Any = _Pair(discriminator_optimizer, generator_optimizer)
        self.game = game
        if schedules:
            settings = {**settings, "schedule": _Schedules(pair, schedules), "schedule_per": "step"}
        super().__init__(game, pair, objective=self._discriminator_loss, **settings)
        self.ema = ema

    def _step(self, images: Any, labels: Any) -> None:
        x, labels = self._on_device(images, labels)
        self._lr = float(self.generator_optimizer.param_groups[0]["lr"])
        measured = {
            "discriminator_loss": self._update(self.discriminator_optimizer, self._discriminator_loss(x, labels))
        }
        if (self.steps_done + 1) % self.discriminator_steps == 0:
            with _held(self.game.discriminator):
                loss = self.game.generator_loss(len(labels))
                measured["generator_loss"] = self._update(self.generator_optimizer, loss)
            if self.ema is not None:
                self.ema.update()
        if self.schedule is not None:
            self.schedule.step()
        self._running.update(len(labels), loss=measured["discriminator_loss"], **measured)
        self.steps_done += 1
        self._boundary = self._mark()
        self._updating = False

    def _discriminator_loss(self, x: Any, labels: Any) -> Any:
        return self.game.discriminator_loss(x, labels) if self.game.labelled else self.game.discriminator_loss(x)

    def _update(self, optimizer: Optimizer, loss: Any) -> float:
        value = float(loss.item())
        if not np.isfinite(value):
            raise FloatingPointError(
                f"fit: a loss is {value} in epoch {self.epochs_done + 1}, step {self.steps_done + 1}; "
                "a smaller learning rate may help"
            )
        self.model.zero_grad()
        loss.backward()
        self._updating = True
        optimizer.step()
        return value


_REFUSED = {"loss_fn", "objective", "metrics", "test_loader", "clip_norm", "schedule", "schedule_per", "capture"}
