"""Private folders go, whatever was done to them."""

import os
import tempfile
from pathlib import Path

import pytest

from minitorch_cv.course.sandbox.folders import private_folder, remove


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no current folder that deep")
def test_deeper_than_a_path_may_be_long_and_a_program_recurse(monkeypatch):
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    monkeypatch.setattr(tempfile, "tempdir", memory)
    folder, here = private_folder(), os.getcwd()
    try:
        os.chdir(folder)
        for _ in range(1100):
            os.mkdir("deep")
            os.chdir("deep")
        Path("file").touch()
        os.chmod("file", 0)
        os.chmod(".", 0)
    finally:
        os.chdir(here)
    remove(folder)
    assert not folder.exists()


def test_links_are_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    folder = private_folder()
    try:
        (folder / "link").symlink_to(elsewhere, target_is_directory=True)
    except OSError:
        pytest.skip("links need a right that this user lacks")
    (folder / "lifted-0").mkdir()
    (folder / "inner" / "lifted-1").mkdir(parents=True)
    remove(folder)
    assert not folder.exists() and (elsewhere / "kept").exists()


def test_nobody_else_enters(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = private_folder()
    assert folder.parent == tmp_path and (os.name == "nt" or folder.stat().st_mode & 0o077 == 0)
