"""The cells of an exercise's file, and what is cut out of its solution for the hand-out."""

from __future__ import annotations

import re
import textwrap

BEGIN, INSTEAD, END = "begin solution", "instead", "end solution"
_CELL = re.compile(r"^# %% (\w+)\n", re.MULTILINE)
_COMMENT = r"(?:#|//)"
_YOURS = "yours to write"


def student_cell(text: str, file: str) -> str:
    """The text of the cell `# %% student`.

    Raises ValueError: there is none, or none for the checks.
    """
    parts = _CELL.split(text)
    cells = dict(zip(parts[1::2], parts[2::2]))
    for name in ("student", "checks"):
        if name not in cells:
            raise ValueError(f"{file}: expects a cell `# %% {name}`; its cells are {', '.join(cells) or 'none'}")
    return cells["student"].strip() + "\n"


def cut(text: str, solution: bool) -> str:
    """The text with its marks taken away: with the solutions, or with what stands in their place.

    Raises ValueError: marks that do not come in pairs.
    """
    lines: list[str] = []
    inside: str | None = None
    replaced: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.fullmatch(rf"(\s*)({_COMMENT}) ({BEGIN}|{INSTEAD}|{END})", line)
        if mark is None:
            if inside is None or (inside == BEGIN and solution):
                lines.append(line)
            elif inside == INSTEAD and not solution:
                replaced.append(re.sub(rf"^(\s*){_COMMENT} ?", r"\1", line))
            continue
        expected = {None: (BEGIN,), BEGIN: (INSTEAD, END), INSTEAD: (END,)}[inside]
        indent, comment, word = mark.groups()
        if word not in expected:
            raise ValueError(f"line {number}: expects `{' or '.join(expected)}`; it is `{word}`")
        if word == END and not solution:
            yours = f'raise NotImplementedError("{_YOURS}")' if comment == "#" else f"// {_YOURS}"
            lines += replaced or ([f"{indent}{yours}"] if inside == BEGIN else [])
        inside, replaced = (None, []) if word == END else (word, replaced)
    if inside is not None:
        raise ValueError(f"`{BEGIN}` has no `{END}`")
    return "\n".join(lines) + "\n"


def commented(markdown: str, mark: str = "#") -> str:
    """Markdown as the lines of a percent script's Markdown cell, or of another comment."""
    lines = textwrap.indent(markdown, f"{mark} ", lambda line: bool(line.strip()))
    return lines.replace("\n\n", f"\n{mark}\n")
