"""The README is held to be true: its commands, its examples, its links."""

import doctest
import io
import re
import shlex
from contextlib import redirect_stdout
from importlib import metadata

import pytest


def readme(checkout) -> str:
    return (checkout / "README.md").read_text(encoding="utf-8")


def fenced(text: str) -> list[tuple[str, str]]:
    """(language, content) of each fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", ["lesson", "tests", "site"])
def test_the_commands_are_where_the_script_reads_them(checkout, name):
    found = re.findall(rf"^<!-- command: {name} -->\n```bash\n(.*)\n```$", readme(checkout), flags=re.MULTILINE)
    assert len(found) == 1, "one line in one fenced block right below its mark"
    assert found[0].startswith("python3 -m venv .venv && .venv/bin/pip install -e ")


def test_the_examples_print_what_it_says(checkout, tmp_path, monkeypatch):
    """Python blocks run in order in one namespace; a text block after one is what it prints ("..." is anything)."""
    monkeypatch.chdir(tmp_path)
    namespace: dict = {"__name__": "readme"}
    printed, ran = "", 0
    for language, content in fenced(readme(checkout)):
        if language == "python":
            stream = io.StringIO()
            with redirect_stdout(stream):
                exec(compile(content, f"README.md, block {ran + 1}", "exec"), namespace)
            printed, ran = stream.getvalue(), ran + 1
        elif language == "text":
            got = "\n".join(line.rstrip() for line in printed.splitlines()) + "\n"
            assert doctest.OutputChecker().check_output(content, got, doctest.ELLIPSIS), f"it prints:\n{got}"
    assert ran >= 3


def test_the_commands_exist(checkout):
    """Every `minitorch-cv COMMAND` in the README is one that its parser accepts."""
    from minitorch_cv.cli import build_parser

    lines = re.findall(r"^(?:\$ )?minitorch-cv (.*)$", readme(checkout), flags=re.MULTILINE)
    assert len(lines) >= 5
    for line in lines:
        build_parser().parse_args(shlex.split(line, comments=True))


def test_the_links_lead_somewhere(checkout):
    targets = re.findall(r"\]\(([^)#]+)", readme(checkout)) + re.findall(r'src="([^"]+)"', readme(checkout))
    missing = [target for target in targets if "://" not in target and not (checkout / target).exists()]
    assert targets
    assert not missing


def test_every_extra_is_explained(checkout):
    extras = metadata.metadata("minitorch-cv").get_all("Provides-Extra") or []
    assert extras
    assert [extra for extra in extras if f"[{extra}]" not in readme(checkout)] == []


def test_the_number_of_exercises(checkout):
    from minitorch_cv.course.exercise import all_exercises

    exercises = all_exercises()
    assert f"The course has {len(exercises)} exercises in ten lessons" in readme(checkout)
    assert len({exercise.about.lesson for exercise in exercises}) == 10
