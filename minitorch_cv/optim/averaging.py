"""Exponential moving average of weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from .._autograd import mark_changed
from .._device import device_of, to_device
from .._tensor import Tensor
from ..nn import Module


class ExponentialMovingAverage:
    r"""A shadow of a module's parameters and floating buffers, that follows them slowly.

    At each `update()`: shadow = decay shadow + (1 - decay) value.

    `with average.applied():` runs the module with the averaged weights and puts its own back afterwards.
    Source: Polyak and Juditsky 1992; Ho, Jain, Abbeel 2020, arXiv 2006.11239, appendix B (decay 0.9999).
    """

    def __init__(self, module: Module, decay: float = 0.9999):
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"ExponentialMovingAverage: decay expects a number in [0, 1); it is {decay}")
        self.module, self.decay = module, decay
        self.shadow = {name: tensor.data.copy() for name, tensor in self._averaged()}

    def _averaged(self) -> Iterator[tuple[str, Any]]:
        for name, tensor in self.module.state_dict().items():
            if tensor.dtype.kind == "f":
                yield name, tensor

    def update(self) -> None:
        """Move the shadow towards the present values."""
        for name, tensor in self._averaged():
            self.shadow[name] += (1.0 - self.decay) * (tensor.data - self.shadow[name])

    @contextmanager
    def applied(self) -> Iterator[Module]:
        """The module with the averaged weights."""
        own = {name: tensor.data.copy() for name, tensor in self._averaged()}
        self._write(self.shadow)
        try:
            yield self.module
        finally:
            self._write(own)

    def _write(self, values: Mapping[str, Any]) -> None:
        for name, tensor in self._averaged():
            tensor.data[...] = values[name]
            mark_changed(tensor.data)

    def state_dict(self) -> dict[str, np.ndarray]:
        return dict(self.shadow)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, from whichever device.

        Raises: ValueError for other names or shapes than the module's.
        """
        wrong = [k for k, v in self.shadow.items() if k not in state or np.shape(state[k]) != v.shape]
        if wrong or len(state) != len(self.shadow):
            raise ValueError(
                f"ExponentialMovingAverage: state expects the names and shapes of the module; wrong: {wrong}"
            )
        for name, value in self.shadow.items():
            given = state[name].data if isinstance(state[name], Tensor) else state[name]
            value[...] = to_device(given, device_of(value))
