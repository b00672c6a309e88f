"""AdversarialTrainer: that a step is the textbook step, what it measures, keeps, resumes and refuses."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import models, optim
from minitorch_cv.data import DataLoader, Dataset
from minitorch_cv.training import AdversarialTrainer, CheckpointError, load_checkpoint


def game_of(loss="non_saturating", penalty=0.0, seed=0):
    source = mt.Generator(seed)
    nets = models.MLPGenerator(2, 4, 8, 1, generator=source), models.MLPDiscriminator(4, 8, 2, generator=source)
    return models.GAN(*nets, loss, penalty, random=source)


def batches(rng, sizes=(6, 6, 6, 3)):
    return [(rng.standard_normal((size, 4)).astype(np.float32), np.zeros(size, int)) for size in sizes]


def optimizers_of(game, lr=1e-2):
    return [optim.Adam(net.parameters(), lr=lr, betas=(0.5, 0.9)) for net in (game.generator, game.discriminator)]


def trainer_of(game, train, optimizers=None, **settings):
    return AdversarialTrainer(
        game, *(optimizers or optimizers_of(game)), train_loader=train, progress=False, **settings
    )


def weighted(pairs):
    values, weights = np.array(pairs).T
    return np.average(values, weights=weights)


def halving(optimizer):
    return optim.LambdaLR(optimizer, lambda step: 0.5**step)


@pytest.mark.parametrize(("loss", "penalty"), [("non_saturating", 0.0), ("wasserstein", 0.1)])
@pytest.mark.parametrize("steps", [1, 2])
def test_a_step_is_the_textbook_step(rng, loss, penalty, steps):
    """Two epochs against the loops written out: D at each batch, then, at each `steps`-th, G."""
    data, other = batches(rng), game_of(loss, penalty)
    g, d = optimizers_of(other)
    ema = optim.ExponentialMovingAverage(other.generator, 0.5)
    schedules = halving(g), halving(d)
    expected = []
    for epoch in range(2):
        told = {"discriminator_loss": [], "generator_loss": []}
        for number, (x, _) in enumerate(data):
            value = other.discriminator_loss(mt.Tensor(x))
            other.zero_grad()
            value.backward()
            d.step()
            told["discriminator_loss"].append((value.item(), len(x)))
            if (epoch * len(data) + number + 1) % steps == 0:
                value = other.generator_loss(len(x))
                other.zero_grad()
                value.backward()
                g.step()
                ema.update()
                told["generator_loss"].append((value.item(), len(x)))
            for schedule in schedules:
                schedule.step()
        means = {name: weighted(values) for name, values in told.items()}
        expected.append(means)

    game = game_of(loss, penalty)
    own = optimizers_of(game)
    trainer = trainer_of(
        game,
        data,
        own,
        discriminator_steps=steps,
        ema=optim.ExponentialMovingAverage(game.generator, 0.5),
        schedules=[halving(each) for each in own],
    )
    history = trainer.fit(2)
    for a, b in zip(game.parameters(), other.parameters(), strict=True):
        assert np.array_equal(a.data, b.data)
    for name, value in ema.shadow.items():
        assert np.array_equal(trainer.ema.shadow[name], value)
    for row, (epoch, means) in enumerate(enumerate(expected)):
        for name, mean in means.items():
            assert history[name][row] == pytest.approx(mean, rel=1e-6), (epoch, name)
        assert history["loss"][row] == history["discriminator_loss"][row]
        assert history["lr"][row] == pytest.approx(1e-2 * 0.5 ** (4 * row + 3))
    assert trainer.steps_done == 8 and own[0].param_groups[0]["lr"] == pytest.approx(1e-2 / 256)


def test_the_generators_step_asks_nothing_of_the_discriminators_parameters(rng, monkeypatch):
    game, seen = game_of(), []
    trainer = trainer_of(game, batches(rng, (4,)))
    step = trainer.generator_optimizer.step
    monkeypatch.setattr(
        trainer.generator_optimizer,
        "step",
        lambda: (seen.extend(p.grad is None for p in game.discriminator.parameters()), step())[-1],
    )
    trainer.fit(1)
    assert seen == [True] * 6
    assert all(p.requires_grad for p in game.parameters()), "they learn again in the next step"


def test_labels_reach_a_game_that_asks_for_them(rng):
    seen = []
    game = models.GAN(models.MLPGenerator(2, 4, 8, 1), models.MLPDiscriminator(4, 8, 1), labelled=True)
    game.discriminator_loss = lambda real, labels: seen.append(labels.copy()) or game.discriminator(real).mean()
    game.logits = game.discriminator
    data = [(x, np.arange(len(x))) for x, _ in batches(rng)]
    trainer_of(game, data).fit(1)
    assert all(np.array_equal(a, b) for a, (_, b) in zip(seen, data, strict=True))


def make(folder, **settings):
    game = game_of("wasserstein", 0.1)
    own = optimizers_of(game)
    images = np.random.default_rng(3).integers(0, 255, (20, 1, 2, 2)).astype(np.uint8)
    data = Dataset(images, np.zeros(20, np.int64), ["all"], "points")
    loader = DataLoader(data, 6, shuffle=True, generator=mt.Generator(5), transform=Flat())
    arguments = {
        "discriminator_steps": 3,
        "ema": optim.ExponentialMovingAverage(game.generator, 0.9),
        "schedules": [optim.LambdaLR(own[0], lambda s: 0.9**s), optim.CosineAnnealingLR(own[1], 30)],
        "checkpoint": folder / "run.safetensors",
    }
    return trainer_of(game, loader, own, **{**arguments, **settings})


class Flat:
    def __call__(self, images, generator=None):
        return images.reshape(len(images), -1).astype(np.float32) / 255


def flat(state, at=""):
    """Every entry of a state by its path, as bytes; times left out."""
    if isinstance(state, dict):
        parts = state.items()
    elif isinstance(state, (list, tuple)):
        parts = enumerate(state)
    else:
        value = np.asarray(getattr(state, "data", state) if isinstance(state, mt.Tensor) else state)
        return {at: (value.shape, value.tobytes() if value.dtype != object else str(value))}
    found = {}
    for key, value in parts:
        if key not in ("seconds", "images_per_second"):
            found |= flat(value, f"{at}.{key}")
    return found


@pytest.mark.parametrize("when", [1, 2, 3, 4, 7, 11])
def test_a_run_that_was_stopped_ends_with_the_same_bits(tmp_path, when):
    (tmp_path / "whole").mkdir()
    whole = make(tmp_path / "whole")
    whole.fit(3)
    expected = flat(whole.state_dict())
    assert any(".optimizer.discriminator" in name for name in expected) and any(".ema." in name for name in expected)

    stopped = make(tmp_path)
    own, calls = stopped.game.discriminator_loss, iter(range(1, 100))

    def interrupt(real):
        if next(calls) == when:
            raise KeyboardInterrupt
        return own(real)

    stopped.game.discriminator_loss = interrupt
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(3)
    assert load_checkpoint(tmp_path / "run.safetensors")["progress"]["steps"] == when - 1
    mt.default_generator().random(3)
    resumed = make(tmp_path)
    resumed.fit(3, resume=True)
    found = flat(resumed.state_dict())
    assert sorted(found) == sorted(expected)
    assert not [
        name for name in expected if not name.startswith(".generators.default") and found[name] != expected[name]
    ]


def test_a_checkpoint_of_other_schedules_is_refused(tmp_path):
    make(tmp_path).fit(1)
    other = make(tmp_path)
    other.schedule.members.pop()
    with pytest.raises(CheckpointError, match=r"AdversarialTrainer: state expects 1 schedules; it has 2"):
        other.load(tmp_path / "run.safetensors")


def test_a_loss_that_is_not_finite_stops_before_the_update(rng):
    game = game_of()
    trainer = trainer_of(game, batches(rng))
    game.judged = lambda real, false: (real.mean() + false.mean()) * float("nan")
    before = [p.numpy().copy() for p in game.parameters()]
    with pytest.raises(FloatingPointError, match=r"^fit: a loss is nan in epoch 1, step 1; a smaller learning rate"):
        trainer.fit(1)
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, game.parameters(), strict=True))
    del game.judged
    trainer.fit(1)

    game.fooled = lambda false: false.mean() * float("nan")
    with pytest.raises(FloatingPointError, match=r"^fit: a loss is nan in epoch 2, step 5"):
        trainer.fit(2)
    del game.fooled
    with pytest.raises(RuntimeError, match=r"^fit: the last step was cut in its middle"):  # D has moved, G has not
        trainer.fit(2)


@pytest.mark.parametrize(
    "name", ["loss_fn", "objective", "metrics", "test_loader", "clip_norm", "schedule", "schedule_per"]
)
def test_arguments_of_a_single_loss_are_refused(rng, name):
    with pytest.raises(ValueError, match=rf"^AdversarialTrainer: expects none of {name}: the game has its own losses"):
        trainer_of(game_of(), batches(rng), **{name: None})


def test_arguments_that_do_not_fit_are_named(rng):
    game, data = game_of(), batches(rng)
    with pytest.raises(
        ValueError, match=r"^AdversarialTrainer: ema expects to have been made for the game's generator"
    ):
        trainer_of(game, data, ema=optim.ExponentialMovingAverage(game.discriminator))
    for wrong, kind in ((0, ValueError), (1.5, TypeError)):
        with pytest.raises(kind, match=r"^AdversarialTrainer: discriminator_steps expects"):
            trainer_of(game, data, discriminator_steps=wrong)
    stranger = optim.SGD(game.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"^AdversarialTrainer: schedules expects those of its optimisers; one has"):
        trainer_of(game, data, schedules=[halving(stranger)])
    (plateau_of, _) = own = optimizers_of(game)
    with pytest.raises(ValueError, match=r"^AdversarialTrainer: schedules expects none that follows a measure"):
        trainer_of(game, data, own, schedules=[optim.ReduceLROnPlateau(plateau_of)])
