"""Hostile hand-ins, really run: the judge goes on, the ending is the right one, nothing of them is left."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from minitorch_cv.course.sandbox import Limits
from minitorch_cv.course.sandbox.endings import SENTENCES
from minitorch_cv.course.sandbox.launch import PYTHON
from minitorch_cv.course.sandbox.unprivileged import is_reachable, is_root

HERE = Path(__file__).resolve().parent
SYSTEM_PYTHON = Path("/usr/bin/python3")
ORDINARY = 54321  # the id of no account

pytestmark = [
    pytest.mark.checkout,  # a Python without NumPy runs the sandbox as well, from its folder
    pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is tried under Linux"),
]

HOSTILE = {hostile.name: hostile for hostile in runpy.run_path(str(HERE / "hostile.py"))["HOSTILE"]}
# One way to run them is enough for those that only take their time.
ONCE = {"sleeping", "stopping itself", "deaf to signals", "burning on", "memory bit by bit", "1 GB by print"}
# Each way: the strength, and whether an ordinary user runs it.
WAYS = {
    "bubblewrap": ("bubblewrap", not is_root()),
    "bubblewrap of an ordinary user": ("bubblewrap", True),
    "limits": ("limits", not is_root()),
    "limits of an ordinary user": ("limits", True),
    "none": ("none", not is_root()),
}


def tried(way: str) -> list[str]:
    """The hand-ins that are held back this way: others could end the very tests."""
    strength, ordinary = WAYS[way]
    loose = {"bubblewrap": set(), "limits": {"limits", "ordinary"} if ordinary else {"limits"}, "none": {"none"}}
    return [
        name
        for name, hostile in HOSTILE.items()
        if not hostile.not_under & loose[strength] and (way == "bubblewrap" or name not in ONCE)
    ]


def outcome(way: str) -> dict:
    """What came of all hand-ins, run one way; skips where that way is not open here."""
    strength, ordinary = WAYS[way]
    python, options = Path(sys.executable), {}
    if way.endswith("ordinary user") and not is_root():
        pytest.skip("an ordinary user runs all of this already")
    if is_root() and (ordinary or (strength == "limits" and not is_reachable(PYTHON))):
        # Root's own interpreter is hidden from others.
        python = SYSTEM_PYTHON
        if not python.exists() or not is_reachable(HERE / "asking.py"):
            pytest.skip(f"an ordinary user needs {SYSTEM_PYTHON}, and a checkout in sight")
        if ordinary:
            options = {"user": ORDINARY, "group": ORDINARY, "extra_groups": []}
    done = subprocess.run(
        [python, "-B", HERE / "asking.py", strength, *tried(way)],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        **options,
    )
    if done.returncode and "Unavailable: " in done.stderr:
        pytest.skip(done.stderr.rpartition("Unavailable: ")[2].strip())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("way", WAYS)
def test_each_ends_as_it_must_and_nothing_is_left(way):
    found = outcome(way)
    wrong = {
        name: result
        for name, result in found["results"].items()
        if result["reason"] not in HOSTILE[name].ends
        or not result["seconds"] < Limits(**HOSTILE[name].limits).seconds + 15
    }
    assert not wrong
    assert list(found["results"]) == tried(way)
    assert found["left"] == {"survived": True, "files": [], "processes": []}


def test_every_limit_is_met():
    met = set().union(*(hostile.ends for hostile in HOSTILE.values()))
    assert met == set(SENTENCES) - {"closed"} | {"answer"}
