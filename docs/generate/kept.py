"""What takes long to compute is kept on disk, for as long as the sources that it was computed from are the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "_build" / "kept"


def digest_of(paths: Iterable[Path]) -> str:
    """A number that changes where one of these files changes."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def kept(name: str, sources: Iterable[Path], compute: Callable[[], Any]) -> Any:
    """What `compute` returns, in the types of JSON; computed anew where one of `sources` has changed."""
    path = FOLDER / f"{name}-{digest_of(sources)}.json"
    if not path.is_file():
        value = compute()
        FOLDER.mkdir(parents=True, exist_ok=True)
        for older in FOLDER.glob(f"{name}-*.json"):
            older.unlink()
        path.write_text(json.dumps(value), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))
