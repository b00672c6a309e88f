r"""Words and formulae told apart, in docstrings whose formulae are plain text: `dx = dy where x > 0, else 0`.

Token by token: some are words by themselves (`where`), some are names by themselves (`dx`, `xhat`, `w_c`), and of some
only what stands beside them tells: `mean`, a function, the letter `a`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

FUNCTIONS = {"ln", "log", "exp", "sin", "cos", "tanh", "max", "min"}
NAMED = {"sigmoid", "softmax", "erf", "sign", "diag"}
"""Functions that LaTeX has no command for."""
ROUNDING = {"sqrt", "floor", "ceil"}
"""Functions with brackets of their own."""
GREEK = {"alpha", "beta", "gamma", "sigma", "tau", "lambda", "pi"}
CONSTANTS = {"eps": r"\varepsilon", "inf": r"\infty", "infinity": r"\infty", "xhat": r"\hat{x}", "KL": r"\mathrm{KL}"}
EITHER = {"mean", "var", "mask", "keep", "values", "share", "lr", "momentum", "dampening", "weight_decay", "shadow"}
"""Words of prose as well as names in formulae."""
SIZES = {"kh", "kw", "oh", "ow", "kj", "lse"}
NUMBERED = re.compile(r"[A-Za-z]\d")
RELATIONS = {
    "=": "=",
    "<": "<",
    ">": ">",
    "<=": r"\le",
    ">=": r"\ge",
    "!=": r"\ne",
    "+=": r"\mathrel{+}=",
    "->": r"\to",
    "~": r"\sim",
}
SIGNS = {"+": "+", "-": "-", "+-": r"\pm"}
OPERATORS = {*RELATIONS, *SIGNS, "*", "/", "^", "_"}
CLOSING = {"(": ")", "[": "]", "{": "}"}
STOPS = (",", ";", ":", ".")

TOKEN = re.compile(
    r"""
    (?P<code>``.+?``|`[^`]+`|:\w+:`[^`]+`|[a-z_]+=(?:True|False|None|"[^"]*"))
    |(?P<quoted>"[^"]*")
    |(?P<latex>\$[^$]+\$)
    |(?P<command>\\[A-Za-z]+)
    |(?P<word>[A-Za-z]\w*'s\b|[A-Za-z]{2,}(?:-[A-Za-z]{2,})+)
    |(?P<number>\d+(?:\.\d+)?(?:e-?\d+)?)
    |(?P<name>[A-Za-z](?:\w*[A-Za-z0-9])?(?:\.[A-Za-z]\w*)*'?)
    |(?P<sign><=|>=|!=|\+=|\+-|->|\.\.\.|\.\.|\|\||[-+*/^_=<>|()\[\]{},;:.~])
    |(?P<other>\S)
    """,
    re.VERBOSE,
)


class Token(NamedTuple):
    """A piece of a line: its kind, its text, whether a space stands before it, and what a bracket holds."""

    kind: str
    text: str
    spaced: bool
    inside: tuple[Token, ...] = ()

    @property
    def operator(self) -> bool:
        return self.kind == "sign" and self.text in OPERATORS


NOTHING = Token("nothing", "", True)
"""What stands before the first token of a line, and behind its last."""


def tokens_of(line: str) -> list[Token]:
    """The tokens of a line, brackets with what they hold as one."""
    flat = []
    end = 0
    for match in TOKEN.finditer(line):
        flat.append(Token(str(match.lastgroup), match[0], match.start() > end))
        end = match.end()
    tokens, rest = _grouped(flat, None)
    return tokens + rest


def _grouped(flat: list[Token], closing: str | None) -> tuple[list[Token], list[Token]]:
    found: list[Token] = []
    while flat:
        token, *flat = flat
        if token.text == closing:
            return found, flat
        if token.text in CLOSING:
            inside, flat = _grouped(flat, CLOSING[token.text])
            token = Token("group", token.text, token.spaced, tuple(inside))
        found.append(token)
    return found, []


# ---- words and formulae


def is_prose(token: Token) -> bool:
    """Whether a token by itself is a word, whatever stands beside it."""
    if token.kind in ("code", "quoted", "word", "latex", "other"):
        return True
    if token.kind != "name" or token.text in EITHER:
        return False
    name = token.text.rstrip("'")
    base, _, index = name.partition("_")
    if name in FUNCTIONS | NAMED | ROUNDING | GREEK | SIZES | {*CONSTANTS}:
        return False
    if len(base) == 1 or NUMBERED.fullmatch(base) or base in EITHER | GREEK | SIZES | FUNCTIONS | {*CONSTANTS}:
        return len(index) > 5 or "_" in index
    rest = base.lstrip("d")
    known = len(rest) == 1 or rest in EITHER | GREEK | {*CONSTANTS} or (rest == "" and len(base) == 2)
    return base in ("do", "ddof") or not (base[0] == "d" and known)


def told_apart(tokens: list[Token]) -> list[tuple[bool, list[Token]]]:
    """Runs of tokens: (whether it is a formula, the tokens)."""
    runs: list[tuple[bool, list[Token]]] = []
    for before, token, after in zip([NOTHING, *tokens], tokens, [*tokens[1:], NOTHING]):
        is_formal = _formal(before, token, after)
        if runs and runs[-1][0] == is_formal:
            runs[-1][1].append(token)
        else:
            runs.append((is_formal, [token]))
    return runs


def _formal(before: Token, token: Token, after: Token) -> bool:
    """Whether a token belongs to a formula, by itself and by its neighbours."""
    if token.kind == "command" or (token.kind == "name" and before.kind == "command"):
        return True
    if token.kind == "number":  # but no year, nor the number of a preprint
        return len(token.text) < 4 or before.operator or after.operator
    if token.kind == "sign":
        return token.operator or token.text in ("|", "||", "..") or (token.text == "..." and before.operator)
    if token.kind == "group":
        return _formal_group(before, token)
    return _formal_word(before, token, after) if is_prose(token) else _formal_name(before, token, after)


def _names(token: Token) -> bool:
    """Whether a token may stand in front of arguments, or beside a factor: no word, stop or end of the line."""
    return token.kind != "nothing" and not is_prose(token) and token.text not in STOPS


def _called(name: Token, group: Token) -> bool:
    """Whether a word is a function, or an array, in front of its arguments: `conv2d(u, w)`, `rows[p]`."""
    arguments = group.kind == "group" and not group.spaced and group.inside
    return name.kind == "name" and bool(arguments) and not any(is_prose(inner) for inner in group.inside)


def _formal_group(before: Token, group: Token) -> bool:
    if group.text == "{" or before.operator:
        return True
    if not group.spaced and (_called(before, group) or _names(before)):
        return True  # the arguments of a function, or an index
    return _names(before) and not any(is_prose(inner) and inner.text != "in" for inner in group.inside)


def _formal_word(before: Token, word: Token, after: Token) -> bool:
    """A word among operators is a name: `c - before <= j <= c + after`, `running_mean = ...`, `softmax - one-hot`."""
    if word.kind == "word":
        return before.operator and "-" in word.text
    if word.kind != "name":
        return False
    if after.text in ("<", "<=", ">", ">=") or _called(word, after):
        return True
    between = before.operator and (after.operator or after.kind == "nothing" or after.text in STOPS)
    return between or ("_" in word.text and (before.operator or after.operator))


def _formal_name(before: Token, name: Token, after: Token) -> bool:
    """A name is one of a formula, but for those that may be words as well."""
    before_prose = after.kind != "nothing" and is_prose(after)
    if name.text in ("a", "A"):  # the article, before a word
        alone = after.kind == "nothing" or (before_prose and after.text != "and")
        return before.operator or after.operator or not alone
    if name.text in EITHER:
        factor = _names(before) and not before_prose
        return after.operator or factor or (after.kind == "group" and not after.spaced)
    if name.text in FUNCTIONS | NAMED | ROUNDING:
        argument = after.kind != "nothing" and not before_prose and after.text not in STOPS
        return before.operator or after.operator or argument
    return True
