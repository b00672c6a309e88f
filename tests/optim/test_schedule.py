"""Schedules: the rates at every step against torch's, saved and resumed."""

import math

import numpy as np
import pytest

from minitorch_cv import nn, optim

SCHEDULES = [
    ("StepLR", {"step_size": 4, "gamma": 0.3}, 15),
    ("MultiStepLR", {"milestones": [6, 2, 6], "gamma": 0.5}, 12),
    ("ExponentialLR", {"gamma": 0.9}, 12),
    ("CosineAnnealingLR", {"T_max": 10, "eta_min": 0.01}, 10),
    ("LinearLR", {}, 9),
    ("LinearLR", {"start_factor": 0.1, "end_factor": 0.8, "total_iters": 6}, 10),
    ("LambdaLR", {"lr_lambda": lambda step: 1 / (1 + step)}, 8),
]
# torch's optimisers complain where no step was taken: a rate is all that is looked at here.
pytestmark = pytest.mark.filterwarnings("ignore:.*lr_scheduler.step:UserWarning")


def sgd():
    groups = [nn.Parameter(np.zeros(1, np.float32)), nn.Parameter(np.zeros(1, np.float32))]
    return optim.SGD([{"params": [groups[0]]}, {"params": [groups[1]], "lr": 2.0}], lr=0.5)


def torch_sgd(torch):
    groups = [torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))]
    return torch.optim.SGD([{"params": [groups[0]]}, {"params": [groups[1]], "lr": 2.0}], lr=0.5)


def rates(optimizer, schedule, steps):
    result = [[group["lr"] for group in optimizer.param_groups]]
    for _ in range(steps):
        schedule.step()
        result.append([group["lr"] for group in optimizer.param_groups])
    return np.array(result)


@pytest.mark.parametrize(("name", "settings", "steps"), SCHEDULES)
def test_rates_equal_torchs(name, settings, steps, torch):
    ours, theirs = sgd(), torch_sgd(torch)
    mine = rates(ours, getattr(optim, name)(ours, **settings), steps)
    others = rates(theirs, getattr(torch.optim.lr_scheduler, name)(theirs, **settings), steps)
    np.testing.assert_allclose(mine, others, rtol=1e-12)
    assert mine.std() > 0


def test_schedules_in_sequence_equal_torchs(torch):
    def build(library, optimizer):
        parts = [
            library.LinearLR(optimizer, start_factor=0.1, total_iters=4),
            library.ExponentialLR(optimizer, gamma=0.8),
            library.StepLR(optimizer, step_size=2, gamma=0.1),
        ]
        return library.SequentialLR(optimizer, parts, milestones=[4, 9])

    ours, theirs = sgd(), torch_sgd(torch)
    mine = rates(ours, build(optim, ours), 15)
    np.testing.assert_allclose(mine, rates(theirs, build(torch.optim.lr_scheduler, theirs), 15), rtol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        {"patience": 1},
        {"patience": 0, "cooldown": 3, "factor": 0.5},
        {"mode": "max", "patience": 2, "threshold": 0.3, "threshold_mode": "abs"},
        {"mode": "max", "patience": 1, "threshold": 0.2},
        {"patience": 0, "min_lr": 0.1, "factor": 0.4},
        {"patience": 0, "eps": 0.05},
    ],
)
def test_a_plateau_lowers_the_rate_as_in_torch(settings, torch, rng):
    ours, theirs = sgd(), torch_sgd(torch)
    mine = optim.ReduceLROnPlateau(ours, **settings)
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **settings)
    measures = [*(2.0 + np.cumsum(rng.standard_normal(30) * 0.2)), math.nan, 0.5, 0.5, 0.5, 0.5]
    seen = set()
    for measure in measures:
        mine.step(measure)
        other.step(measure)
        expected = [group["lr"] for group in theirs.param_groups]
        np.testing.assert_allclose([group["lr"] for group in ours.param_groups], expected, rtol=1e-12)
        seen.add(mine.lr)
    assert len(seen) > 1


def test_an_improvement_of_a_negative_measure_is_relative_to_its_size():
    optimizer = sgd()
    schedule = optim.ReduceLROnPlateau(optimizer, patience=0, threshold=0.1)
    schedule.step(-10.0)
    schedule.step(-12.0)
    assert schedule.lr == 0.5
    schedule.step(-12.5)
    assert schedule.lr == pytest.approx(0.05), "4 % better is no improvement by 10 %"


def test_after_its_end_a_cosine_stays_at_the_least_rate():
    optimizer = sgd()
    assert rates(optimizer, optim.CosineAnnealingLR(optimizer, 4, eta_min=0.125), 9)[4:, 0].tolist() == [0.125] * 6


def in_sequence(optimizer):
    parts = [optim.LinearLR(optimizer, total_iters=3), optim.CosineAnnealingLR(optimizer, 6)]
    return optim.SequentialLR(optimizer, parts, milestones=[3])


@pytest.mark.parametrize(
    "make",
    [lambda o, name=name, settings=settings: getattr(optim, name)(o, **settings) for name, settings, _ in SCHEDULES]
    + [in_sequence],
)
@pytest.mark.parametrize("done", [0, 2, 5])
def test_a_schedule_goes_on_where_it_was_saved(make, done):
    optimizer = sgd()
    schedule = make(optimizer)
    rates(optimizer, schedule, done)
    saved = schedule.state_dict()
    expected = rates(optimizer, schedule, 5)

    resumed_optimizer = sgd()
    resumed = make(resumed_optimizer)
    resumed.load_state_dict(saved)
    np.testing.assert_array_equal(rates(resumed_optimizer, resumed, 5), expected)


def test_a_plateau_goes_on_where_it_was_saved():
    measures = [1.0, 0.5, 0.6, 0.7, 0.4, 0.4, 0.4, 0.4, 0.4]
    optimizer, resumed_optimizer = sgd(), sgd()
    schedule = optim.ReduceLROnPlateau(optimizer, patience=1, cooldown=1)
    for measure in measures[:4]:
        schedule.step(measure)
    resumed = optim.ReduceLROnPlateau(resumed_optimizer, patience=1, cooldown=1)
    resumed.load_state_dict(schedule.state_dict())
    for measure in measures[4:]:
        schedule.step(measure)
        resumed.step(measure)
        assert resumed.lr == schedule.lr
    assert schedule.lr < 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: optim.StepLR(o, 0), "StepLR: step_size expects a whole number >= 1; it is 0"),
        (lambda o: optim.CosineAnnealingLR(o, 0), "CosineAnnealingLR: T_max expects a whole number >= 1; it is 0"),
        (lambda o: optim.LinearLR(o, total_iters=0), "LinearLR: total_iters expects a whole number >= 1; it is 0"),
        (
            lambda o: optim.SequentialLR(o, [optim.StepLR(o, 1), optim.StepLR(o, 1)], [3, 2]),
            r"SequentialLR: milestones expects 1 growing numbers; it is \[3, 2\]",
        ),
        (lambda o: optim.ReduceLROnPlateau(o, mode="least"), "mode expects 'min' or 'max'"),
        (lambda o: optim.ReduceLROnPlateau(o, factor=1.0), "factor expects a number between 0 and 1; it is 1.0"),
    ],
)
def test_wrong_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make(sgd())
