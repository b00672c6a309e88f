"""The links under a docstring, to lessons, kernels, exercises and faults; and those of names in backticks."""

from __future__ import annotations

import re
from typing import Any

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


def fields_of(what: str, name: str, obj: Any) -> tuple[str, str]:
    """(the docstring without its lines `Lesson:` and `Kernel:`, fields with links in their place)."""
    text = "\n".join(obj) if isinstance(obj, list) else obj
    stays = re.sub(r"^\s*(Lesson|Kernel): +.*\n?", "", text, flags=re.MULTILINE)
    operation = name.rpartition(".")[2] if what == "function" and name.startswith("minitorch_cv.ops.") else ""
    lessons = [f":doc:`/{path.removesuffix('.py')}`" for path in catalogue.named_in(text, "Lesson")]
    rows = []
    if operation:
        derive, use = catalogue.lessons_of(operation)
        lessons = [f":doc:`/lessons/{lesson.name}`" for lesson in derive]
        lessons += [f":doc:`/lessons/{lesson.name}` (uses it)" for lesson in use]
    rows.append(("Lesson", lessons))
    kernels = [catalogue.ROOT / path for path in catalogue.named_in(text, "Kernel")]
    # CUDA sources have their launching code beside them; the manifest may know bodies that no line names.
    for body in catalogue.bodies_of(operation):
        module = body.module.removeprefix("minitorch_cv.").replace(".", "/") + ".py"
        if not any(path.with_suffix("") == (catalogue.ROOT / module).with_suffix("") for path in kernels):
            kernels.append(catalogue.ROOT / module)
    rows.append(
        ("Kernel", [f":ref:`{p.relative_to(catalogue.ROOT).as_posix()} <{catalogue.label(p)}>`" for p in kernels])
    )
    if operation:
        found = [f":doc:`{e.title} </exercises/{e.name}>`" for e in catalogue.exercises_of(operation)]
        rows.append(("Exercises", found))
        if planted := faults.count(operation):
            rows.append(("Faults", [f":ref:`{planted} planted, and caught <faults-{operation}>`"]))
    return stays, "".join(f":{kind}: {', '.join(targets)}\n" for kind, targets in rows if targets)
