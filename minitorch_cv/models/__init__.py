"""The architectures of the papers, assembled from the layers of `nn`."""

from collections.abc import Callable
from typing import Any

from ._alexnet import AlexNet, alexnet, alexnet_paper
from ._ledger import Ledger, ledger

NAMES: dict[str, Callable[..., Any]] = {constructor.__name__: constructor for constructor in (alexnet, alexnet_paper)}
