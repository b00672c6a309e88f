"""Optimisers: how parameters follow their gradients. Updates are in place and recorded as such."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from .._autograd import mark_changed
from .._device import array_namespace, is_array, to_device, to_numpy
from .._op import faster_update
from .._tensor import Tensor

Member: TypeAlias = tuple[Any, Any, dict[str, Any]]
"""A parameter's array, its gradient's, and its state."""


class Optimizer:
    """Steps over groups of parameters, each with settings of its own (`param_groups`).

    Subclasses define `_update(group, parameter, gradient, state)`, which changes the array `parameter` in place;
    `state` is a dict that belongs to the parameter.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]):
        if isinstance(params, Tensor):
            raise TypeError(f"{type(self).__name__}: params expects a list of Tensors or of groups; it is one Tensor")
        if callable(params):  # a module, or its method `parameters` itself
            raise TypeError(f"{type(self).__name__}: params expects Parameters: net.parameters(); it is {params!r}")
        groups = list(params)
        if not groups:
            raise ValueError(f"{type(self).__name__}: params expects at least one parameter; it is empty")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        self.param_groups: list[dict[str, Any]] = []
        self.state: list[dict[str, Any]] = []
        self.defaults = defaults
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add parameters with settings of their own: `{"params": [...], "lr": 0.1}`."""
        name = type(self).__name__
        parameters = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        known = {id(p) for other in self.param_groups for p in other["params"]}
        for p in parameters:
            if not isinstance(p, Tensor) or not p.is_leaf:
                raise TypeError(f"{name}: params expects leaf Tensors, such as Parameters; it holds {p!r}")
            if id(p) in known:
                raise ValueError(f"{name}: params expects each parameter once; one of shape {p.shape} is there twice")
            known.add(id(p))
        unknown = set(group) - set(self.defaults) - {"params"}
        if unknown:
            raise ValueError(
                f"{name}: a group expects settings among {', '.join(self.defaults)}; it has {sorted(unknown)}"
            )
        settings = {**self.defaults, **{k: v for k, v in group.items() if k != "params"}}
        # A NumPy scalar would turn float32 states into float64.
        settings = {k: v.item() if isinstance(v, np.generic) else v for k, v in settings.items()}
        self._check(settings)
        self.param_groups.append({"params": parameters, **settings})
        self.state.extend({} for _ in parameters)

    def _check(self, settings: dict[str, Any]) -> None:
        for key in ("lr", "weight_decay", "eps"):
            if key in settings and not settings[key] >= 0.0:
                raise ValueError(f"{type(self).__name__}: {key} expects a number >= 0; it is {settings[key]}")

    def zero_grad(self) -> None:
        """Let go of the gradients."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient.

        Raises ValueError, before anything changes, for a gradient of another shape than its parameter.
        """
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None and p.grad.shape != p.shape:
                    raise ValueError(
                        f"{type(self).__name__}: grad expects its parameter's shape {p.shape}; it is {p.grad.shape}"
                    )
        states = iter(self.state)
        for group in self.param_groups:
            moving = [(p, state) for p, state in zip(group["params"], states) if p.grad is not None]
            self._update_group(group, [(p.data, p.grad.data, state) for p, state in moving])
            for p, _ in moving:
                mark_changed(p.data)

    def _update_group(self, group: dict[str, Any], members: list[Member]) -> None:
        """Update all parameters of a group: one after the other, where a subclass knows no faster way."""
        for parameter, gradient, state in members:
            self._update(group, parameter, gradient, state)

    def _update(self, group: dict[str, Any], parameter: Any, gradient: Any, state: dict[str, Any]) -> None:
        raise TypeError(f"{type(self).__name__} has no _update(); define it to say how a parameter changes")

    def state_dict(self) -> dict[str, Any]:
        """State by parameter number, and the groups with parameter numbers in place of parameters, as in PyTorch.

        The state's arrays are the optimiser's own, not copies.
        """
        numbers = iter(range(len(self.state)))
        groups = [{**g, "params": [next(numbers) for _ in g["params"]]} for g in self.param_groups]
        return {"state": {i: dict(s) for i, s in enumerate(self.state) if s}, "param_groups": groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state, which is copied.

        Raises ValueError, before anything changes, where the groups, settings or shapes differ.
        """
        name = type(self).__name__
        own = [len(g["params"]) for g in self.param_groups]
        saved = [len(g["params"]) for g in state["param_groups"]]
        if own != saved:
            raise ValueError(f"{name}: load_state_dict expects groups of {own} parameters; it has {saved}")
        settings = [{key: group[key] for key in self.defaults if key in group} for group in state["param_groups"]]
        for group, given in zip(self.param_groups, settings, strict=True):
            self._check({**group, **given})
        parameters = [p for g in self.param_groups for p in g["params"]]
        values = {int(number): entries for number, entries in state["state"].items()}
        if any(not 0 <= number < len(parameters) for number in values):
            raise ValueError(
                f"{name}: load_state_dict expects state for {len(parameters)} parameters; it has {sorted(values)}"
            )
        states = [self._own_state(number, p, values.get(number, {})) for number, p in enumerate(parameters)]
        self.state = states
        for group, given in zip(self.param_groups, settings, strict=True):
            group.update(given)

    def _own_state(self, number: int, parameter: Tensor, entries: Mapping[str, Any]) -> dict[str, Any]:
        """A parameter's saved state as this optimiser keeps it: steps as numbers, the rest as arrays like it."""
        state: dict[str, Any] = {}
        for key, value in entries.items():
            if value is None:  # torch's SGD without momentum keeps a momentum_buffer of None
                continue
            expected = () if key == "step" else parameter.shape
            if np.shape(value) != expected:
                raise ValueError(
                    f"{type(self).__name__}: {key} of parameter {number} expects shape {expected}; "
                    f"it is {np.shape(value)}"
                )
            if key == "step":
                state[key] = int(value)
            else:
                # In the parameter's layout: a resumed run goes on with the same bits.
                own = array_namespace(parameter.data).empty_like(parameter.data)
                values = to_numpy(value) if is_array(value) else np.asarray(value)
                own[...] = to_device(values.astype(parameter.dtype), parameter.device)
                state[key] = own
        return state

    def __repr__(self) -> str:
        groups = "; ".join(", ".join(f"{k}={v}" for k, v in g.items() if k != "params") for g in self.param_groups)
        return f"{type(self).__name__}({groups})"


class SGD(Optimizer):
    r"""Gradient descent with momentum, in PyTorch's form.

    g = dL/dp + weight_decay p;  v = momentum v + (1 - dampening) g (v = g at first);
    p = p - lr v, or with nesterov p = p - lr (g + momentum v).

    Source: Polyak 1964; Nesterov 1983; Sutskever et al. 2013, "On the importance of initialization and momentum".
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ):
        settings = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
        }
        super().__init__(params, settings)

    def _check(self, settings: dict[str, Any]) -> None:
        super()._check(settings)
        if not settings["momentum"] >= 0.0:
            raise ValueError(f"SGD: momentum expects a number >= 0; it is {settings['momentum']}")
        if settings["nesterov"] and (settings["momentum"] <= 0.0 or settings["dampening"] != 0.0):
            raise ValueError("SGD: nesterov expects momentum > 0 and dampening = 0")

    def _update_group(self, group: dict[str, Any], members: list[Member]) -> None:
        keys = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
        settings = {key: group[key] for key in keys}
        started = [m for m in members if "momentum_buffer" in m[2]]
        fresh = [m for m in members if "momentum_buffer" not in m[2]]
        for alike, first in ((started, False), (fresh, True)):
            if not alike:
                continue
            parameters, gradients, states = map(list, zip(*alike, strict=True))
            velocities = None
            if group["momentum"]:
                velocities = [
                    array_namespace(p).empty_like(p) if first else s["momentum_buffer"]
                    for p, s in zip(parameters, states, strict=True)
                ]
            faster = faster_update("sgd_step", parameters, gradients, *([] if velocities is None else [velocities]))
            if faster is None:
                super()._update_group(group, alike)
                continue
            faster(parameters, gradients, velocities, first, **settings)
            if velocities is not None:
                for state, velocity in zip(states, velocities, strict=True):
                    state["momentum_buffer"] = velocity

    def _update(self, group: dict[str, Any], parameter: Any, gradient: Any, state: dict[str, Any]) -> None:
        if group["weight_decay"]:
            gradient = gradient + group["weight_decay"] * parameter
        if group["momentum"]:
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = gradient.copy()
            else:
                state["momentum_buffer"] *= group["momentum"]
                state["momentum_buffer"] += (1.0 - group["dampening"]) * gradient
            velocity = state["momentum_buffer"]
            gradient = gradient + group["momentum"] * velocity if group["nesterov"] else velocity
        parameter -= group["lr"] * gradient


class Adam(Optimizer):
    r"""Steps scaled by running moments of the gradient.

    g = dL/dp + weight_decay p;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
    p = p - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps).

    Source: Kingma and Ba 2014, arXiv 1412.6980, algorithm 1.
    """

    decoupled_weight_decay = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay})

    def _check(self, settings: dict[str, Any]) -> None:
        super()._check(settings)
        if len(settings["betas"]) != 2 or not all(0.0 <= b < 1.0 for b in settings["betas"]):
            raise ValueError(f"{type(self).__name__}: betas expects two numbers in [0, 1); it is {settings['betas']}")

    def _update_group(self, group: dict[str, Any], members: list[Member]) -> None:
        for parameter, _, state in members:
            if not state:
                zeros = array_namespace(parameter).zeros_like
                state.update(step=0, exp_avg=zeros(parameter), exp_avg_sq=zeros(parameter))
        by_step: dict[int, list[Member]] = {}
        for member in members:
            by_step.setdefault(member[2]["step"], []).append(member)
        for step, alike in by_step.items():
            parameters, gradients, states = map(list, zip(*alike, strict=True))
            moments = [[s["exp_avg"] for s in states], [s["exp_avg_sq"] for s in states]]
            faster = faster_update("adam_step", parameters, gradients, *moments)
            if faster is None:
                super()._update_group(group, alike)
                continue
            settings = {key: group[key] for key in ("lr", "betas", "eps", "weight_decay")}
            faster(parameters, gradients, *moments, step + 1, **settings, decoupled=self.decoupled_weight_decay)
            for state in states:
                state["step"] = step + 1

    def _update(self, group: dict[str, Any], parameter: Any, gradient: Any, state: dict[str, Any]) -> None:
        xp, (beta1, beta2), lr = array_namespace(parameter), group["betas"], group["lr"]
        if group["weight_decay"]:
            if self.decoupled_weight_decay:
                parameter *= 1.0 - lr * group["weight_decay"]
            else:
                gradient = gradient + group["weight_decay"] * parameter
        state["step"] += 1
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean *= beta1
        mean += (1.0 - beta1) * gradient
        square *= beta2
        square += (1.0 - beta2) * (gradient * gradient)
        scale = xp.sqrt(square)
        scale /= math.sqrt(1.0 - beta2 ** state["step"])
        scale += group["eps"]
        parameter -= (lr / (1.0 - beta1 ** state["step"])) * mean / scale


class AdamW(Adam):
    r"""Adam whose weight decay shrinks the parameter itself, p = (1 - lr weight_decay) p, apart from the moments.

    Source: Loshchilov and Hutter 2017, arXiv 1711.05101, algorithm 2.
    """

    decoupled_weight_decay = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ):
        super().__init__(params, lr, betas, eps, weight_decay)


class RMSprop(Optimizer):
    r"""Steps divided by the running root mean square of the gradient.

    g = dL/dp + weight_decay p;  s = alpha s + (1 - alpha) g^2;  centered: m = alpha m + (1 - alpha) g, s - m^2 for s;
    d = g / (sqrt(s) + eps);  with momentum v = momentum v + d, p = p - lr v, else p = p - lr d.

    Source: Tieleman and Hinton 2012, lecture 6.5; centered: Graves 2013, arXiv 1308.0850, eq. 38 to 45.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ):
        settings = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
        }
        super().__init__(params, settings)

    def _check(self, settings: dict[str, Any]) -> None:
        super()._check(settings)
        for key in ("alpha", "momentum"):
            if not settings[key] >= 0.0:
                raise ValueError(f"RMSprop: {key} expects a number >= 0; it is {settings[key]}")

    def _update(self, group: dict[str, Any], parameter: Any, gradient: Any, state: dict[str, Any]) -> None:
        xp, alpha = array_namespace(parameter), group["alpha"]
        if group["weight_decay"]:
            gradient = gradient + group["weight_decay"] * parameter
        square = state.setdefault("square_avg", xp.zeros_like(parameter))
        square *= alpha
        square += (1.0 - alpha) * (gradient * gradient)
        if group["centered"]:
            mean = state.setdefault("grad_avg", xp.zeros_like(parameter))
            mean *= alpha
            mean += (1.0 - alpha) * gradient
            square = xp.maximum(square - mean * mean, 0.0)  # rounding can make a variance near 0 negative
        step = gradient / (xp.sqrt(square) + group["eps"])
        if group["momentum"]:
            velocity = state.setdefault("momentum_buffer", xp.zeros_like(parameter))
            velocity *= group["momentum"]
            velocity += step
            step = velocity
        parameter -= group["lr"] * step
