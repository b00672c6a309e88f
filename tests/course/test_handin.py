"""Hand-ins that nobody vouches for: what is found in them, and what each kind of hostility costs."""

import json
import os
import stat
import struct
import subprocess
import sys
import time
import zipfile
import zlib

import pytest

from minitorch_cv.course import handin
from minitorch_cv.course.handin import read_handin

WANTED = ("conv.py", "linear.py", "race.cu")
CODE = b"def conv(x):\n    return x\n"

posix = pytest.mark.skipif(os.name != "posix", reason="links and pipes as POSIX has them")


def folder_of(tmp_path, files, name="ada"):
    for place, data in files.items():
        path = tmp_path / name / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / name


def zip_of(tmp_path, entries, name="ada.zip", compression=zipfile.ZIP_DEFLATED):
    """entries: of (name or ZipInfo, data)."""
    path = tmp_path / name
    with zipfile.ZipFile(path, "w", compression) as archive:
        for entry, data in entries:
            archive.writestr(entry, data, compress_type=compression)
    return path


def read(path):
    """Files and problems; whatever is handed in is read at once."""
    began = time.monotonic()
    result = read_handin(path, WANTED)
    assert time.monotonic() - began < 5
    assert all(isinstance(problem, str) and problem.isprintable() for problem in result.problems)
    return result


# What is found.


@pytest.mark.parametrize("top", ["", "hand in/", "a/b/c/"])
def test_files_are_found_wherever_they_lie(tmp_path, top):
    files = {f"{top}conv.py": CODE, f"{top}kernels/race.cu": b"__global__", f"{top}notes.txt": b"", "numpy.py": b"x"}
    for path in (folder_of(tmp_path, files), zip_of(tmp_path, files.items())):
        result = read(path)
        assert result.files == {"conv.py": CODE, "race.cu": b"__global__"}
        assert (result.student, result.problems) == ("ada", ["Not read, for no exercise has this name: 'numpy.py'."])


@pytest.mark.parametrize(
    ("name", "student"),
    [
        ("Lovelace Ada_123_assignsubmission_file_", "Lovelace Ada_123_assignsubmission_file_"),
        ("lovelaceada_late_123_45_homework-1.zip", "lovelaceada_late_123_45_homework-1"),
        ("J. Doe 1.2", "J. Doe 1.2"),
        ("ada.ZIP", "ada"),
    ],
)
def test_the_student_is_the_name_whole(tmp_path, name, student):
    files = {"conv.py": CODE}
    zipped = name.lower().endswith(".zip")
    path = zip_of(tmp_path, files.items(), name) if zipped else folder_of(tmp_path, files, name)
    result = read(path)
    assert (result.student, set(result.files)) == (student, {"conv.py"})
    assert read_handin(f"{path}{'' if zipped else os.sep}", WANTED) == result


def test_the_nearest_of_one_name_is_taken(tmp_path):
    files = {"old/deep/conv.py": b"1", "b/conv.py": b"2", "a/conv.py": b"3", "race.cu": b"4", "x/race.cu": b"5"}
    told = [
        "conv.py is there 3 times; graded is 'a/conv.py', the one nearest to the top.",
        "race.cu is there 2 times; graded is 'race.cu', the one nearest to the top.",
    ]
    for path in (folder_of(tmp_path, files), zip_of(tmp_path, files.items())):
        assert read(path).files == {"conv.py": b"3", "race.cu": b"4"}
        assert read(path).problems == told


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_one_place_in_a_zip_the_last_is_taken(tmp_path):
    result = read(zip_of(tmp_path, [("conv.py", b"old"), ("conv.py", b"new")]))
    assert result.files == {"conv.py": b"new"} and "2 times" in result.problems[0]


def test_other_code_is_told_of_where_something_is_missing(tmp_path):
    folder = folder_of(tmp_path, {"my_conv.py": CODE, "mine.ipynb": b"{}", "notes.txt": b""})
    assert read(folder).problems == ["Not read, for no exercise has this name: 'mine.ipynb' and 1 more."]
    assert read_handin(folder_of(tmp_path / "all", {"conv.py": CODE, "scratch.py": b""}), ["conv.py"]).problems == []


def test_what_tools_leave_is_not_the_students(tmp_path):
    copies = {f"{name}/conv.py": b"copy" for name in ("__MACOSX", ".ipynb_checkpoints", "venv/lib/site-packages")}
    for path in (folder_of(tmp_path, copies), zip_of(tmp_path, copies.items())):
        assert (read(path).files, read(path).problems) == ({}, ["The hand-in holds no exercise."])


def test_a_zip_in_a_folder_is_looked_into(tmp_path):
    zip_of(folder_of(tmp_path, {"race.cu": b"1"}), [("top/conv.py", CODE)], "homework.zip")
    assert read(tmp_path / "ada").files == {"conv.py": CODE, "race.cu": b"1"}


def test_a_zip_in_a_zip_is_told(tmp_path):
    inner = zip_of(tmp_path, [("conv.py", CODE)], "inner.zip").read_bytes()
    result = read(zip_of(tmp_path, [("inner.zip", inner)]))
    assert result.files == {} and result.problems == ["Not read, for it is a zip in a zip: 'inner.zip'."]


@pytest.mark.parametrize("name", ["Conv.py", "conv (1).py", "conv-2.PY", "conv copy.ipynb"])
def test_a_changed_name_is_told(tmp_path, name):
    result = read(folder_of(tmp_path, {name: CODE}))
    if result.files:  # a file system without capitals
        return
    assert result.problems == [f"conv.py is not there, but {name!r} is: the names must be the same."]


def test_backslashes_part_folders_in_zips_of_windows(tmp_path):
    path = zip_of(tmp_path, [("folder#conv.py", CODE)])
    path.write_bytes(path.read_bytes().replace(b"folder#conv", b"folder\\conv"))
    assert read(path).files == {"conv.py": CODE}


# Notebooks.


def test_a_notebook_stands_for_its_script(tmp_path):
    notebook = {"cells": [{"cell_type": "code", "source": ["%matplotlib inline\n", "x = 1"]}]}
    path = folder_of(tmp_path, {"sub/conv.ipynb": json.dumps(notebook).encode(), "race.ipynb": b"{}"})
    result = read(path)
    assert result.files == {"conv.py": b"# %% cell 1\n# %matplotlib inline\nx = 1\n"}
    assert read_handin(path, ["conv.ipynb"]).files == {"conv.ipynb": result.files["conv.py"]}
    folder_of(tmp_path, {"sub/deeper/conv.py": CODE})
    result = read(path)
    assert result.files == {"conv.py": CODE}
    assert result.problems[0] == (
        "conv.py is there 2 times; graded is 'sub/deeper/conv.py', the script, not the notebook."
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "is no notebook"),
        (b"[" * 1_000_000, "is no notebook"),
        (b"\xff{}", "is no UTF-8 text"),
        (b" " * (handin.MOST_NOTEBOOK_BYTES + 1), "is larger than 4 MiB"),
        (json.dumps({"cells": [{"cell_type": "code", "source": "x" * 2**20}]}).encode(), "holds more than 1 MiB"),
    ],
)
def test_a_notebook_that_is_none(tmp_path, data, words):
    result = read(folder_of(tmp_path, {"conv.ipynb": data, "linear.py": CODE}))
    assert result.files == {"linear.py": CODE}
    assert [words in problem for problem in result.problems] == [True], result.problems


# Text.


def test_text_in_other_encodings(tmp_path):
    files = {"conv.py": "é = 1\n".encode("utf-16"), "linear.py": b"\xef\xbb\xbfx = 1\n"}
    result = read(folder_of(tmp_path, files))
    assert result.files == {"conv.py": "é = 1\n".encode(), "linear.py": b"x = 1\n"}
    assert result.problems == ["'conv.py' is UTF-16 text and was turned to UTF-8."]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("x = 1\n# für\n".encode("latin-1"), "is no UTF-8 text: line 2 holds the byte 0xfc"),
        (b"x = 1\nx = '\0'", "is no text: line 2 holds a zero byte"),
        (b"\xff\xfe\x00", "UTF-16 text"),
        (b"#!/usr/bin/python\n# -*- coding: utf_7 -*-\n", "declares the encoding utf_7"),
        (b"\r# vim: set fileencoding=punycode :\n", "declares the encoding punycode"),
        (b"x" * (handin.MOST_BYTES + 1), "is larger than 1 MiB"),
    ],
)
def test_what_is_no_utf8_text_is_told(tmp_path, data, words):
    result = read(folder_of(tmp_path, {"sub/conv.py": data, "linear.py": CODE}))
    assert result.files["linear.py"] == CODE
    assert len(result.problems) == 1 and words in result.problems[0] and "'sub/conv.py'" in result.problems[0]


def test_utf8_may_be_declared(tmp_path):
    files = {"conv.py": b"# -*- coding: UTF_8 -*-\n", "linear.py": b"# coding=ascii\n"}
    assert read(folder_of(tmp_path, files)).files == files


# Hostile folders.


@posix
def test_links_and_pipes_are_not_read(tmp_path):
    secret = tmp_path / "secret.py"
    secret.write_bytes(b"secret")
    path = folder_of(tmp_path, {"race.cu": b"1"})
    (path / "conv.py").symlink_to(secret)
    os.mkfifo(path / "linear.py")
    (path / "up").symlink_to(tmp_path)
    (path / "round").symlink_to(path)
    (path / "notes.txt").symlink_to(secret)
    result = read(path)
    assert result.files == {"race.cu": b"1"}
    assert result.problems == ["Not read, for it is a link or a special file: 'conv.py' and 1 more."]


@posix
def test_a_hand_in_that_is_a_link_or_a_pipe(tmp_path):
    (tmp_path / "link").symlink_to(folder_of(tmp_path, {"conv.py": CODE}))
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        result = read(tmp_path / name)
        assert (result.student, result.files) == (name, {})
        assert result.problems == ["The hand-in expects a folder or a zip; it is a link or a special file."]


@posix
def test_a_device_swapped_in_behind_the_look_is_not_read(tmp_path):
    with pytest.raises(handin._Unreadable, match="special file"):
        handin._read_file("/dev/zero", 10)


def test_what_is_not_there_or_no_zip(tmp_path):
    assert "is not there" in read(tmp_path / "none").problems[0]
    assert "is not there" in read_handin("a\0b", WANTED).problems[0]
    (tmp_path / "ada.rar").write_bytes(b"Rar!")
    result = read(tmp_path / "ada.rar")
    assert result.student == "ada.rar" and "expects a folder or a zip" in result.problems[0]


@posix
def test_a_name_that_is_no_text(tmp_path):
    path = os.fsencode(tmp_path) + b"/ad\xff"
    os.mkdir(path)
    with open(path + b"/\xfe.py", "wb"):
        pass
    assert read(os.fsdecode(path)).student == "ad\\xff"


def test_endless_depth(tmp_path):
    deep = tmp_path / "ada"
    deep.mkdir()
    before = os.getcwd()
    try:
        os.chdir(deep)
        for _ in range(400):  # deeper than a path may be long
            os.mkdir("f" * 10)
            os.chdir("f" * 10)
    finally:
        os.chdir(before)
    (deep / "conv.py").write_bytes(CODE)
    result = read(deep)
    assert result.files == {"conv.py": CODE} and "more than 16 folders deep" in result.problems[0]
    subprocess.run(["rm", "-rf", deep], check=True)  # what pytest would fail at


def test_too_many_entries(tmp_path, monkeypatch):
    monkeypatch.setattr(handin, "MOST_ENTRIES", 10)
    files = {"conv.py": CODE} | {f"more/{number}.txt": b"" for number in range(20)}
    result = read(folder_of(tmp_path, files))
    assert result.files == {"conv.py": CODE}
    assert result.problems == ["The hand-in has more than 10 entries; the others are not read."]
    result = read(zip_of(tmp_path, files.items()))
    assert result.files == {} and "more than 10 entries" in result.problems[0]


def test_what_the_system_refuses(tmp_path, monkeypatch):
    path = folder_of(tmp_path, {"conv.py": CODE, "closed/linear.py": CODE, "race.cu": b"1"})

    def refusing(function, part):
        def refuses(path, *more):
            if part in os.fspath(path):
                raise PermissionError(13, "Permission denied", path)
            return function(path, *more)

        return refuses

    monkeypatch.setattr(os, "open", refusing(os.open, "conv.py"))
    monkeypatch.setattr(os, "scandir", refusing(os.scandir, "closed"))
    result = read(path)
    assert result.files == {"race.cu": b"1"}
    assert result.problems == [
        "'conv.py' cannot be read (Permission denied).",
        "Not read, for the system refuses it (Permission denied): 'closed'.",
    ]


# Hostile zips.


@pytest.mark.parametrize("name", ["../conv.py", "a/../../conv.py", "/conv.py", "C:/conv.py", "..\\conv.py", "a/.."])
def test_names_that_lead_out_of_a_zip(tmp_path, name):
    result = read(zip_of(tmp_path, [(name, b"evil"), ("linear.py", CODE)]))
    assert result.files == {"linear.py": CODE}
    shown = name.replace("\\", "/")
    assert result.problems == [f"Not read, for its name leads out of the hand-in: {shown!r}."]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ada.zip"]


def entry_of(name, kind):
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, (kind | 0o777) << 16
    return entry


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_special_files_in_a_zip(tmp_path, kind):
    regular = entry_of("linear.py", stat.S_IFREG)
    result = read(zip_of(tmp_path, [(entry_of("conv.py", kind), b"/etc/passwd"), (regular, CODE)]))
    assert result.files == {"linear.py": CODE}
    assert result.problems == ["Not read, for it is a link or a special file: 'conv.py'."]


@pytest.mark.parametrize(
    ("megabytes", "words"), [(1, "compressed to less than a 200th, as no source code is"), (100, "larger than 1 MiB")]
)
def test_a_bomb(tmp_path, megabytes, words):
    result = read(zip_of(tmp_path, [("conv.py", b" " * megabytes * 2**20), ("linear.py", CODE)]))
    assert result.files == {"linear.py": CODE}
    assert result.problems == [f"'conv.py' is {words}."]


def test_a_bomb_that_lies_of_its_size(tmp_path):
    """The size in the zip says 10 bytes; what is read beyond it is refused, not believed."""
    bomb = zip_of(tmp_path, [("conv.py", os.urandom(1000) * 3000), ("linear.py", CODE)])
    data = bytearray(bomb.read_bytes())
    for place in (data.index(b"PK\x03\x04") + 22, data.index(b"PK\x01\x02") + 24):
        data[place : place + 4] = struct.pack("<I", 10)
    bomb.write_bytes(data)
    result = read(bomb)
    assert result.files == {"linear.py": CODE} and "'conv.py' cannot be read (Bad CRC-32" in result.problems[0]


def test_a_file_that_is_too_large(tmp_path):
    result = read(zip_of(tmp_path, [("conv.py", os.urandom(2**19).hex() + "x")]))
    assert result.files == {} and result.problems == ["'conv.py' is larger than 1 MiB."]
    exact = os.urandom(2**19).hex().encode()
    assert read(zip_of(tmp_path, [("conv.py", exact)])).files == {"conv.py": exact}


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_without_a_bound(tmp_path, compression):
    result = read(zip_of(tmp_path, [("conv.py", b"x" * 2**20)], compression=compression))
    assert result.files == {}
    assert result.problems == ["Not read, for it is compressed by another method than deflate: 'conv.py'."]


def test_encrypted_entries(tmp_path):
    path = zip_of(tmp_path, [("conv.py", CODE)])
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x03\x04") + 6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    result = read(path)
    assert result.files == {} and result.problems == ["Not read, for it is encrypted: 'conv.py'."]


def test_the_depth_of_a_zip(tmp_path):
    result = read(zip_of(tmp_path, [("a/" * 17 + "conv.py", CODE), ("a/" * 16 + "linear.py", CODE)]))
    assert set(result.files) == {"linear.py"} and "more than 16 folders deep" in result.problems[0]


def test_a_zip_that_is_too_large(tmp_path):
    path = tmp_path / "ada.zip"
    with open(path, "wb") as file:
        file.truncate(handin.MOST_ZIP_BYTES + 1)
    assert read(path).problems == ["The hand-in is larger than 64 MiB: hand in the files of the course alone."]


def test_a_zip_of_countless_entries_is_counted_before_it_is_listed(tmp_path):
    """The end of the zip says that there are none."""
    entry = b"PK\x01\x02" + bytes(42)
    directory = entry * 200_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, len(directory), 0, 0)
    path = tmp_path / "ada.zip"
    path.write_bytes(directory + end)
    assert "more than 10,000 entries" in read(path).problems[0]


def test_a_zip_in_a_folder_that_is_damaged_costs_only_itself(tmp_path):
    result = read(folder_of(tmp_path, {"conv.py": CODE, "more.zip": b"PK"}))
    assert result.files == {"conv.py": CODE}
    assert result.problems[0].startswith("'more.zip' expects a folder or a zip")


def test_any_damage_to_a_zip_is_survived(tmp_path, rng):
    path = zip_of(tmp_path, [("conv.py", CODE * 10), ("sub/linear.py", b"x = 1"), ("race.cu", b"")])
    data = path.read_bytes()
    for _ in range(500):
        damaged = bytearray(data)
        for place in rng.integers(len(data), size=rng.integers(1, 5)):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged[: rng.integers(1, len(data))] if rng.random() < 0.1 else damaged)
        read(path)


def test_damaged_deflate_streams(tmp_path, rng):
    squeezed = zlib.compress(CODE * 100)[2:-4]
    path = zip_of(tmp_path, [("conv.py", CODE * 100)])
    data = path.read_bytes()
    at = data.index(squeezed[:10])
    for _ in range(300):
        damaged = bytearray(data)
        damaged[at + rng.integers(len(squeezed))] = rng.integers(256)
        path.write_bytes(damaged)
        result = read(path)
        assert result.files.get("conv.py") in (None, CODE * 100)


# The rest.


def test_the_digest_is_of_what_counts(tmp_path):
    path = folder_of(tmp_path, {"conv.py": CODE, "notes.txt": b"1"})
    first = read(path).digest
    (path / "notes.txt").write_bytes(b"2")
    assert read(path).digest == first and len(first) == 64
    assert read(zip_of(tmp_path, [("top/conv.py", CODE)])).digest == first
    (path / "conv.py").write_bytes(CODE + b"\n")
    assert read(path).digest != first


@pytest.mark.parametrize("wanted", ["conv.py", ["../conv.py"], ["a\\b.py"], [""]])
def test_wanted_are_plain_names(tmp_path, wanted):
    with pytest.raises(ValueError, match="wanted expects names of files without folders"):
        read_handin(tmp_path, wanted)


def test_memory_stays_small(tmp_path):
    """A bomb of 256 MiB is refused in less than 50 MiB."""
    pytest.importorskip("resource")
    path = tmp_path / "ada.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("conv.py", "w") as file:
        for _ in range(256):
            file.write(bytes(2**20))
    code = f"""
import resource
from minitorch_cv.course.handin import read_handin
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(read_handin({str(path)!r}, ["conv.py"]).problems, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout.split()[-1]) * unit < 50 * 2**20
