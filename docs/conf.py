"""The site: its pages are the lessons and the docstrings.

pip install -e ".[docs,course]" && python -m sphinx -W docs docs/_build/html

The lessons are shown as they are written; with MINITORCH_CV_RUN_LESSONS=1 they are run first and shown with results.
"""

import os
import re
import shutil
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).resolve().parent

project = "minitorch_cv"
author = "The minitorch_cv contributors"
version = release = version_of("minitorch-cv")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "conf.py", "figures"]
html_theme = "pydata_sphinx_theme"
html_title = "minitorch_cv"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False}
html_show_sourcelink = False

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 2
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "cache" if os.environ.get("MINITORCH_CV_RUN_LESSONS") == "1" else "off"
nb_execution_timeout = 1800

autodoc_member_order = "bysource"
autodoc_typehints = "none"


def copy_lessons() -> None:
    """Puts the lessons where Sphinx looks: below this folder, which git ignores."""
    folder = HERE / "lessons"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for lesson in sorted((HERE.parent / "lessons").glob("[0-9][0-9]_*.py")):
        shutil.copy(lesson, folder)


INLINE = re.compile(r"(``.+?``|:\w+:`[^`]+`|`[^`]+`|\$[^$]+\$)")


def inline_to_rst(line: str) -> str:
    """One line with its `code` and $formulas$ in reStructuredText, and nothing else taken for markup."""
    pieces = INLINE.split(line)
    for i, piece in enumerate(pieces):
        if i % 2 == 0:
            pieces[i] = re.sub(r"([*|_\\])", r"\\\1", piece)
        elif piece.startswith("$"):
            pieces[i] = f":math:`{piece[1:-1].strip()}`\\ "
        elif not piece.startswith(("``", ":")):
            pieces[i] = f"`{piece}`\\ "
    return "".join(pieces).rstrip()


def docstring_to_rst(app, what, name, obj, options, lines: list[str]) -> None:
    """Our docstrings keep their lines and are written like Markdown; autodoc reads reStructuredText.

    A formula in dollars that runs over several lines is joined first; examples stay as they are.
    """
    text = re.sub(r"\$[^$]+\$", lambda formula: " ".join(formula[0].split()), "\n".join(lines).replace("$$", "$"))
    converted, in_example = [], False
    for line in text.split("\n"):
        in_example = line.lstrip().startswith(">>>") or (in_example and bool(line.strip()))
        if not in_example and converted and converted[-1].lstrip().startswith((">>>", "...")):
            converted.append("")
        converted.append(line if in_example else f"| {inline_to_rst(line)}" if line.strip() else "")
        if in_example and len(converted) > 1 and converted[-2].startswith("| "):
            converted.insert(-1, "")
    lines[:] = [*converted, ""]


def setup(app) -> None:
    """Sphinx's hook."""
    copy_lessons()
    app.connect("autodoc-process-docstring", docstring_to_rst)
