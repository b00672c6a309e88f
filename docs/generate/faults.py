"""The mistakes that are planted in the operations, and whether the checks catch them: a page for each family."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from minitorch_cv.checks.equivalent_mutants import EQUIVALENT
from minitorch_cv.checks.planting import CAUGHT, NO_CHANGE, Planting
from minitorch_cv.checks.suite import plant_all

from . import catalogue
from .kept import kept


def sources() -> list[Path]:
    """What the outcome depends on: operations, checks, the engine."""
    package = catalogue.ROOT / "minitorch_cv"
    return [path for part in ("*.py", "ops/*.py", "checks/**/*.py") for path in package.glob(part)]


@cache
def plantings() -> list[Planting]:
    """What became of every planted fault on every case."""
    rows: list[dict[str, Any]] = kept("faults", sources(), lambda: [vars(found) for found in plant_all()])
    return [Planting(**row) for row in rows]


def _of(operation: str) -> list[Planting]:
    return [found for found in plantings() if found.operation == operation]


def count(operation: str) -> int:
    """How many faults were planted in an operation, on all of its cases, and changed a number."""
    return sum(found.outcome != NO_CHANGE for found in _of(operation))


def caught(operation: str) -> int:
    """How many of them a check catches."""
    return sum(found.outcome == CAUGHT for found in _of(operation))


def _row(operation: str) -> list[str]:
    found = _of(operation)
    outcomes = Counter(planting.outcome for planting in found)
    survived = len(found) - outcomes[CAUGHT] - outcomes[NO_CHANGE]
    own = len({planting.fault for planting in found if planting.own})
    generic = sum(not planting.own for planting in found)
    return [f"{n:,}" for n in (generic, own, outcomes[CAUGHT], outcomes[NO_CHANGE], survived)]


INTRODUCTION = """\
# Faults planted in the operations

A check that has never failed proves little. So mistakes are planted in every backward: eight that any gradient can have
(zero, 1 % too large, the sign, transposed, rolled, one entry dropped, overwritten, one entry a thousandth off), in each
gradient of each case; and the operation's own, those that people make when they derive just this one. Each must be
caught. What "changes nothing" gave the same numbers on that case, as the transpose of a symmetric matrix does.

{caught:,} of {applied:,} are caught; {nothing:,} more change no number. `minitorch-cv gradcheck --faults` prints this
table and fails if one survives. The names lead to the operations' own faults, with the code of each.

"""


def write(folder: Path) -> None:
    """The table of all, a page for each family, and the mutants that no check can catch."""
    outcomes = Counter(planting.outcome for planting in plantings())
    applied = sum(outcomes.values()) - outcomes[NO_CHANGE]
    lines = [INTRODUCTION.format(caught=outcomes[CAUGHT], applied=applied, nothing=outcomes[NO_CHANGE])]
    lines.append("| operation | generic | its own | caught | change nothing | survived |\n|---|--:|--:|--:|--:|--:|")
    for operation in sorted({planting.operation for planting in plantings()}):
        lines.append(f"| {{ref}}`{operation} <faults-{operation}>` | " + " | ".join(_row(operation)) + " |")
    names = sorted(family.stem for family in catalogue.families())
    tree = "\n".join(["```{toctree}", ":hidden:", "", *names, "mutants", "```", ""])
    (folder / "index.md").write_text("\n".join([*lines, "", tree]), encoding="utf-8")
    for family in catalogue.families():
        (folder / f"{family.stem}.md").write_text(_family_page(family), encoding="utf-8")
    (folder / "mutants.md").write_text(_mutants(), encoding="utf-8")


def _family_page(family: catalogue.Family) -> str:
    lines = [f"(faults-of-{family.stem})=", f"# Faults: {family.title[0].lower()}{family.title[1:]}", ""]
    lines += [f"The operations: {{doc}}`/reference/operations/{family.stem}`. What is planted in them:", ""]
    for operation in family.names:
        found = _of(operation)
        if not found:
            continue
        _, _, caught, nothing, survived = _row(operation)
        lines += [f"(faults-{operation})=", f"## {operation}", ""]
        lines += [
            f"{{py:func}}`The operation <{catalogue.qualified(operation)}>`. {len(found):,} faults, generic ones and"
        ]
        lines += [f"its own, on all cases: {caught} caught, {survived} survived, {nothing} changed no number.", ""]
        own = {planting.fault: planting for planting in found if planting.own and planting.outcome != NO_CHANGE}
        if own:
            lines += ["| its own faults | outcome | seen in |", "|---|---|---|"]
            lines += [
                f"| {_cell(fault)} | {planting.outcome} | {_cell(planting.detail)} |" for fault, planting in own.items()
            ]
            lines.append("")
    lines += [f"({catalogue.label(family.cases)})=", "## The cases, and the code of the faults", ""]
    lines += [f"`{family.cases.relative_to(catalogue.ROOT).as_posix()}`", ""]
    lines += [
        f"```{{literalinclude}} /../{family.cases.relative_to(catalogue.ROOT).as_posix()}",
        ":language: python",
        "```",
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text for a cell of a table: one line, nothing in it taken for markup."""
    first = text.strip().split("\n")[0]
    return "".join("\\" + letter if letter in "|*_`[]<>{}$\\" else letter for letter in first)


def _mutants() -> str:
    lines = ["# Mutants that no check can catch", ""]
    lines.append(
        "`minitorch-cv gradcheck --mutate` changes the source of every backward: an operator, an axis, a constant, a "
        "term left out. A changed backward must be told from a right one. These are not, each for the reason given; "
        "most change no number.\n"
    )
    lines += ["| operation | change | why it survives |", "|---|---|---|"]
    for operation, changes in EQUIVALENT.items():
        link = (
            f"{{py:func}}`{operation} <{catalogue.qualified(operation)}>`"
            if catalogue.family_of(operation)
            else operation
        )
        for change, reason in changes.items():
            code = change.replace("|", "\\|")
            lines.append(f"| {link} | `{code}` | {_cell(reason)} |")
    return "\n".join(lines) + "\n"
