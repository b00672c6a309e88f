"""The architectures' ledger: every model of the registry counted layer by layer."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from . import catalogue
from .kept import kept


def _count_all() -> dict[str, Any]:
    """The ledger of every model; its weights are not drawn."""
    import json

    from minitorch_cv.models import REGISTRY, ledger
    from minitorch_cv.nn import init

    counted = {}
    for name, entry in REGISTRY.items():
        with init.skipped():
            model = entry.constructor()
        counted[name] = json.loads(ledger(model, model.input_shape, name).to_json())
    return counted


@cache
def ledgers() -> dict[str, Any]:
    """By the model's name, as `Ledger.to_json` has it."""
    package = catalogue.ROOT / "minitorch_cv"
    return kept("ledgers", [p for part in ("models", "nn", "ops") for p in (package / part).glob("*.py")], _count_all)


INTRODUCTION = """\
# Architectures

The ledger of every architecture of the package, counted by running it once on an image of its own size: parameters,
multiply-adds of convolutions and linear layers for one image, memory of what the layers put out (float32), and the side
of the largest window of the image that one number of a layer sees ("all" where every layer sees all of it). The names
lead to the layers. `minitorch-cv summary NAME` prints the same, and `models.ledger(net, shape)` counts a net of yours.

"""


def write(folder: Path) -> None:
    """The table of all models, and a page of layers for each."""
    from minitorch_cv.models import REGISTRY

    folder.mkdir(parents=True)
    lines = [INTRODUCTION, "| model | input | parameters | multiply-adds | memory | sees | paper |"]
    lines.append("|---|---|--:|--:|--:|--:|---|")
    for name, entry in REGISTRY.items():
        counted = ledgers()[name]
        fields = [row["receptive_field"] for row in counted["layers"] if row["receptive_field"]]
        sees = "all" if not fields else f"{max(max(field) for field in fields):,}"
        paper = entry.paper
        lines.append(
            f"| {{doc}}`{name}` | {_by(counted['input_shape'][1:])} | {counted['parameters']:,} "
            f"| {_large(counted['multiply_adds'])} | {counted['activation_bytes'] / 2**20:,.1f}\u00a0MiB "
            f"| {sees} | {paper} |"
        )
        (folder / f"{name}.md").write_text(_model_page(name, counted, paper), encoding="utf-8")
    tree = "\n".join(["```{toctree}", ":hidden:", "", *REGISTRY, "```", ""])
    (folder / "index.md").write_text("\n".join([*lines, "", tree]), encoding="utf-8")


def _model_page(name: str, counted: dict[str, Any], paper: str) -> str:
    lines = [f"# {name}", "", f"{{py:func}}`minitorch_cv.models.{name}` ({paper}), layer by layer.", ""]
    lines += ["| layer | kind | output | parameters | multiply-adds | memory | sees |", "|---|---|---|--:|--:|--:|--:|"]
    for row in counted["layers"]:
        sees = _by(row["receptive_field"]) if row["receptive_field"] else ""
        lines.append(
            f"| `{row['name']}` | {row['kind']} | {_by(row['output_shape'][1:])} | {_count(row['parameters'])} "
            f"| {_count(row['multiply_adds'])} | {row['activation_bytes'] / 1024:,.0f}\u00a0KiB | {sees} |"
        )
    lines.append(
        f"| **total** | | | **{counted['parameters']:,}** | **{counted['multiply_adds']:,}** "
        f"| **{counted['activation_bytes'] / 2**20:,.1f} MiB** | |"
    )
    return "\n".join(lines) + "\n"


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def _large(number: int) -> str:
    return f"{number / 1e9:.3g}\u00a0G" if number >= 1e9 else f"{number / 1e6:.3g}\u00a0M"


def _by(shape: list[int]) -> str:
    return "×".join(map(str, shape))
