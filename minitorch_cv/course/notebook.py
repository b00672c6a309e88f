"""The code of a notebook as a script. The notebook is read as JSON; nothing of it runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator


def notebook_to_script(notebook: str) -> str:
    """The code cells one after the other, each below a line `# %% cell <number>`.

    What only IPython understands becomes a comment: lines of magic (`%matplotlib inline`), of the shell (`!pip`) and of
    help (`array?`), and whole cells in another language (`%%bash`). Below `%%time` and its kin the code is kept.

    Raises: ValueError where the text is no notebook of version 4 or later.
    """
    try:
        document = json.loads(notebook, parse_int=_no_number, parse_float=_no_number)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"notebook_to_script: notebook expects JSON; {error}") from None
    cells = document.get("cells") if isinstance(document, dict) else None
    if not isinstance(cells, list):
        raise ValueError("notebook_to_script: notebook expects a list of cells, as notebooks of version 4 have it")
    scripts = []
    for number, cell in enumerate(cells, start=1):
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = cell.get("source", "")
            lines = source if isinstance(source, list) else [source]
            if not all(isinstance(line, str) for line in lines):
                raise ValueError(f"notebook_to_script: cell {number} expects text as its source")
            scripts.append(f"# %% cell {number}\n{_as_python(''.join(lines))}\n")
    return "\n".join(scripts)


_CELL_MAGIC = re.compile(r"\s*%%(\w*)")
_PYTHON_BELOW = {"time", "timeit", "capture", "prun"}
_LINE_MAGIC = re.compile(
    r"""(?P<indent>[ \t]*) (?:
        [%!]{1,2} [\w.]             # %matplotlib, %%time, !ls, !!ls
      | \w[\w.,\ ]* = [ ]* [%!] \w  # files = !ls
      | \? | [\w.]+ \?\??[ \t]*$    # ?array, array?, array??
    )""",
    re.VERBOSE,
)
_PIECE = re.compile(r"""'''|\"""|['"]|\#|[(\[{]|[)\]}]|\\.?""")


def _no_number(text: str) -> None:
    """What numbers are read as: none matters, and huge ones would take long."""


def _as_python(source: str) -> str:
    """A cell, with what is not Python as comments."""
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    first = next((line for line in lines if line.strip()), "")
    magic = _CELL_MAGIC.match(first)
    if magic and magic[1] not in _PYTHON_BELOW:
        return "\n".join(f"# {line}" for line in lines)
    return "\n".join(_python_lines(lines))


def _python_lines(lines: list[str]) -> Iterator[str]:
    state = _Continuation()
    for line in lines:
        found = None if state.inside else _LINE_MAGIC.match(line)
        if found is None:
            state.read(line)
            yield line
        elif indent := found["indent"]:
            yield f"{indent}pass  # {line[len(indent) :]}"  # it may be all that its block holds
        else:
            yield f"# {line}"


class _Continuation:
    """Whether the next line goes on with a string, a bracket or a line that ended in a backslash."""

    def __init__(self) -> None:
        self._quote, self._depth, self._joined = "", 0, False

    @property
    def inside(self) -> bool:
        return bool(self._quote) or self._depth > 0 or self._joined

    def read(self, line: str) -> None:
        self._joined = False
        for match in _PIECE.finditer(line):
            piece = match[0]
            if piece[0] == "\\":
                self._joined = piece == "\\"  # it is the last of its line
            elif self._quote:
                if piece.startswith(self._quote):
                    self._quote = ""
            elif piece[0] in "\"'":
                self._quote = piece
            elif piece == "#":
                break
            else:
                self._depth = max(0, self._depth + (1 if piece in "([{" else -1))
        if len(self._quote) == 1 and not self._joined:  # a string in single quotes ends with its line, at the latest
            self._quote = ""
