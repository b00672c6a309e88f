"""Which sandbox there is, and when grading refuses."""

import os
import shutil
import sys

import pytest

from minitorch_cv.course.sandbox import (
    Limits,
    Sandbox,
    Strength,
    Unavailable,
    bubblewrap,
    launch,
    sandbox,
    unprivileged,
)

linux = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is tried under Linux")


@pytest.fixture
def reachable():
    """An interpreter that a user without rights reaches: without one, root has no sandbox but bubblewrap."""
    if not unprivileged.is_reachable(launch.PYTHON) and unprivileged.is_root():
        pytest.skip(f"{launch.PYTHON} is out of reach for users without rights")


def refusal(function, **arguments):
    with pytest.raises(Unavailable) as caught:
        function(**arguments)
    return str(caught.value)


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_bubblewrap_where_it_works():
    try:
        found = Sandbox.find(require_bubblewrap=True)
    except Unavailable as error:
        pytest.skip(str(error))
    assert found.strength is Strength.BUBBLEWRAP and found.warning == ""
    assert found == Sandbox.find()


@linux
def test_limits_alone_with_a_loud_warning(monkeypatch, reachable):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    found = Sandbox.find()
    assert found.strength is Strength.LIMITS
    assert found.warning.startswith("NO SANDBOX: bubblewrap is not installed (Debian, Ubuntu: apt install bubblewrap")
    assert "--require-sandbox" in found.warning


@linux
def test_a_required_sandbox_that_is_not_there(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "apt install bubblewrap" in refusal(Sandbox.find, require_bubblewrap=True)


@linux
def test_a_bubblewrap_that_does_not_work(monkeypatch, tmp_path):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(broken))
    said = refusal(Sandbox.find, require_bubblewrap=True)
    assert "bwrap: setting up uid map: Permission denied (Ubuntu 24.04 refuses user namespaces" in said


@linux
def test_a_bubblewrap_that_hides_nothing(monkeypatch, tmp_path):
    """It is tried out, not believed."""
    pretended = tmp_path / "bwrap"
    judge = "import json; print(json.dumps({'is root': False, 'sees the judge': True}), flush=True)"
    pretended.write_text(f"#!{launch.PYTHON}\n{judge}\n", encoding="utf-8")
    pretended.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(pretended))
    assert "does not hide the judge's files" in refusal(Sandbox.find, require_bubblewrap=True)


@linux
def test_a_machine_whose_calls_are_not_known(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert "riscv64" in bubblewrap.missing() or shutil.which("bwrap") is None


@linux
def test_root_whose_rights_cannot_be_dropped(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    for module in (sandbox, unprivileged):
        monkeypatch.setattr(module, "is_root", lambda: True)
    monkeypatch.setattr(sandbox, "is_reachable", lambda path: False)
    for function in (Sandbox.find, Sandbox.outer_container):
        said = refusal(function)
        assert "would have to run as root" in said and "Install bubblewrap" in said


@linux
def test_rights_that_were_not_dropped(monkeypatch, reachable):
    """If nothing else notices, the trial does."""
    if os.getuid() != 0:
        pytest.skip("only root has rights to drop")
    monkeypatch.setattr("minitorch_cv.course.sandbox.limits_alone.free_user", lambda worker: None)
    assert "would run as root" in refusal(Sandbox.outer_container)


@linux
def test_the_outer_container(reachable):
    found = Sandbox.outer_container()
    assert found.strength is Strength.LIMITS and found.warning == ""
    assert "as whoever chose this says" in found.guarantee


@pytest.mark.parametrize("function", [Sandbox.find, Sandbox.outer_container])
def test_windows_has_none(monkeypatch, function):
    monkeypatch.setattr(sys, "platform", "win32")
    assert "Windows has no sandbox" in refusal(function)


def test_none_is_everywhere(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("print('here', end='', flush=True)", encoding="utf-8")
    found = Sandbox.unconfined()
    assert found.strength is Strength.NONE
    with found.start(script, {}, packages={}, limits=Limits()) as process:
        assert process.read(4, 30) == b"here"


@pytest.mark.parametrize("wide", [True, False])
def test_workers_never_share_a_user(monkeypatch, wide):
    monkeypatch.setattr(unprivileged, "_is_mapped", lambda user: wide)
    users = [{unprivileged.free_user(worker) for _ in range(20)} for worker in range(64)]
    assert sum(map(len, users)) == len(set().union(*users))
    assert all(user > 60_000 for user in set().union(*users))
