"""The reference: a page for each family of operations, and one for each other part of the package."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import minitorch_cv
from minitorch_cv import ops

from . import catalogue, faults
from .docstrings import to_rst
from .links import target_of
from .readme_pages import relinked

# Pages of packages, whose names are found; and pages whose names stand in several modules.
PACKAGES = {
    "nn": "Layers: nn",
    "models": "Architectures: models",
    "optim": "Optimisers: optim",
    "data": "Data",
    "training": "Training",
    "weights": "Weights",
    "viz": "Figures: viz",
    "checks": "Checks of gradients",
}
COLLECTIONS = {
    "core": (
        "Tensors and gradients",
        {
            "minitorch_cv._tensor": ("Tensor",),
            "minitorch_cv._autograd": ("backward", "grad", "no_grad", "debug", "mark_changed"),
            "minitorch_cv": ("from_dlpack",),
            "minitorch_cv._op": ("op",),
            "minitorch_cv._random": ("Generator", "manual_seed", "default_generator"),
        },
    ),
    "course": (
        "Lessons and exercises: course",
        {
            "minitorch_cv.course.lesson": ("Lesson",),
            "minitorch_cv.course.exercise": ("Exercise", "About", "Mistake", "all_exercises", "find_exercise"),
        },
    ),
    "devices": (
        "Devices, precision, threads",
        {
            "minitorch_cv._kernel_usage": ("kernel_usage", "KernelUsage"),
            "minitorch_cv._precision": ("set_precision", "get_precision"),
            "minitorch_cv._numerics": ("set_numerics", "get_numerics"),
            "minitorch_cv.kernels.cpu.threads": ("set_num_threads", "get_num_threads"),
            "minitorch_cv.kernels.manifest": ("Body",),
        },
    ),
    "simulator": (
        "The simulator of CUDA kernels",
        {
            "minitorch_cv.kernels.simulator.module": ("SimulatedModule",),
            "minitorch_cv.kernels.simulator.watched": ("WatchedModule", "Observation", "MemoryCounts"),
            "minitorch_cv.kernels.simulator.finding": ("Finding",),
            "minitorch_cv.kernels.simulator.numba_cuda": ("simulate",),
        },
    ),
}
ORDER = ("core", *PACKAGES, "course", "devices", "simulator")


def write(folder: Path) -> None:
    """Every page of the reference."""
    operations = folder / "operations"
    operations.mkdir(parents=True)
    for family in catalogue.families():
        (operations / f"{family.stem}.md").write_text(_family_page(family), encoding="utf-8")
    (operations / "index.md").write_text(_operations_index(), encoding="utf-8")
    for name in PACKAGES:
        (folder / f"{name}.md").write_text(_package_page(name), encoding="utf-8")
    for name in COLLECTIONS:
        (folder / f"{name}.md").write_text(_collection_page(name), encoding="utf-8")
    (folder / "index.md").write_text(_index(), encoding="utf-8")


# ---- operations


def _operations_index() -> str:
    lines = ["# Operations", "", _in_rst(to_rst(inspect.getdoc(ops) or "", target_of)), ""]
    lines += ["| family | functions |", "|---|---|"]
    for family in catalogue.families():
        functions = ", ".join(f"{{py:func}}`{name} <{catalogue.qualified(name)}>`" for name in family.public)
        lines.append(f"| {{doc}}`{family.title} <{family.stem}>` | {functions} |")
    tree = [family.stem for family in catalogue.families()]
    return "\n".join([*lines, "", "```{toctree}", ":hidden:", "", *tree, "```", ""])


def _family_page(family: catalogue.Family) -> str:
    lines = [f"(operations-{family.stem})=", f"# {family.title}", "", _in_rst(to_rst(family.intro, target_of)), ""]
    lines += ["```{eval-rst}", ".. container:: belongs", "", _indented(_belongs(family)), "```", ""]
    lines += [_auto(None, catalogue.qualified(name)) for name in family.public]
    if family.recorded:
        lines += [
            "## What is recorded",
            "",
            "Operations that the functions above call, each with its own backward.",
            "",
        ]
        lines += [_auto(None, catalogue.qualified(name)) for name in family.recorded]
    return "\n".join(lines)


def _belongs(family: catalogue.Family) -> str:
    """Where else this family is at home: lessons, exercises, kernels, faults, source."""
    lessons = {lesson.name: lesson for name in family.names for lesson in catalogue.lessons_of(name)[0]}
    exercises = {e.name: e for name in family.names for e in catalogue.exercises_of(name)}
    path = family.source.relative_to(catalogue.ROOT).as_posix()
    rows = {
        "Lessons": [f":doc:`/lessons/{name}`" for name in sorted(lessons)],
        "Exercises": [f":doc:`{e.title} </exercises/{e.name}>`" for e in exercises.values()],
        "Kernels": [f":doc:`/reference/kernels/{family.stem}`"] if family.kernels else [],
        "Faults": [f":doc:`what is planted, and what is caught </reference/faults/{family.stem}>`"],
        "Source": [f":source:`{path}`"],
    }
    if not any(faults.count(name) for name in family.names):
        del rows["Faults"]
    return "\n".join(f":{kind}: {', '.join(targets)}" for kind, targets in rows.items() if targets)


# ---- other parts


def _index() -> str:
    parts = "\n".join(ORDER)
    return f"""\
# Reference

What the docstrings say, with their formulae as mathematics. From each operation links lead to the lesson that derives
it, to its kernels, to exercises, to the mistakes that are planted in it and to its source, and back.

```{{toctree}}
:maxdepth: 2

operations/index
```

```{{toctree}}
:maxdepth: 1

{parts}
kernels/index
faults/index
```
"""


def _package_page(name: str) -> str:
    """The public names of a package, under a heading for each of its modules."""
    package = importlib.import_module(f"minitorch_cv.{name}")
    lines = [f"# {PACKAGES[name]}", "", _in_rst(to_rst(inspect.getdoc(package) or "", target_of)), ""]
    for module, names in _defined_in(package):
        lines += [f"## {_heading(module)}", ""]
        lines += [_auto(getattr(package, part), f"{package.__name__}.{part}") for part in names]
    return "\n".join(lines)


def _collection_page(name: str) -> str:
    """Names of several modules, under their headings; what `minitorch_cv` itself offers stands there as `mt.grad`."""
    title, modules = COLLECTIONS[name]
    lines = [f"# {title}", ""]
    if name == "simulator":
        folder = catalogue.ROOT / "kernels" / "simulator"
        lines = [relinked((folder / "README.md").read_text(encoding="utf-8"), folder), ""]
    for path, names in modules.items():
        module = importlib.import_module(path)
        lines += [f"## {_heading(module)}", ""]
        for part in names:
            owner = "minitorch_cv" if hasattr(minitorch_cv, part) else path
            lines.append(_auto(getattr(module, part), f"{owner}.{part}"))
    return "\n".join(lines)


def _defined_in(package: ModuleType) -> list[tuple[ModuleType, list[str]]]:
    """The public classes and functions of a package, by the modules in which they stand, in their order there."""
    public: dict[str, list[str]] = {}
    for name in getattr(package, "__all__", None) or dir(package):
        value = getattr(package, name)
        if name.startswith("_") or not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        if value.__module__.startswith(package.__name__ + "."):
            public.setdefault(value.__module__, []).append(name)
    found = []
    for source, names in public.items():
        module = importlib.import_module(source)
        order = list(vars(module))
        found.append((module, sorted(names, key=lambda name: order.index(getattr(package, name).__name__))))
    return found


def _heading(module: ModuleType) -> str:
    """A module's first line up to its first stop: a heading."""
    first = (inspect.getdoc(module) or "").split("\n")[0]
    return re.split(r"[:.,(;]", first, maxsplit=1)[0].strip().replace("`", "")


def _auto(value: object, name: str) -> str:
    directive = f"autoclass:: {name}\n   :members:" if inspect.isclass(value) else f"autofunction:: {name}"
    return f"```{{eval-rst}}\n.. {directive}\n```\n"


def _in_rst(text: str) -> str:
    return f"```{{eval-rst}}\n{text}```"


def _indented(text: str) -> str:
    return "\n".join(f"   {line}" for line in text.split("\n"))
