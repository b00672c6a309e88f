"""What the text of a kernel exercise may hold: kernels and what they call, and nothing that reads files or runs code of
the host.

The text is looked at before it is compiled, so that an honest mistake is told in a sentence. It is the sandbox that
holds back a text that was written to pass: compiled code may do whatever the process may.
"""

from __future__ import annotations

import re

from minitorch_cv.kernels.signatures import without_comments

HEADERS = ("cuda_runtime.h", "cuda.h", "device_launch_parameters.h", "cassert", "assert.h")
"""Those whose words the simulator has itself."""
DIRECTIVES = ("define", "undef", "if", "ifdef", "ifndef", "elif", "else", "endif", "pragma", "include")

_TOKEN = re.compile(
    r"""
      (?P<comment> //[^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<raw> (?:u8|[uUL])?R" )
    | (?P<text> "(?:\\.|[^"\\\n])*"? | '(?:\\.|[^'\\\n])*'? )
    | (?P<number> \.?\d(?:[eEpP][+-]|'?[\w.])* )
    | (?P<word> [^\W\d]\w* )
    | (?P<directive> (?:\#|%:)[ \t]*(?P<name>\w*)[ \t]*(?P<rest>[^\n]*) )
    | (?P<host> <<< )
    """,
    re.DOTALL | re.VERBOSE,
)
_PASTE = re.compile(r"(?:#|%:)\s*(?:#|%:)")
_HEADER = re.compile(r'[<"]([\w./]+)[>"]')
_REFUSED_WORDS = {
    "asm": "inline assembly",
    "__asm": "inline assembly",
    "__asm__": "inline assembly",
    "__attribute__": "`__attribute__`",
    "__attribute": "`__attribute__`",
    "constructor": "what runs before the kernel is launched",
    "destructor": "what runs after the kernel was launched",
    "_Pragma": "`_Pragma`",
    "main": "host code",
}


def refusal(text: str) -> str:
    """Why a text is not compiled at all, with the line; empty if it is."""
    text = re.sub(r"\\[ \t]*\r?\n", "", text)  # lines that go on, as the compiler reads them
    for token in _TOKEN.finditer(text):
        if what := _refused(token):
            line = text.count("\n", 0, token.start()) + 1
            return f"line {line}: this exercise is to be solved with kernels alone; there is {what}"
    return ""


def same_code(one: str, other: str) -> bool:
    """Whether two texts differ in comments and layout alone."""
    return without_comments(one).split() == without_comments(other).split()


def _refused(token: re.Match[str]) -> str:
    if token["word"]:
        word = token["word"]
        return _REFUSED_WORDS.get(word, "") or ("host code" if re.match(r"cuda[A-Z]", word) else "")
    if token["host"]:
        return "host code, <<<...>>>"
    if token["raw"]:
        return "a raw string"
    if token["directive"]:
        return _refused_directive(token["name"], token["rest"], token["directive"])
    return ""


def _refused_directive(name: str, rest: str, directive: str) -> str:
    if name not in DIRECTIVES:
        return f"`{directive[:40].rstrip()}`"
    if name == "include":
        header = _HEADER.match(rest)
        if header is None or header[1] not in HEADERS:
            return f"`#include {rest[:40].rstrip()}`; all words of a kernel are there without it"
    if name == "pragma" and not re.match(r"unroll\b", rest):
        return f"`#pragma {rest[:40].rstrip()}`"
    if _PASTE.search(rest):
        return "`##`, which makes words that nobody reads"
    # The rest of the line holds words as well.
    words = (token for token in _TOKEN.finditer(rest) if not token["directive"])
    return next((what for token in words if (what := _refused(token))), "")
