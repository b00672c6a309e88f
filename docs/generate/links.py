"""The links under a docstring, to lessons, kernels, exercises and faults; and those of names in backticks."""

from __future__ import annotations

import re

from minitorch_cv import data, models, nn, ops, optim, training, viz, weights

from . import catalogue, faults

MODULES = {
    "ops": ops,
    "nn": nn,
    "models": models,
    "optim": optim,
    "training": training,
    "data": data,
    "viz": viz,
    "weights": weights,
}


def target_of(name: str) -> str | None:
    """A link to what stands in backticks, `ops.conv2d` or `batch_norm_train`; None for arguments and other code."""
    owner, _, rest = name.rpartition(".")
    if owner in MODULES and hasattr(MODULES[owner], rest):
        role = "class" if isinstance(getattr(MODULES[owner], rest), type) else "func"
        return f":py:{role}:`{name} <minitorch_cv.{name}>`"
    # An operation, but not one whose name may be an argument's as well: `pad`, `where`, `mean`.
    if re.search(r"[_\d]", name) and catalogue.family_of(name):
        return f":py:func:`{name} <{catalogue.qualified(name)}>`"
    return None


def fields_of(what: str, name: str, text: str) -> tuple[str, str]:
    """(the docstring without its lines `Lesson:` and `Kernel:`, fields with links in their place)."""
    stays = re.sub(r"^\s*(Lesson|Kernel): +.*\n?", "", text, flags=re.MULTILINE)
    short = name.rpartition(".")[2]
    operation = short if what == "function" and name.startswith("minitorch_cv.ops.") else ""
    rows = {
        "Lesson": _lessons(operation, text),
        "Kernel": _kernels(operation, text),
        "Exercises": [f":doc:`{e.title} </exercises/{e.name}>`" for e in catalogue.exercises_of(operation)],
        "Faults": [],
        "Ledger": [f":doc:`layer by layer </architectures/{short}>`"] if name == f"minitorch_cv.models.{short}" else [],
    }
    if planted := faults.count(operation):
        told = f"{faults.caught(operation):,} of {planted:,} planted ones are caught"
        rows["Faults"] = [f":ref:`{told} <faults-{operation}>`"]
    if short not in models.REGISTRY:
        del rows["Ledger"]
    return stays, "".join(f":{kind}: {', '.join(targets)}\n" for kind, targets in rows.items() if targets)


def _lessons(operation: str, text: str) -> list[str]:
    if not operation:
        return [f":doc:`/{path.removesuffix('.py')}`" for path in catalogue.named_in(text, "Lesson")]
    derive, use = catalogue.lessons_of(operation)
    links = [f":doc:`/lessons/{lesson.name}`" for lesson in derive]
    return links + [f":doc:`/lessons/{lesson.name}` (uses it)" for lesson in use]


def _kernels(operation: str, text: str) -> list[str]:
    """The files that the docstring names, and those of bodies in the manifest that it does not."""
    paths = [catalogue.ROOT / path for path in catalogue.named_in(text, "Kernel")]
    named = {path.with_suffix("") for path in paths}  # a CUDA source has its launching code beside it
    modules = [catalogue.source_of(body.module) for body in catalogue.bodies_of(operation)]
    paths += [path for path in dict.fromkeys(modules) if path.with_suffix("") not in named]
    return [f":ref:`{path.relative_to(catalogue.ROOT).as_posix()} <{catalogue.label(path)}>`" for path in paths]
