r"""LaTeX as a terminal can show it: `$-\frac12 v^{-3/2}$` as -1/2 v^(-3/2)."""

from __future__ import annotations

import re

_WORDS = {
    "partial": "∂",
    "sum": "Σ",
    "top": "T",
    "langle": "⟨",
    "rangle": "⟩",
    "lfloor": "⌊",
    "rfloor": "⌋",
    "cdot": "·",
    "le": "≤",
    "ge": "≥",
    "in": "∈",
    "sqrt": "√",
    "infty": "∞",
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "epsilon": "ε",
    "varepsilon": "ε",
    "lambda": "λ",
    "mu": "μ",
    "sigma": "σ",
    "theta": "θ",
}
_ACCENTS = {"hat": "\u0302", "bar": "\u0304", "tilde": "\u0303"}


def plain_mathematics(text: str) -> str:
    """The text with its formulae in Unicode; a command that is not known keeps its name."""
    return re.sub(r"\$([^$]+)\$", lambda formula: _plain(formula[1]), text)


def _plain(formula: str) -> str:
    formula = re.sub(r"\\[,;!: ]", " ", formula)
    formula = re.sub(r"\\frac(\d)(\d)", r"\1/\2", formula)
    formula = re.sub(r"\\([A-Za-z]+)", lambda m: m[0] if m[1] in _ACCENTS else _WORDS.get(m[1], m[1]), formula)
    formula = re.sub(r"\\(hat|bar|tilde)\s*\{?(\w)\}?", lambda m: m[2] + _ACCENTS[m[1]], formula)
    formula = re.sub(r"frac\{((?:[^{}]|\{[^{}]*\})*)\}\{((?:[^{}]|\{[^{}]*\})*)\}", r"\1 / \2", formula)
    formula = re.sub(r"([_^])\{(\w+)\}", r"\1\2", formula)
    formula = re.sub(r"([_^])\{([^{}]*)\}", r"\1(\2)", formula)
    return re.sub(r"\s+", " ", formula.replace("{", "(").replace("}", ")")).strip()
