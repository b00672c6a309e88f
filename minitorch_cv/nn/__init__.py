"""Layers with PyTorch's names and argument order, and the modules that hold them."""

import sys
from typing import TYPE_CHECKING

from .._pytorch_names import NN, unknown_name
from . import init
from .activation import (
    ELU,
    GELU,
    Dropout,
    Dropout2d,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from .container import ModuleList, Sequential
from .convolution import Conv2d, ConvTranspose2d
from .linear import Embedding, Flatten, Identity, Linear, Unflatten
from .loss import BCEWithLogitsLoss, CrossEntropyLoss, GaussianNLLLoss, L1Loss, MSELoss, NLLLoss
from .module import Module, Parameter, evaluation
from .normalization import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm, LocalResponseNorm, SpectralNorm
from .pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d, MaxUnpool2d
from .resize import CircularPad2d, ConstantPad2d, ReflectionPad2d, ReplicationPad2d, Upsample, ZeroPad2d

if not TYPE_CHECKING:  # a type checker knows what there is

    def __getattr__(name: str):
        raise unknown_name(__name__, name, NN.get(name), obj=sys.modules[__name__])
