"""The site. Its pages are the lessons, the exercises and the docstrings, and tables that are computed when it is built.

    pip install -e ".[docs]" && python -m sphinx -W docs docs/_build/html

shows the lessons as they are written. MINITORCH_CV_RUN_LESSONS=quick, default or full runs them first, in that mode,
and shows them with their results. These are kept in docs/_build until a source changes. Nothing asks the network: not
the build, and not the pages.
"""

import os
import shutil
import sys
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from generate import (
    backlinks,
    catalogue,
    docstrings,
    exercise_pages,
    faults,
    kept,
    kernel_pages,
    ledgers,
    lesson_pages,
    links,
    readme_pages,
    reference,
    roles,
)

project = "minitorch_cv"
author = "The minitorch_cv contributors"
version = release = version_of("minitorch-cv")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "_static", "conf.py", "generate", "figures", "lessons/downloads", "lessons/out"]

html_theme = "pydata_sphinx_theme"
html_title = "minitorch_cv"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 8,
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "start": [], "how_it_works": [], "teachers": []}
copyright = "the minitorch_cv contributors, MIT licence"

# One file, with its glyphs inside. The menu would fetch more.
mathjax_path = "mathjax/tex-svg-full.js"
mathjax3_config = {"options": {"enableMenu": False}, "svg": {"fontCache": "local", "scale": 0.95}}

myst_enable_extensions = ["amsmath", "dollarmath", "substitution", "attrs_block"]
myst_heading_anchors = 3
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_timeout = 7200
nb_execution_raise_on_error = True
nb_execution_show_tb = True

LESSON_MODE = os.environ.get("MINITORCH_CV_RUN_LESSONS", "")
if LESSON_MODE not in ("", "quick", "default", "full"):
    raise ValueError(f"MINITORCH_CV_RUN_LESSONS expects quick, default or full; it is {LESSON_MODE!r}")
nb_execution_mode = "cache" if LESSON_MODE else "off"
if LESSON_MODE:
    os.environ["MINITORCH_CV_LESSON"] = LESSON_MODE
    sources = [
        path
        for part in ("minitorch_cv", "kernels")
        for path in (HERE.parent / part).rglob("*")
        if path.suffix in (".py", ".cu", ".h")
    ]
    results = HERE / "_build" / f"lessons-{LESSON_MODE}-{kept.digest_of(sources)}"
    for older in results.parent.glob(f"lessons-{LESSON_MODE}-*"):
        if older != results:
            shutil.rmtree(older)
    nb_execution_cache_path = str(results)

autodoc_member_order = "bysource"
autodoc_typehints = "none"

# For docs/teachers.md: the exercises that belong to a lesson.
myst_substitutions = {
    f"exercises_{lesson.name}": ", ".join(
        f"{{doc}}`{exercise.title} </exercises/{exercise.name}>`"
        for exercise in catalogue.exercises()
        if exercise.about.lesson == lesson.name
    )
    or "–"
    for lesson in catalogue.lessons()
}

GENERATED = ("lessons", "exercises", "reference", "architectures", "benchmarks")


def write_pages() -> None:
    """Writes the pages that nobody writes by hand, below this folder, where git ignores them."""
    for name in GENERATED:
        shutil.rmtree(HERE / name, ignore_errors=True)
    lesson_pages.write(HERE / "lessons")
    exercise_pages.write(HERE / "exercises")
    reference.write(HERE / "reference")
    kernel_pages.write(HERE / "reference" / "kernels")
    (HERE / "reference" / "faults").mkdir()
    faults.write(HERE / "reference" / "faults")
    ledgers.write(HERE / "architectures")
    readme_pages.write_benchmarks(HERE / "benchmarks")
    readme_pages.write_start(HERE / "start.md")


def docstring_to_rst(app, what, name, obj, options, lines: list[str]) -> None:
    """Our docstrings are written like Markdown; autodoc reads reStructuredText. Links to what belongs follow."""
    text, fields = links.fields_of(what, name, "\n".join(lines))
    lines[:] = [*docstrings.to_rst(text, links.target_of).split("\n"), *fields.split("\n"), ""]


def skip_fields_of_tuples(app, what, name, obj, skip, options) -> bool | None:
    """`Alias for field number 0` says nothing that the signature does not."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field") else None


def setup(app) -> None:
    """Sphinx's hook."""
    write_pages()
    app.add_role("source", roles.Source())
    app.connect("autodoc-process-docstring", docstring_to_rst)
    app.connect("html-page-context", backlinks.mend)
    app.connect("autodoc-skip-member", skip_fields_of_tuples)
