"""Optimisers: trajectories against the papers' formulas in plain NumPy and against torch; groups, states, refusals."""

import copy
import math

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import nn
from minitorch_cv.optim import SGD, Adam, AdamW, Optimizer, RMSprop

STEPS = 30
SETTINGS = [
    (SGD, {"lr": 0.1}),
    (SGD, {"lr": 0.05, "momentum": 0.9}),
    (SGD, {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    (SGD, {"lr": 0.05, "momentum": 0.8, "weight_decay": 0.2, "nesterov": True}),
    (Adam, {}),
    (Adam, {"lr": 0.1, "betas": (0.7, 0.95), "eps": 1e-3, "weight_decay": 0.2}),
    (AdamW, {"lr": 0.1}),
    (AdamW, {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-4, "weight_decay": 0.5}),
    (RMSprop, {}),
    (RMSprop, {"lr": 0.05, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1}),
    (RMSprop, {"lr": 0.02, "momentum": 0.9}),
    (RMSprop, {"lr": 0.02, "alpha": 0.8, "momentum": 0.5, "centered": True, "weight_decay": 0.3}),
]
IDS = [f"{kind.__name__}-{'-'.join(settings) or 'defaults'}" for kind, settings in SETTINGS]


def sgd(p, gradient, state, lr=1e-3, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    g = gradient + weight_decay * p
    state["v"] = momentum * state["v"] + (1 - dampening) * g if "v" in state else g
    if momentum == 0:
        return p - lr * g
    return p - lr * (g + momentum * state["v"] if nesterov else state["v"])


def adam(p, gradient, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    g, (b1, b2) = gradient + weight_decay * p, betas
    state["t"] = state.get("t", 0) + 1
    state["m"] = b1 * state.get("m", 0) + (1 - b1) * g
    state["v"] = b2 * state.get("v", 0) + (1 - b2) * g**2
    m, v = state["m"] / (1 - b1 ** state["t"]), state["v"] / (1 - b2 ** state["t"])
    return p - lr * m / (np.sqrt(v) + eps)


def adamw(p, gradient, state, lr=1e-3, weight_decay=0.01, **settings):
    return adam(p * (1 - lr * weight_decay), gradient, state, lr=lr, **settings)


def rmsprop(p, gradient, state, lr=0.01, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False):
    g = gradient + weight_decay * p
    state["s"] = alpha * state.get("s", 0) + (1 - alpha) * g**2
    state["m"] = alpha * state.get("m", 0) + (1 - alpha) * g
    variance = state["s"] - (state["m"] ** 2 if centered else 0)
    state["v"] = momentum * state.get("v", 0) + g / (np.sqrt(variance) + eps)
    return p - lr * state["v"]


FORMULAS = {SGD: sgd, Adam: adam, AdamW: adamw, RMSprop: rmsprop}


def parameter(values, gradient=None):
    p = nn.Parameter(np.array(values))
    if gradient is not None:
        p.grad = mt.Tensor(np.array(gradient, p.dtype))
    return p


@pytest.mark.parametrize(("kind", "settings"), SETTINGS, ids=IDS)
def test_thirty_steps_follow_the_formula(kind, settings, rng):
    p = parameter(rng.standard_normal((3, 2)))
    expected, state = p.numpy().copy(), {}
    optimizer = kind([p], **settings)
    for _ in range(STEPS):
        gradient = rng.standard_normal((3, 2)) + np.sin(p.numpy())
        p.grad = mt.Tensor(gradient)
        optimizer.step()
        expected = FORMULAS[kind](expected, gradient, state, **settings)
        np.testing.assert_allclose(p.numpy(), expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("kind", "settings"), SETTINGS, ids=IDS)
def test_thirty_steps_with_groups_equal_torchs(kind, settings, rng, torch):
    start = [rng.standard_normal(shape) for shape in ((4, 3), (3,), ())]
    ours = [parameter(values) for values in start]
    theirs = [torch.nn.Parameter(torch.tensor(values)) for values in start]

    def optimizer(library_kind, parameters):
        groups = [{"params": parameters[:2]}, {"params": parameters[2:], "lr": 0.3, "weight_decay": 0.05}]
        return library_kind(groups, **settings)

    mine, other = optimizer(kind, ours), optimizer(getattr(torch.optim, kind.__name__), theirs)
    for step in range(STEPS):
        for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            if (step + i) % 7 == 3:  # now and then a parameter has no gradient
                p.grad = q.grad = None
            else:
                gradient = rng.standard_normal(p.shape) + np.cos(p.numpy())
                p.grad, q.grad = mt.Tensor(np.asarray(gradient)), torch.tensor(gradient)
        mine.step()
        other.step()
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW, RMSprop])
def test_names_order_and_defaults_of_the_settings_are_torchs(kind, torch):
    import inspect

    ours = inspect.signature(kind).parameters
    theirs = inspect.signature(getattr(torch.optim, kind.__name__)).parameters
    both = [name for name in theirs if name in ours]
    assert both == list(ours)
    for name in both[1:]:
        assert ours[name].default == theirs[name].default, name


@pytest.mark.parametrize(("kind", "settings"), SETTINGS, ids=IDS)
def test_float32_stays_float32(kind, settings):
    settings = {k: np.float64(v) if isinstance(v, float) else v for k, v in settings.items()}
    ps = [parameter(np.ones(shape, np.float32), np.full(shape, 0.5)) for shape in ((2, 2), ())]
    memory = [p.data for p in ps]
    optimizer = kind(ps, **settings)
    for _ in range(3):
        optimizer.step()
    for p, before, state in zip(ps, memory, optimizer.state, strict=True):
        assert p.data is before and p.dtype == np.float32
        assert all(np.asarray(v).dtype == np.float32 for k, v in state.items() if k != "step")
        assert p.numpy().max() < 1


def test_a_step_is_seen_by_a_graph_that_saved_the_old_value():
    p = parameter([3.0], [1.0])
    y = (p * p).sum()
    y.backward(retain_graph=True)
    SGD([p], lr=0.1).step()
    with pytest.raises(RuntimeError, match=r"backward of multiply: the saved float64 array .* was changed in place"):
        y.backward()


def test_a_parameter_without_gradient_stays():
    p, q = parameter([1.0]), parameter([1.0], [1.0])
    optimizer = SGD([p, q], lr=0.1, weight_decay=1.0)
    optimizer.step()
    assert p.item() == 1.0 and q.item() == pytest.approx(0.8)
    optimizer.zero_grad()
    assert q.grad is None


def test_centred_rmsprop_survives_a_constant_gradient():
    p = parameter(np.full(1000, 1.0, np.float32))
    optimizer = RMSprop([p], lr=1e-6, alpha=0.5, centered=True)
    constant = np.linspace(0.1, 7.3, 1000, dtype=np.float32)
    for _ in range(80):  # by rounding E[g^2] - E[g]^2 falls below 0
        p.grad = mt.Tensor(constant)
        optimizer.step()
    assert np.isfinite(p.numpy()).all()


@pytest.mark.parametrize(("kind", "settings"), SETTINGS, ids=IDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_loaded_state_goes_on_with_the_same_bits(kind, settings, dtype, rng):
    gradients = rng.standard_normal((12, 3, 2))

    def run(optimizer, ps, steps):
        for i in steps:
            for p, gradient in zip(ps, (gradients[i], gradients[i, 0, 0]), strict=True):
                p.grad = mt.Tensor(np.asarray(gradient, dtype))
            optimizer.step()

    def fresh():
        ps = [parameter(np.ones((3, 2), dtype)), parameter(np.array(2.0, dtype))]
        return kind([{"params": ps[0]}, {"params": ps[1], "lr": 0.2}], **settings), ps

    whole, expected = fresh()
    run(whole, expected, range(12))

    first, ps = fresh()
    run(first, ps, range(5))
    saved = copy.deepcopy(first.state_dict())
    saved["state"] = {
        str(number): {key: np.asarray(value) for key, value in entries.items()}  # as it comes from a file
        for number, entries in saved["state"].items()
    }
    second, resumed = fresh()
    for p, q in zip(resumed, ps, strict=True):
        p.data[...] = q.data
    second.load_state_dict(saved)
    run(first, ps, range(5, 7))  # the saved state is its own: this must not reach the second
    run(second, resumed, range(5, 12))
    for p, q in zip(resumed, expected, strict=True):
        assert p.numpy().tobytes() == q.numpy().tobytes()


def test_a_state_of_torchs_is_understood(rng, torch):
    start, gradients = rng.standard_normal(4), rng.standard_normal((8, 4))
    theirs = torch.nn.Parameter(torch.tensor(start))
    other = torch.optim.AdamW([theirs], lr=0.05, betas=(0.8, 0.9))
    for gradient in gradients[:4]:
        theirs.grad = torch.tensor(gradient)
        other.step()
    p = parameter(theirs.detach().numpy().copy())
    optimizer = AdamW([p])
    optimizer.load_state_dict(other.state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.05
    for gradient in gradients[4:]:
        theirs.grad, p.grad = torch.tensor(gradient), mt.Tensor(gradient)
        other.step()
        optimizer.step()
    np.testing.assert_allclose(p.numpy(), theirs.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s["param_groups"].append(s["param_groups"][0]),
            r"SGD: load_state_dict expects groups of \[2\] parameters; it has \[2, 2\]",
        ),
        (
            lambda s: s["state"][1].update(momentum_buffer=np.ones(5)),
            r"SGD: momentum_buffer of parameter 1 expects shape \(3,\); it is \(5,\)",
        ),
        (
            lambda s: s["state"].update({7: {}}),
            r"SGD: load_state_dict expects state for 2 parameters; it has \[0, 1, 7\]",
        ),
        (lambda s: s["param_groups"][0].update(lr=-1.0), "SGD: lr expects a number >= 0; it is -1.0"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_nothing_changes(change, message):
    optimizer = SGD([parameter(np.ones(2), np.ones(2)), parameter(np.ones(3), np.ones(3))], lr=0.5, momentum=0.9)
    optimizer.step()
    before = copy.deepcopy(optimizer.state_dict())
    wrong = copy.deepcopy(before)
    wrong["param_groups"][0]["lr"] = 0.25
    change(wrong)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(wrong)
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for number, entries in before["state"].items():
        np.testing.assert_array_equal(after["state"][number]["momentum_buffer"], entries["momentum_buffer"])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: SGD([]), ValueError, "SGD: params expects at least one parameter; it is empty"),
        (lambda p: SGD([p * 2.0]), TypeError, "SGD: params expects leaf Tensors"),
        (lambda p: SGD([np.ones(3)]), TypeError, "SGD: params expects leaf Tensors"),
        (lambda p: SGD([p, p]), ValueError, r"params expects each parameter once; one of shape \(1,\) is there twice"),
        (lambda p: SGD([{"params": [p], "rate": 1.0}]), ValueError, r"settings among lr, .*; it has \['rate'\]"),
        (lambda p: SGD([p], lr=-0.1), ValueError, "SGD: lr expects a number >= 0; it is -0.1"),
        (lambda p: SGD([p], lr=math.nan), ValueError, "SGD: lr expects a number >= 0; it is nan"),
        (lambda p: SGD([p], momentum=-1.0), ValueError, "SGD: momentum expects a number >= 0; it is -1.0"),
        (lambda p: SGD([p], nesterov=True), ValueError, "SGD: nesterov expects momentum > 0 and dampening = 0"),
        (lambda p: Adam([p], betas=(0.9, 1.0)), ValueError, r"Adam: betas expects two numbers in \[0, 1\)"),
        (lambda p: AdamW([p], eps=-1.0), ValueError, "AdamW: eps expects a number >= 0; it is -1.0"),
        (lambda p: RMSprop([p], alpha=-1.0), ValueError, "RMSprop: alpha expects a number >= 0; it is -1.0"),
    ],
)
def test_wrong_settings_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make(parameter([1.0]))


def test_a_gradient_of_another_shape_is_refused_before_anything_changes():
    parameters = [mt.nn.Parameter(np.ones(2)), mt.nn.Parameter(np.ones((2, 1)))]
    parameters[0].grad, parameters[1].grad = mt.Tensor(np.ones(2)), mt.Tensor(np.ones(1))
    with pytest.raises(ValueError, match=r"SGD: grad expects its parameter's shape \(2, 1\); it is \(1,\)"):
        SGD(parameters, 0.1).step()
    assert parameters[0].tolist() == [1.0, 1.0]


def test_one_tensor_is_no_list_of_parameters():
    with pytest.raises(TypeError, match="SGD: params expects a list of Tensors or of groups; it is one Tensor"):
        SGD(mt.nn.Parameter(np.ones(2)))


def test_a_subclass_only_says_how_a_parameter_changes():
    class SignDescent(Optimizer):
        def _update(self, group, parameter, gradient, state):
            parameter -= group["lr"] * np.sign(gradient)

    p = parameter([1.0, 1.0], [3.0, -0.1])
    SignDescent([p], {"lr": 0.25}).step()
    np.testing.assert_array_equal(p.numpy(), [0.75, 1.25])
    assert repr(SignDescent([p], {"lr": 0.25})) == "SignDescent(lr=0.25)"
