"""The folder of compiled code: which it is, and whom it trusts."""

import os
from pathlib import Path

import pytest
from minitorch_cv.kernels import cache

ON_POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has neither XDG's variables nor POSIX permissions")


def test_the_environment_names_the_root(monkeypatch, tmp_path):
    monkeypatch.setenv("MINITORCH_CV_CACHE", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert cache.cache_root() == tmp_path


@ON_POSIX
def test_else_it_is_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("MINITORCH_CV_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_root() == tmp_path / "minitorch-cv"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_root() == tmp_path / ".cache" / "minitorch-cv"


def test_a_folder_is_made_once(monkeypatch, tmp_path):
    monkeypatch.setenv("MINITORCH_CV_CACHE", str(tmp_path))
    made = []
    for _ in range(2):
        assert cache.trusted_folder("a", "b", when_new=made.append) == tmp_path / "a" / "b"
    assert made == [tmp_path / "a" / "b"]


@ON_POSIX
def test_code_is_not_taken_from_where_others_write(monkeypatch, tmp_path):
    monkeypatch.setenv("MINITORCH_CV_CACHE", str(tmp_path))
    folder = cache.trusted_folder("compiled")
    assert folder is not None and folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    assert cache.trusted_folder("compiled") is None


def test_no_folder_where_none_can_be_made(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("MINITORCH_CV_CACHE", str(tmp_path / "file"))
    assert cache.trusted_folder("compiled") is None


def test_nor_for_a_user_without_a_home(monkeypatch):
    def homeless(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(cache, "cache_root", lambda: homeless(Path("~")))
    assert cache.trusted_folder("compiled") is None


def test_headers_are_found_wherever_they_lie(tmp_path):
    (tmp_path / "deep").mkdir()
    source = '#include <cmath>\n#include "deep/a.h"\n  #  include <b.h>\n// #include "c.h"\n'
    texts = {
        "deep/a.h": '#pragma once\n#include "d.h"\n#include "b.h"\n',
        "deep/d.h": '#include "a.h"\n',
        "b.h": "",
        "c.h": "",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = cache.included(source, tmp_path)
    assert found == {tmp_path / name: texts[name] for name in ("b.h", "deep/a.h", "deep/d.h")}
