"""Reads what a student handed in: a folder or a zip, that nobody vouches for.

Nothing is extracted to the disk and nothing runs. Whatever is wrong costs no more than the files that it concerns, and
is told in a sentence.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zipfile
from collections import deque
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO

from .notebook import notebook_to_script

MOST_BYTES = 2**20
"""Of a file that is graded; of a notebook's code too."""
MOST_NOTEBOOK_BYTES = 4 * 2**20
"""Of a notebook with its figures."""
MOST_ZIP_BYTES = 64 * 2**20
MOST_ENTRIES = 10_000
"""Files and folders that are looked at."""
MOST_FOLDERS_DEEP = 16
MOST_RATIO = 200
"""How many times smaller than the file its compressed form may be: source code comes to 10, rarely 30."""
MOST_ZIPS_IN_A_FOLDER = 4

# What systems and tools leave beside a student's own files; some hold copies of them.
_NOT_THE_STUDENTS = {
    "__MACOSX",
    "__pycache__",
    ".git",
    ".ipynb_checkpoints",
    ".venv",
    "venv",
    "node_modules",
    "site-packages",
}


@dataclass(frozen=True)
class Handin:
    """What was handed in and can be graded.

    student: the name of the folder or zip; files: the bytes of each wanted file that was found, as UTF-8 text, the
    script where it was a notebook; problems: what the teacher should know of the rest, a sentence each.
    """

    student: str
    files: dict[str, bytes]
    problems: list[str]

    @property
    def digest(self) -> str:
        """By which a regrade knows that nothing changed: of the files and the problems, not of what is not graded."""
        known = hashlib.sha256()
        parts = [part for name in sorted(self.files) for part in (name.encode(), self.files[name])]
        for part in [*parts, *(problem.encode("utf-8", "backslashreplace") for problem in self.problems)]:
            known.update(len(part).to_bytes(8, "big") + part)
        return known.hexdigest()


def read_handin(path: str | os.PathLike[str], wanted: Collection[str]) -> Handin:
    """Read the wanted files of a hand-in, wherever in it they lie.

    path: a folder or a zip. A zip that lies in the folder is looked into, as learning platforms pack hand-ins; a zip in
        a zip is not.
    wanted: names of files without folders. In the place of `<name>.py` a notebook `<name>.ipynb` may have been handed
        in: its code is taken.
    Raises: ValueError for a wanted name with a folder. Never for anything that was handed in.

    Where a name is found twice the file nearest to the top is taken. Symbolic links are not followed, names that lead
    out of the hand-in not read, and no file beyond its limit, whatever a zip says of its size.
    """
    if isinstance(wanted, str) or any(not name or re.search(r"[/\\\0]", name) for name in wanted):
        raise ValueError(f"read_handin: wanted expects names of files without folders; it is {wanted!r:.200}")
    search = _Search(frozenset(wanted))
    with ExitStack() as opened:
        try:
            _look_through(search, os.fspath(path), opened)
        except _Unreadable as reason:
            search.problems.append(f"The hand-in {reason}.")
        except OSError as error:
            search.problems.append(f"The hand-in cannot be read ({_reason(error)}).")
        files = _read_found(search)
    return Handin(student_of(path), files, search.all_problems(files))


class _Unreadable(Exception):
    """Why something cannot be read: the rest of a sentence that begins with its name."""


@dataclass(frozen=True)
class _Found:
    """A file that may be graded. place: where in the hand-in it lies, as (folder, ..., name)."""

    place: tuple[str, ...]
    read: Callable[[int], bytes]
    """At most so many bytes."""

    @property
    def order(self) -> tuple[int, tuple[str, ...]]:
        return len(self.place), self.place


@dataclass
class _Search:
    wanted: frozenset[str]
    found: dict[str, list[_Found]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    passed_over: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> the places that are not read for it."""
    similar: dict[str, str] = field(default_factory=dict)
    """What a name would be, had it not been changed -> the name."""
    unknown: set[str] = field(default_factory=set)
    """Names of code that nobody wants."""

    def wants(self, name: str) -> bool:
        stem, suffix = os.path.splitext(name)
        return name in self.wanted or (suffix == ".ipynb" and f"{stem}.py" in self.wanted)

    def add(self, place: tuple[str, ...], read: Callable[[int], bytes]) -> None:
        self.found.setdefault(place[-1], []).append(_Found(place, read))

    def pass_over(self, reason: str, place: str) -> None:
        self.passed_over.setdefault(reason, []).append(place)

    def remember(self, name: str) -> None:
        """Keep the name of a file that nobody wants: it may have been a wanted one."""
        self.similar.setdefault(_unchanged(name), name)
        if name.lower().endswith((".py", ".ipynb", ".cu")):
            self.unknown.add(name)

    def all_problems(self, files: Collection[str]) -> list[str]:
        problems, unknown = list(self.problems), set(self.unknown)
        missing = sorted(self.wanted - set(files) - set(self.found))
        for name in missing:
            for expected in (name, f"{os.path.splitext(name)[0]}.ipynb"):
                if other := self.similar.get(_unchanged(expected)):
                    problems.append(f"{name} is not there, but {_shown(other)} is: the names must be the same.")
                    unknown.discard(other)
        if missing and unknown:  # one of them may be what is missing
            self.passed_over["for no exercise has this name"] = sorted(unknown)
        if not (self.found or problems or self.passed_over):
            problems.append("The hand-in holds no exercise.")
        for reason, places in self.passed_over.items():
            more = f" and {len(places) - 1} more" if len(places) > 1 else ""
            problems.append(f"Not read, {reason}: {_shown(min(places))}{more}.")
        return problems


def _look_through(search: _Search, path: str, opened: ExitStack) -> None:
    """Find the wanted files in the folder or zip."""
    try:
        mode = os.lstat(path).st_mode
    except (OSError, ValueError) as error:
        raise _Unreadable(f"is not there ({_reason(error)})") from None
    if stat.S_ISDIR(mode):
        for place, zip_path in _look_through_folder(search, path):
            try:
                _look_through_zip(search, zip_path, opened, place)
            except _Unreadable as reason:
                search.problems.append(f"{_shown('/'.join(place))} {reason}.")
    elif stat.S_ISREG(mode):
        _look_through_zip(search, path, opened, ())
    else:
        raise _Unreadable("expects a folder or a zip; it is a link or a special file")


def _look_through_folder(search: _Search, top: str) -> list[tuple[tuple[str, ...], str]]:
    """Find the wanted files of a folder, the nearest ones first, and return its zips: the place and path of each."""
    folders: deque[tuple[tuple[str, ...], str]] = deque([((), top)])
    zips, looked_at = [], 0
    while folders:
        place, path = folders.popleft()
        try:
            with os.scandir(path) as entries:
                inside = sorted(islice(entries, MOST_ENTRIES + 1 - looked_at), key=lambda entry: entry.name)
        except OSError as error:
            search.pass_over(f"for the system refuses it ({_reason(error)})", "/".join(place) or ".")
            continue
        for entry in inside:
            looked_at += 1
            if looked_at > MOST_ENTRIES:
                search.problems.append(f"The hand-in has more than {MOST_ENTRIES:,} entries; the others are not read.")
                return zips
            here = (*place, entry.name)
            if entry.is_dir(follow_symlinks=False):
                if entry.name in _NOT_THE_STUDENTS:
                    continue
                if len(here) > MOST_FOLDERS_DEEP:
                    search.pass_over(f"for it lies more than {MOST_FOLDERS_DEEP} folders deep", "/".join(here))
                else:
                    folders.append((here, entry.path))
            elif search.wants(entry.name):
                if entry.is_file(follow_symlinks=False):
                    search.add(here, lambda most, path=entry.path: _read_file(path, most))
                else:
                    search.pass_over("for it is a link or a special file", "/".join(here))
            elif entry.name.lower().endswith(".zip") and entry.is_file(follow_symlinks=False):
                if len(zips) < MOST_ZIPS_IN_A_FOLDER:
                    zips.append((here, entry.path))
                else:
                    search.pass_over(f"for there are more than {MOST_ZIPS_IN_A_FOLDER} zips", "/".join(here))
            else:
                search.remember(entry.name)
    return zips


def _look_through_zip(search: _Search, path: str, opened: ExitStack, above: tuple[str, ...]) -> None:
    """Find the wanted files of a zip that lies at the place `above` of the hand-in."""
    try:
        file = opened.enter_context(_open_file(path))
        if os.fstat(file.fileno()).st_size > MOST_ZIP_BYTES:
            raise _Unreadable(f"is larger than {MOST_ZIP_BYTES // 2**20} MiB: hand in the files of the course alone")
        # Before zipfile builds its list of them.
        if _count(file, b"PK\x01\x02") > MOST_ENTRIES:
            raise _Unreadable(f"has more than {MOST_ENTRIES:,} entries: hand in the files of the course alone")
        archive = opened.enter_context(zipfile.ZipFile(file))
        entries = archive.infolist()
    except _Unreadable:
        raise
    except zipfile.BadZipFile as error:
        raise _Unreadable(f"expects a folder or a zip; it is neither, or a damaged one ({_reason(error)})") from None
    except Exception as error:  # zipfile raises what it likes where a damaged entry surprises it
        raise _Unreadable(f"cannot be read as a zip ({_reason(error)})") from None
    for entry in reversed(entries):  # the last of one name comes first: it is the one that unpacking would leave
        _look_at_entry(search, archive, entry, above)


def _look_at_entry(search: _Search, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, above: tuple[str, ...]) -> None:
    name = entry.filename.replace("\\", "/")  # as some zips made on Windows have it
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or re.match("[A-Za-z]:", name):
        search.pass_over("for its name leads out of the hand-in", name)
        return
    if name.endswith("/") or not parts or not _NOT_THE_STUDENTS.isdisjoint(parts[:-1]):
        return
    if not search.wants(parts[-1]):
        if parts[-1].lower().endswith(".zip"):
            search.pass_over("for it is a zip in a zip", name)
        search.remember(parts[-1])
        return
    # The upper half of what a Unix system writes of a file; other systems know no links in zips.
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        search.pass_over("for it is a link or a special file", name)
    elif entry.flag_bits & 1:
        search.pass_over("for it is encrypted", name)
    elif entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # Besides being rare, the others unpack without a bound: 4 KiB of bzip2 may hold gigabytes.
        search.pass_over("for it is compressed by another method than deflate", name)
    elif len(parts) > MOST_FOLDERS_DEEP + 1:
        search.pass_over(f"for it lies more than {MOST_FOLDERS_DEEP} folders deep", name)
    else:
        search.add((*above, *parts), lambda most: _read_entry(archive, entry, most))


def _read_found(search: _Search) -> dict[str, bytes]:
    """The files that were wanted and can be read."""
    files = {}
    for name in sorted(search.wanted):
        stem, suffix = os.path.splitext(name)
        scripts = sorted(search.found.get(name, ()), key=lambda found: found.order)
        notebooks = search.found.get(f"{stem}.ipynb", ()) if suffix == ".py" else ()
        all_found = [*scripts, *sorted(notebooks, key=lambda found: found.order)]
        if not all_found:
            continue
        taken = all_found[0]
        where = _shown("/".join(taken.place))
        if len(all_found) > 1:
            why = "the one nearest to the top" if len(scripts) != 1 else "the script, not the notebook"
            search.problems.append(f"{name} is there {len(all_found)} times; graded is {where}, {why}.")
        try:
            files[name] = _as_source(name, taken, search.problems)
        except _Unreadable as reason:
            search.problems.append(f"{where} {reason}.")
        except Exception as error:  # as above: zipfile and zlib on damaged entries
            search.problems.append(f"{where} cannot be read ({_reason(error)}).")
    return files


def _as_source(name: str, found: _Found, problems: list[str]) -> bytes:
    """The source code that a file holds, in UTF-8; what was changed for it is told in `problems`."""
    notebook = found.place[-1].endswith(".ipynb")
    most = MOST_NOTEBOOK_BYTES if notebook else MOST_BYTES
    data = found.read(most + 1)
    if len(data) > most:
        raise _Unreadable(f"is larger than {most // 2**20} MiB")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        data = data.decode("utf-16", "replace").encode()
        problems.append(f"{_shown('/'.join(found.place))} is UTF-16 text and was turned to UTF-8.")
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, byte = _line(data, error.start), data[error.start]
        raise _Unreadable(f"is no UTF-8 text: line {line} holds the byte {byte:#04x}") from None
    if notebook:
        try:
            text = notebook_to_script(text)
        except ValueError as error:
            raise _Unreadable(f"is no notebook ({_reason(error)})") from None
        data = text.encode("utf-8", "replace")  # JSON can hold halves of characters
        if len(data) > MOST_BYTES:
            raise _Unreadable(f"holds more than {MOST_BYTES // 2**20} MiB of code")
    if b"\0" in data:
        raise _Unreadable(f"is no text: line {_line(data, data.index(0))} holds a zero byte")
    if name.endswith((".py", ".ipynb")):
        for line in re.split(rb"\r\n|\r|\n", data, maxsplit=2)[:2]:
            declared = _DECLARED_ENCODING.match(line)
            if declared and declared[1].decode().lower().replace("_", "-") not in _READ_AS_UTF8:
                raise _Unreadable(f"declares the encoding {declared[1].decode()}; it must be UTF-8")
    return data


# PEP 263. A file may not be other code to Python than to who reads it as UTF-8.
_DECLARED_ENCODING = re.compile(rb"[ \t\f]*#.{0,200}?coding[:=][ \t]*([-\w.]{1,50})")
_READ_AS_UTF8 = {"utf-8", "utf8", "utf-8-sig", "ascii", "us-ascii"}


def _line(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _open_file(path: str) -> BinaryIO:
    """Open a regular file: no link is followed, and no pipe waited for."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _Unreadable("is a link or a special file")
    return os.fdopen(handle, "rb")


def _read_file(path: str, most: int) -> bytes:
    with _open_file(path) as file:
        return file.read(most)


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    with archive.open(entry) as file:
        data = file.read(most)
    if len(data) > MOST_RATIO * max(entry.compress_size, 1):
        raise _Unreadable(f"is compressed to less than a {MOST_RATIO}th, as no source code is")
    return data


def _count(file: BinaryIO, pattern: bytes) -> int:
    """How often the pattern occurs."""
    count, tail = 0, b""
    while block := file.read(2**20):
        block = tail + block
        count += block.count(pattern)
        tail = block[1 - len(pattern) :]
    file.seek(0)
    return count


def student_of(path: str | os.PathLike[str]) -> str:
    """The name of the folder or zip; bytes in it that are no text are spelled out."""
    name = os.path.basename(os.path.abspath(path))
    stem, suffix = os.path.splitext(name)
    name = stem if suffix.lower() == ".zip" and not os.path.isdir(path) else name
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _unchanged(name: str) -> str:
    """A name without what browsers and learning platforms add to it: `(1)`, `-1`, `copy`, capitals."""
    stem, suffix = os.path.splitext(name[:200].casefold())
    return re.sub(r"[ _-]{0,3}(?:\(\d+\)|\d+|copy)$", "", stem) + suffix


def _shown(name: str) -> str:
    """A name as it may stand in a sentence, whatever characters it holds."""
    return repr(name if len(name) <= 120 else f"{name[:117]}...")


def _reason(error: BaseException) -> str:
    """What an error says, in a line."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return " ".join(text.encode("ascii", "backslashreplace").decode().split())[:200]
