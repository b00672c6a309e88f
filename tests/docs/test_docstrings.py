"""Docstrings on the site: what is a formula, how it reads, and that nothing is lost."""

import importlib
import inspect
import re

import pytest

from minitorch_cv import ops
from minitorch_cv._op import OPS

pytestmark = pytest.mark.checkout


@pytest.fixture
def mathematics(checkout, monkeypatch):
    monkeypatch.syspath_prepend(str(checkout / "docs"))
    return importlib.import_module("generate.mathematics")


@pytest.fixture
def words(checkout, monkeypatch):
    monkeypatch.syspath_prepend(str(checkout / "docs"))
    return importlib.import_module("generate.words")


@pytest.fixture
def docstrings(checkout, monkeypatch):
    monkeypatch.syspath_prepend(str(checkout / "docs"))
    return importlib.import_module("generate.docstrings")


@pytest.mark.parametrize(
    ("plain", "latex"),
    [
        ("y = max(x, 0)", r"y = \max(x , 0)"),
        ("dx = y (1 - y) dy", r"dx = y\, (1 - y)\, dy"),
        # A division takes the factors before it and one behind it; written close together, one on each side.
        ("w x / (s + eps) b", r"\frac{w\, x}{s + \varepsilon}\, b"),
        ("xhat 1/m dw_c", r"\hat{x}\, \frac{1}{m}\, dw_{c}"),
        ("d / v dy / n", r"\frac{d}{v}\, \frac{dy}{n}"),
        # A sum reaches over the rest of its term, and is no numerator.
        (r"1/n \sum_i x_i / m", r"\frac{1}{n} \sum_{i} \frac{x_{i}}{m}"),
        (r"e^(x_i) / \sum_j e^(x_j)", r"\frac{e^{x_{i}}}{ \sum_{j} e^{x_{j}}}"),
        ("r_c^(-1/2)", "r_{c}^{-1 / 2}"),
        ("w_(t_n)", "w_{t_{n}}"),
        ("e^-|x|", "e^{-|x|}"),
        ("floor(p H / oh)", r"\left\lfloor \frac{p\, H}{\mathit{oh}}\right\rfloor"),
        ("p(x | z)", r"p(x \mid z)"),
        (r"\sqrt{\bar a_t} x_0", r"\sqrt{{\bar{a}_{t}}}\, x_{0}"),
        ("A^T dy + 1e-5", r"A^{T}\, dy + 1 \cdot 10^{-5}"),
    ],
)
def test_a_formula(words, mathematics, plain, latex):
    parts = mathematics.latex_pieces(words.tokens_of(plain))
    assert " ".join(part.removeprefix(r"\displaystyle ") for part in parts) == latex


@pytest.mark.parametrize(
    ("sentence", "formulae"),
    [
        ("dx = dy where x > 0, else 0", ["dx = dy", "x > 0", "0"]),
        ("a row of S that is -inf", ["S", "- inf"]),
        ("y = a where condition, else b", ["y = a", "b"]),
        ("y = x s with s = sigmoid(x)", ["y = x s", "s = sigmoid ("]),
        ("mean_c = 1/m x over the mean of c", ["mean_c = 1 / m x", "c"]),
        ("c - before <= j", ["c - before <= j"]),
        ("relu=True, as in arXiv 1502.03167", []),
    ],
)
def test_words_and_formulae_are_told_apart(words, sentence, formulae):
    runs = words.told_apart(words.tokens_of(sentence))
    assert [" ".join(token.text for token in run) for formal, run in runs if formal] == formulae


def test_fields_arguments_and_examples(docstrings):
    text = """Does a thing.

    Shapes:    x (N, C), y as x;
               and more
    width, height: how large
        it is
    other: not this

    >>> 1 + 1
    2
    """
    assert docstrings.to_rst(inspect.cleandoc(text)) == (
        "Does a thing.\n\n"
        ":Shapes: x (N, C), y as x; and more\n"
        ":param width,height: how large it is\n"
        ":param other: not this\n\n"
        ">>> 1 + 1\n2\n"
    )


def test_a_name_in_backticks_becomes_a_link(docstrings):
    linked = docstrings.to_rst("See `ops.relu` and `axis`.", {"ops.relu": ":py:func:`ops.relu`"}.get)
    assert linked == "See \\ :py:func:`ops.relu`\\  and \\ ``axis``\\ .\n"


@pytest.mark.parametrize("name", sorted(OPS))
def test_every_operations_formulae_are_whole(docstrings, name):
    """Brackets close within each formula, and every line of the docstring has arrived."""
    function = OPS.get(name) or getattr(ops, name)
    rst = docstrings.to_rst(inspect.getdoc(function) or "")
    formulae = re.findall(r":math:`([^`]+)`", rst)
    assert formulae
    for formula in formulae:
        depth = 0
        for letter in re.sub(r"\\(left|right)[.|]", "", formula):
            depth += (letter in "([{") - (letter in ")]}")
            assert depth >= 0, formula
        assert depth == 0, formula
        assert formula.count(r"\left") == formula.count(r"\right"), formula
    assert ":Forward:" in rst and ":Backward:" in rst and ":Shapes:" in rst
