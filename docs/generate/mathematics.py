r"""Formulae as docstrings have them, `dx = r_c dxhat + 2/m (x - mean_c) dvar_c`, in LaTeX.

A docstring is read in a terminal, so its formulae are plain text. Here they become what a book would print. They are
parsed with the precedence that a reader gives them: products by juxtaposition, `a b / c d` as (a b / c) d, `1/m d`
written close together as (1 / m) d, and a sum that reaches over all of its term.
"""

from __future__ import annotations

import re

from .words import (
    CLOSING,
    CONSTANTS,
    EITHER,
    FUNCTIONS,
    GREEK,
    NAMED,
    NUMBERED,
    RELATIONS,
    ROUNDING,
    SIGNS,
    SIZES,
    Token,
    is_prose,
)

GREEDY = {r"\sum", r"\int", r"\prod"}
"""Operators that reach over the rest of their term."""
PUNCTUATION = {",": ",", ";": ";", ":": r"\colon ", ".": ".", "..": r"\,..\,", "...": r"\dots "}


class _Parser:
    """Recursive descent over the tokens of a formula. `small` is for exponents and indices: fractions stay in line."""

    def __init__(self, tokens: list[Token], small: bool = False):
        self.tokens, self.at, self.small = tokens, 0, small

    @property
    def next(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self) -> Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def pieces(self) -> list[str]:
        """The formula in pieces between which a line may break: before relations, and before signs in long ones."""
        found: list[str] = []
        while (token := self.next) is not None:
            if token.text in RELATIONS and token.kind == "sign":
                self.take()
                found.append(RELATIONS[token.text] + " " + self.sum())
            elif token.text == "in":
                self.take()
                found.append(r"\in " + self.sum())
            elif token.kind == "sign" and token.text in PUNCTUATION:
                self.take()
                found.append(PUNCTUATION[token.text])
            elif token.text in ("|", "||") and found and token.spaced:
                self.take()
                found.append({"|": r"\mid ", "||": r"\,\|\,"}[token.text] + self.sum())
            else:
                start = self.at
                found.append(self.sum())
                if self.at == start:  # nothing that a formula may hold here
                    found.append(_symbol(self.take()))
        return found

    def all(self) -> str:
        return " ".join(self.pieces())

    def sum(self) -> str:
        found = ""
        while (token := self.next) is not None:
            if token.kind == "sign" and token.text in SIGNS:
                self.take()
                found += f" {SIGNS[token.text]} " if found else SIGNS[token.text]
            elif self.ends_term(token):
                break
            else:
                found += self.term()
        return found

    def ends_term(self, token: Token) -> bool:
        if token.text in ("|", "||"):
            return token.spaced and self.at > 0 and self._spaced_after()
        return token.text == "in" or (token.kind == "sign" and token.text in {*RELATIONS, *PUNCTUATION})

    def _spaced_after(self) -> bool:
        return self.at + 1 < len(self.tokens) and self.tokens[self.at + 1].spaced

    def term(self) -> str:
        done, current, last = "", "", ""  # fractions and what stands before them; factors behind; the last of these
        bare = ""  # the numerator without its brackets, where it is one bracket
        while (token := self.next) is not None:
            if token.kind == "sign" and (token.text in SIGNS or self.ends_term(token)):
                break
            if token.text == "/":
                self.take()
                if self.next is None:
                    current += "/"
                    break
                below = self.term() if self.next.text in GREEDY else self.factor(bare=not self.small)
                if not current:
                    done, current = "", done
                above = bare or current
                if not token.spaced and last != current:  # written close together, it divides one factor: `xhat 1/m dw`
                    done, current, above = _juxtaposed(done, current.removesuffix(last)), last, last
                fraction = f"{current} / {below}" if self.small else rf"\frac{{{above}}}{{{below}}}"
                done, current, bare = _juxtaposed(done, fraction), "", ""
            elif token.text == "*":
                self.take()
                plain = self.next is not None and "number" in (self.next.kind, self.tokens[self.at - 2].kind)
                current, bare = current + (r" \cdot " if plain else r" \odot "), ""
                last = current
            elif token.text in GREEDY or (token.text.partition("_")[0] in ("max", "min") and self._has_index(token)):
                return f"{_juxtaposed(done, current)} {self.factor()} {self.term()}"
            elif self.ends_term(token):
                break
            else:
                alone = not current and token.kind == "group" and token.text == "("
                start = self.at
                last = self.factor()
                bare = _Parser(list(token.inside), self.small).all() if alone and self.at == start + 1 else ""
                current = _juxtaposed(current, last)
        return _juxtaposed(done, current)

    def _has_index(self, token: Token) -> bool:
        following = self.tokens[self.at + 1] if self.at + 1 < len(self.tokens) else None
        return "_" in token.text or (following is not None and following.text == "_")

    def factor(self, bare: bool = False) -> str:
        """A primary with its indices, arguments and exponents; `bare`: a lone bracket may go without its brackets."""
        token = self.take()
        if bare and token.kind == "group" and token.text == "(" and (self.next is None or self.next.text != "^"):
            return _Parser(list(token.inside), self.small).all()
        found = self.primary(token)
        while (token := self.next) is not None:
            if token.text == "^":
                self.take()
                found += f"^{{{self.raised()}}}"
            elif token.text == "_" and not token.spaced:
                self.take()
                found += f"_{{{self.raised()}}}"
            elif token.kind == "group" and not token.spaced:
                found += self.primary(self.take())
            else:
                break
        return found

    def raised(self) -> str:
        """An exponent or an index."""
        sign = ""
        while self.next is not None and self.next.text in ("-", "+"):
            sign += self.take().text
        if self.next is None:
            return sign
        token = self.take()
        if token.kind == "group" and token.text != "[":
            return sign + _Parser(list(token.inside), small=True).all()
        return sign + self.primary(token)

    def primary(self, token: Token) -> str:
        if token.kind == "group":
            inside = _Parser(list(token.inside), self.small).all()
            if token.text == "{":
                return f"{{{inside}}}"
            return _enclosed(token.text, inside, CLOSING[token.text])
        if token.text == "|":
            end = next((i for i in range(self.at, len(self.tokens)) if self.tokens[i].text == "|"), len(self.tokens))
            inside = _Parser(self.tokens[self.at : end], self.small).all()
            self.at = end + 1
            return _enclosed("|", inside, "|")
        if token.kind == "command":
            return self.command(token)
        if token.text in ROUNDING and self.next is not None:
            argument = self.take()
            inside = _Parser(list(argument.inside) if argument.kind == "group" else [argument], self.small).all()
            opened, closed = {
                "sqrt": (r"\sqrt{", "}"),
                "floor": (r"\left\lfloor ", r"\right\rfloor"),
                "ceil": (r"\left\lceil ", r"\right\rceil"),
            }[token.text]
            return f"{opened}{inside}{closed}"
        return _symbol(token)

    def command(self, token: Token) -> str:
        """A command of LaTeX: an accent takes what follows, and so does a root."""
        if token.text in (r"\bar", r"\tilde", r"\hat", r"\sqrt", r"\frac") and self.next is not None:
            following = self.take()
            if following.kind == "name" and "_" in following.text:
                base, _, index = following.text.partition("_")
                return rf"{token.text}{{{base}}}_{{{index}}}"
            return f"{token.text}{{{_Parser([following], self.small).all()}}}"
        return token.text


def _juxtaposed(left: str, right: str) -> str:
    if not left or not right or left.endswith((r"\odot ", r"\cdot ", r"\, ")):
        return left + right
    if left[left.rfind("\\") :].startswith(r"\text{") or right.startswith(r"\text{"):
        return rf"{left}\ {right}"
    function = left.rpartition("\\")[2] in FUNCTIONS  # LaTeX itself leaves room behind its functions
    return f"{left} {right}" if function else f"{left}\\, {right}"


def _enclosed(opened: str, inside: str, closed: str) -> str:
    """In brackets, which grow with what is tall."""
    tall = any(command in inside for command in (r"\frac", r"\sum", r"\sqrt"))
    return rf"\left{opened}{inside}\right{closed}" if tall else f"{opened}{inside}{closed}"


def _symbol(token: Token) -> str:
    """A name, a number or a word in LaTeX."""
    text = token.text
    if token.kind in ("word", "quoted", "code", "other"):
        return rf"\text{{{_escaped(text.strip('`'))}}}"
    if token.kind != "name":
        digits, _, power = text.partition("e-")
        return rf"{digits} \cdot 10^{{-{power}}}" if power else text
    prime = "'" if text.endswith("'") else ""
    text = text.rstrip("'")
    base, _, index = text.partition("_")
    if is_prose(token) or text in EITHER:
        code = "_" in text or "." in text or any(letter.isdigit() for letter in text)
        return rf"\{'mathtt' if code else 'text'}{{{_escaped(text)}}}"
    return _named(base) + prime + (f"_{{{index}}}" if index else "")


def _named(base: str) -> str:
    if base in CONSTANTS:
        return CONSTANTS[base]
    if base in FUNCTIONS | GREEK:
        return rf"\{base}"
    if base in NAMED:
        return rf"\operatorname{{{base}}}"
    if len(base) == 1:
        return base
    if NUMBERED.fullmatch(base):
        return f"{base[0]}_{base[1]}"
    if base in EITHER:
        return rf"\mathrm{{{base}}}"
    if base in SIZES:
        return rf"\mathit{{{base}}}"
    if base.isdigit() or any(letter.isdigit() for letter in base[1:]):
        return rf"\mathtt{{{base}}}"
    return f"d{_named(base[1:])}" if base[0] == "d" else rf"\mathrm{{{base}}}"


def _escaped(text: str) -> str:
    return re.sub(r"([_#%&$])", r"\\\1", text)


def latex_pieces(tokens: list[Token]) -> list[str]:
    """A formula in LaTeX, cut where a line may break."""
    pieces = [piece.strip() for piece in _Parser(tokens).pieces() if piece.strip()]
    joined: list[str] = []
    for piece in pieces:
        # What begins the formula stays with its first relation: `dx = ...` is not torn apart.
        if len(joined) == 1 and len(joined[0]) < 60 and not joined[0].startswith("="):
            joined[0] += " " + piece
        else:
            joined.append(piece)
    # A fraction by itself stays as high as the line that it stands in.
    stands_alone = len(joined) > 1 or any(f" {relation} " in joined[0] for relation in ("=", *RELATIONS.values()))
    high = (r"\frac", r"\sum", r"\int", r"\max_", r"\min_")
    tall = stands_alone and any(command in piece for piece in joined for command in high)
    return [rf"\displaystyle {part}" if tall else part for piece in joined for part in _shortened(piece)]


def _shortened(piece: str) -> list[str]:
    """A long piece, cut before its signs where no bracket is open."""
    if len(piece) < 100:
        return [piece]
    parts, depth, start = [], 0, 0
    for i, letter in enumerate(piece):
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0 and i - start > 30 and piece[i : i + 3] in (" + ", " - "):
            parts.append(piece[start:i].strip())
            start = i
    return [*parts, piece[start:].strip()]
