r"""Docstrings in reStructuredText, which Sphinx reads: ours are written for a terminal, like Markdown.

    Forward:   y = max(x, 0)
    Shapes:    x (N, C, ...), y as x
               and a second line
    x, y: an argument
        and a second line

become lists of fields; formulae are set as mathematics (see `words.py` and `mathematics.py`); `names` become code, and
links where the reference has a page for them; lists, examples and indented blocks stay what they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from . import words
from .mathematics import latex_pieces
from .words import Token

Names = Callable[[str], "str | None"]

FORMULAE = {"Forward", "Backward", "Posterior", "Sampling", "Bound"}
"""The fields that hold formulae; in others, and in paragraphs, only what begins like an equation is one."""
HEADING = re.compile(r"([A-Z]\w+|[a-z]\w*(?:, [a-z]\w*)*):(?: +|$)(.*)")
EQUATION = re.compile(r"\s*[A-Za-z]\w*(\[[^\]]*\])?(\([^)]*\))? = ")
COMMAND = re.compile(r"\\(bar|sqrt|sum|sigma|tilde|hat)(?![a-zA-Z])")
FIELDS = {
    *FORMULAE,
    *("Shapes", "Units", "Raises", "Source", "Kernel", "Lesson", "Formula", "Returns", "Likelihoods", "Losses"),
}


def to_rst(text: str, names: Names | None = None) -> str:
    """A docstring in reStructuredText. `names`: a link for what stands in backticks, or None."""
    text = re.sub(r"\$[^$]+\$", lambda formula: " ".join(formula[0].split()), text.replace("$$", "$"))
    blocks, fields = [], []
    for kind, heading, lines in _blocks(text.split("\n")):
        if kind == "field":
            body = " ".join(line.strip() for line in lines)
            shown = heading if heading in FIELDS else f"param {heading.replace(', ', ',')}"
            content = _formulae(body, names) if heading in FORMULAE else [_sentence(body, names)]
            if len(content) == 1:
                fields.append(f":{shown}: {content[0]}")
            else:
                fields.append("\n".join([f":{shown}:", *[f"   | {line}" for line in content]]))
            continue
        if fields:
            blocks.append("\n".join(fields))
            fields = []
        if kind == "example":
            blocks.append("\n".join(lines))
        elif kind == "literal":
            blocks.append("\n".join([".. code-block:: text", "", *[f"   {line}" for line in _dedented(lines)]]))
        elif kind == "list":
            blocks.append("\n".join(f"- {_prose(item, names)}" for item in _items(lines)))
        else:
            body = " ".join(line.strip() for line in lines)
            if EQUATION.match(body):
                blocks.append("\n".join(f"| {line}" for line in _formulae(body, names)))
            else:
                blocks.append(_sentence(body, names))
    if fields:
        blocks.append("\n".join(fields))
    return "\n\n".join(blocks) + "\n"


def _blocks(lines: list[str]) -> Iterator[tuple[str, str, list[str]]]:
    """(kind, heading, lines) of each paragraph, field, list, example and literal block."""
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
            continue
        end = at + 1
        heading = HEADING.match(line)
        if line.lstrip().startswith(">>>"):
            while end < len(lines) and lines[end].strip():
                end += 1
            yield "example", "", lines[at:end]
        elif heading and (heading[1] in FIELDS or heading[1][0].islower()):
            # A field goes on in indented lines, or at the margin, up to the next field or a blank line.
            while end < len(lines) and lines[end].strip() and not _begins(lines[end]):
                end += 1
            yield "field", heading[1], [heading[2], *lines[at + 1 : end]]
        elif line.startswith("- "):
            while end < len(lines) and (lines[end].startswith(("- ", "  ")) and lines[end].strip()):
                end += 1
            yield "list", "", lines[at:end]
        elif line.startswith(("  ", '"')) and not line.startswith(" " * 8 + "`"):
            while end < len(lines) and (lines[end].startswith((" ", '"')) or not lines[end].strip()):
                end += 1
            while not lines[end - 1].strip():
                end -= 1
            yield "literal", "", lines[at:end]
        else:
            while end < len(lines) and lines[end].strip() and not _begins(lines[end]):
                end += 1
            yield "paragraph", "", lines[at:end]
        at = end


def _begins(line: str) -> bool:
    """Whether a line begins another block than a paragraph."""
    heading = HEADING.match(line)
    return line.startswith(("- ", ">>>")) or bool(heading and (heading[1] in FIELDS or heading[1][0].islower()))


def _items(lines: list[str]) -> list[str]:
    return ["".join(part).strip() for part in re.split(r"(?:^|\n)- ", "\n".join(lines)) if part.strip()]


def _dedented(lines: list[str]) -> list[str]:
    margin = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return [line[margin:] for line in lines]


# ---- sentences


def _formulae(text: str, names: Names | None) -> list[str]:
    """A line for each statement of a text in which formulae stand."""
    return [_mixed(clause, names) for clause in _clauses(words.tokens_of(text))]


def _sentence(text: str, names: Names | None) -> str:
    r"""Prose, in which what has commands of LaTeX, `\bar a_t`, is a formula."""
    return " ".join(_formulae(text, names)) if COMMAND.search(text) and "$" not in text else _prose(text, names)


def _clauses(tokens: list[Token]) -> Iterator[list[Token]]:
    """Statements: up to a semicolon, or to a comma behind which an equation of its own begins."""
    current: list[Token] = []
    for i, token in enumerate(tokens):
        current.append(token)
        following = tokens[i + 1 : i + 4]
        # `, db = dy`, `, y[n] = ...`; not `, x = 0 outside`, which belongs to what stands before.
        named = len(following) > 2 and following[0].kind == "name" and not words.is_prose(following[0])
        equation = named and any(t.text == "=" for t in following[1:3])
        trivial = len(following) > 2 and following[1].text == "=" and following[2].text == "0"
        if token.text == ";" or (token.text == "," and equation and not trivial):
            yield current
            current = []
    if current:
        yield current


def _mixed(tokens: list[Token], names: Names | None) -> str:
    """Words and formulae."""
    found = ""
    for formal, run in words.told_apart(tokens):
        if formal:
            gap = " " if run[0].spaced else r"\ "
            found += "".join(f"{gap if i == 0 else ' '}:math:`{piece}`" for i, piece in enumerate(latex_pieces(run)))
            found += r"\ "
            continue
        for token in run:
            found += " " if token.spaced else ""
            if token.kind == "group":
                closing = words.CLOSING[token.text]
                found += rf"{token.text}\ {_mixed(list(token.inside), names)}\ {closing}"
            elif (token.kind == "name" and "_" in token.text) or "=" in token.text:
                found += f"``{token.text}``"
            else:
                found += _prose(token.text, names)
    return found.strip(" ").removeprefix(r"\ ").removesuffix("\\").strip()


INLINE = re.compile(r"(\*\*.+?\*\*|``.+?``|:\w+:`[^`]+`|`[^`]+`|\$[^$]+\$)")


def _prose(text: str, names: Names | None) -> str:
    """Text with its `code`, $formulae$ and **emphasis**, and nothing else taken for markup."""
    text = " ".join(text.split())
    pieces = INLINE.split(text)
    for i, piece in enumerate(pieces):
        if i % 2 == 0:
            pieces[i] = re.sub(r"([*|_`\\])", r"\\\1", piece)
        elif piece.startswith("$"):
            pieces[i] = rf"\ :math:`{piece[1:-1].strip()}`\ "
        elif piece.startswith("`") and not piece.startswith("``"):
            target = names(piece.strip("`")) if names else None
            pieces[i] = rf"\ {target or f'``{piece[1:-1]}``'}\ "
    return "".join(pieces).removeprefix(r"\ ").removesuffix(r"\ ")
