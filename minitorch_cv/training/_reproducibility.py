"""What the bits of a run depend on: every generator, and the environment."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from .._random import Generator, default_generator
from ..nn import Module


def generators_of(model: Module, more: Sequence[Generator] | Mapping[str, Generator]) -> dict[str, Generator]:
    """Every generator of a run by name, each once: the default one, those that modules hold, and `more`."""
    named = more.items() if isinstance(more, Mapping) else ((str(i), generator) for i, generator in enumerate(more))
    candidates = [("default", default_generator())]
    for prefix, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, Generator):
                candidates.append((f"model.{prefix}.{name}" if prefix else f"model.{name}", value))
    for name, generator in named:
        if not isinstance(generator, Generator):
            raise TypeError(f"Trainer: generators expects minitorch_cv Generators; {name!r} is {generator!r}")
        candidates.append((f"generators.{name}", generator))
    found: dict[str, Generator] = {}
    for name, generator in candidates:
        if not any(generator is other for other in found.values()):
            found[name] = generator
    return found


def environment() -> dict[str, str]:
    """On what the bits of a run depend, besides the run itself."""
    from .. import __version__

    return {
        "minitorch_cv": __version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "threads": os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or str(os.cpu_count()),
        "kernels": os.environ.get("MINITORCH_CV_KERNELS") or "as they suit",
    }


def warn_of_another_environment(saved: Mapping[str, str]) -> None:
    """Warn where a run was saved in an environment from which it may go on to other bits."""
    here = environment()
    changed = [f"{name} {saved.get(name)!r}, now {here[name]!r}" for name in here if saved.get(name) != here[name]]
    if changed:
        warnings.warn(
            f"the run goes on, but perhaps not to the same bits: it was saved with {'; '.join(changed)}", stacklevel=3
        )
