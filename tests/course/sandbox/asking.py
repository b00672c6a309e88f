"""Asks hostile hand-ins, some at a time, and prints as JSON what became of them and what was left.

    python asking.py bubblewrap|limits|none [name ...]

It needs nothing but the standard library, so that it runs as any user with any interpreter.
"""

import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[2] / "minitorch_cv" / "course")]

from hostile import HOSTILE, Hostile  # noqa: E402
from sandbox import Ended, Limits, Process, Sandbox, explain  # noqa: E402

WITNESS = Hostile("witness", "return b'here'", {"answer"}, {"seconds": 60})


def main() -> None:
    way, *names = sys.argv[1:]
    sandbox = {
        "bubblewrap": lambda: Sandbox.find(require_bubblewrap=True),
        "limits": Sandbox.outer_container,
        "none": Sandbox.unconfined,
    }[way]()
    # A name of its own, by which its processes are known from outside.
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    folder.chmod(0o755)
    script = folder / f"answering_{secrets.token_hex(8)}.py"
    shutil.copyfile(HERE / "answering.py", script)
    script.chmod(0o644)
    tempfile.tempdir = str(folder)
    tried = [hostile for hostile in HOSTILE if hostile.name in names]
    with start(sandbox, script, WITNESS, 63) as witness, ThreadPoolExecutor(6) as pool:
        ask(witness)
        results = dict(pool.map(lambda entry: become(sandbox, script, *entry), enumerate(tried)))
        survived = ask(witness) == b"=here"
    time.sleep(0.1)
    left = {
        "survived": survived,
        "files": [path.name for path in folder.iterdir() if path != script],
        "processes": [number for number in os.listdir("/proc") if number.isdecimal() and runs(number, script.name)],
    }
    shutil.rmtree(folder)
    print(json.dumps({"results": results, "left": left, "strength": sandbox.strength.value}))


def start(sandbox: Sandbox, script: Path, hostile: Hostile, worker: int) -> Process:
    limits = Limits(**hostile.limits)
    return sandbox.start(script, {"hand_in.py": hostile.source}, packages={}, limits=limits, worker=worker)


def ask(process: Process) -> bytes:
    """Ask once: the time for loading does not count with that for the answer."""
    process.write((0).to_bytes(4, "big"))
    return process.read(int.from_bytes(process.read(4), "big"))


def become(sandbox: Sandbox, script: Path, number: int, hostile: Hostile) -> tuple:
    began = time.monotonic()
    with start(sandbox, script, hostile, number) as process:
        try:
            said = ask(process)
            error = said[1:].decode() if said.startswith(b"!") else ""
            ending = explain(error, Limits(**hostile.limits)) if error else None
            reason = ending.reason if ending else error or "answer"
        except Ended as ended:
            ending = ended.ending
            reason = ending.reason
    sentences = [ending.student, ending.teacher] if ending else []
    return hostile.name, {"reason": reason, "sentences": sentences, "seconds": time.monotonic() - began}


def runs(process: str, name: str) -> bool:
    """Whether a process bears the name on its command line; one that is over has none."""
    try:
        return name.encode() in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


main()
