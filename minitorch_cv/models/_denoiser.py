"""A net of linear layers that predicts the noise in points and codes: the U-Net's task where there are no pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import nn, ops
from .._random import Generator
from .._tensor import Tensor
from ._ddpm_block import TimeEmbedding, checked_labels, linear


class MLPDenoiser(nn.Module):
    """Residual blocks of two linear layers, each shifted by the step (and the label), as in the U-Net's blocks.

    Shapes:    x (N, features), t (N,) whole numbers, label (N,) up to `num_classes` or None, y as x
    Units:     y in standard deviations of the noise
    Raises:    ValueError for a label that is not (N,), or none of the classes
    Source:    Ho et al. 2020, arXiv 2006.11239, appendix B, without the convolutions
    """

    def __init__(
        self,
        features: int = 2,
        hidden: int = 128,
        blocks: int = 3,
        num_classes: int | None = None,
        *,
        generator: Generator | None = None,
    ):
        self.input_shape, self.other_inputs = (1, features), (np.zeros(1, np.int64),)
        self.no_label = num_classes or None
        self.temb = TimeEmbedding(hidden // 4, generator)
        self.label = nn.Embedding(num_classes + 1, hidden, generator=generator) if num_classes else None
        self.first = linear(features, hidden, generator)
        self.shifts = nn.ModuleList(linear(hidden, hidden, generator) for _ in range(blocks))
        self.inner = nn.ModuleList(linear(hidden, hidden, generator) for _ in range(blocks))
        self.outer = nn.ModuleList(linear(hidden, hidden, generator) for _ in range(blocks))
        self.last = linear(hidden, features, generator)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Any, t: Any, label: Any = None) -> Any:
        time = self.temb(Tensor(t, device=x.device, dtype=x.dtype))
        if self.label is not None:
            labels = checked_labels("MLPDenoiser", label, x.shape[0], self.no_label)
            time = time + self.label(Tensor(labels, device=x.device))
        elif label is not None:
            raise ValueError("MLPDenoiser: label expects a net that was made with num_classes; this one takes none")
        time, x = ops.silu(time), self.first(x)
        for shift, inner, outer in zip(self.shifts, self.inner, self.outer, strict=True):
            x = x + outer(ops.silu(inner(ops.silu(x)) + shift(time)))
        return self.last(ops.silu(x))
