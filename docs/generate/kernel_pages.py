"""The kernels: what bodies there are, with the bounds of their errors; their sources; mistakes planted into them."""

from __future__ import annotations

import re
from pathlib import Path

from . import catalogue
from .catalogue import ROOT
from .readme_pages import relinked

LANGUAGES = {".py": "python", ".cu": "cuda", ".h": "cuda"}


def write(folder: Path) -> None:
    """The table of all bodies, a page of sources for each family, and the planted mistakes."""
    folder.mkdir(parents=True)
    with_kernels = [family for family in catalogue.families() if family.kernels]
    for family in with_kernels:
        (folder / f"{family.stem}.md").write_text(_family_page(family), encoding="utf-8")
    (folder / "machinery.md").write_text(_machinery(), encoding="utf-8")
    (folder / "planted.md").write_text(_planted(), encoding="utf-8")
    about = (ROOT / "kernels" / "README.md").read_text(encoding="utf-8")
    (folder / "about.md").write_text(relinked(about, ROOT / "kernels"), encoding="utf-8")
    (folder / "index.md").write_text(_index([family.stem for family in with_kernels]), encoding="utf-8")


def _index(stems: list[str]) -> str:
    lines = ["# Kernels", ""]
    lines.append(
        "Every operation has a portable body in NumPy, written to be read. These have faster ones beside it. The "
        "dispatcher takes the first that suits device, type and memory of the arrays, and the portable one where none "
        "does. *Error* is the largest that a body may have in float32 against the portable one in float64, relative to "
        "the largest value; most are held to twice the portable body's own. `mt.kernel_usage()` tells which ran.\n"
    )
    lines += ["| operation | device | types | body | error |", "|---|---|---|---|---|"]
    for family in catalogue.families():
        for name in family.names:
            for body in catalogue.bodies_of(name):
                path = catalogue.source_of(body.module)
                bound = "twice the portable" if body.error_bound is None else f"{body.error_bound:g}"
                lines.append(
                    f"| {{py:func}}`{name} <{catalogue.qualified(name)}>` | {body.device} | {', '.join(body.dtypes)} "
                    f"| {_link(path)} | {bound} |"
                )
    tree = ["about", "planted", *stems, "machinery"]
    return "\n".join([*lines, "", "```{toctree}", ":hidden:", "", *tree, "```", ""])


def _link(path: Path) -> str:
    return f"{{ref}}`{path.relative_to(ROOT).as_posix()} <{catalogue.label(path)}>`"


def _family_page(family: catalogue.Family) -> str:
    title = f"Kernels: {family.title[0].lower()}{family.title[1:]}"
    back = f"The operations, with their derivations: {{doc}}`/reference/operations/{family.stem}`."
    return _sources(title, back, family.kernels)


def _machinery() -> str:
    text = (
        "What the kernels are made with: on a processor the language, the compiler, threads, memory and the "
        "micro-kernel; in CUDA what all sources include; and files that serve several operations or none."
    )
    return _sources("Kernels: the machinery", text, tuple(catalogue.machinery()))


def _sources(title: str, text: str, paths: tuple[Path, ...]) -> str:
    lines = [f"# {title}", "", text, ""]
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        lines += [f"({catalogue.label(path)})=", f"## {name}", ""]
        lines += [f"```{{literalinclude}} /../{name}", f":language: {LANGUAGES[path.suffix]}", "```", ""]
    return "\n".join(lines)


def _planted() -> str:
    """`kernels/simulator/planted.md`, the places in it as links."""
    text = (ROOT / "kernels" / "simulator" / "planted.md").read_text(encoding="utf-8")

    def linked(place: re.Match) -> str:
        path = ROOT / "kernels" / "cuda" / place[1]
        return f"{{ref}}`{place[1]}:{place[2]} <{catalogue.label(path)}>`" if path.is_file() else place[0]

    text = re.sub(r"`([\w.]+\.(?:cu|h)):(\d+)`", linked, text)
    return re.sub(r"\| ([^|`]*\[[^|]*) \|$", lambda m: "| " + m[1].replace("[", "\\[") + " |", text, flags=re.MULTILINE)
