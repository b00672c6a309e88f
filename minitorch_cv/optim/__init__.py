"""Optimisers, learning-rate schedules, gradient clipping, averaged weights."""

import sys
from typing import TYPE_CHECKING

from .._pytorch_names import OPTIM, unknown_name
from .averaging import ExponentialMovingAverage
from .clipping import clip_grad_norm_, clip_grad_value_
from .optimizer import SGD, Adam, AdamW, Optimizer, RMSprop
from .schedule import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    ReduceLROnPlateau,
    Schedule,
    SequentialLR,
    StepLR,
)

if not TYPE_CHECKING:  # a type checker knows what there is

    def __getattr__(name: str):
        raise unknown_name(__name__, name, OPTIM.get(name), obj=sys.modules[__name__])
