"""The process in which a student's file runs: it answers calls of the file's functions, or launches of its kernels, one
at a time.

    python runner FILES [PACKAGES]

FILES: the folder of the file; PACKAGES: a folder of modules besides the standard library. The first request says which
file it is, and what it may import.
Requests come on standard input, answers go to what was standard output; what the file prints goes to standard error.
The process knows the inputs of the call at hand and nothing of what is expected: the judge, outside, compares.
"""

from __future__ import annotations

import builtins
import ctypes
import os
import sys
import types
from collections.abc import Callable
from typing import Any, BinaryIO

if len(sys.argv) > 2 and sys.argv[2]:
    sys.path.append(sys.argv[2])
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kernel_file import KernelFile  # pyright: ignore[reportMissingImports]
from message import MessageError, pack, unpack  # pyright: ignore[reportMissingImports]

sys.path.pop(0)

MOST_TEXT = 2_000  # characters of an exception's message


class Channel:
    """Requests in, answers out."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO):
        self.requests, self.answers = requests, answers

    def read(self, count: int) -> bytes:
        """So many bytes; the process ends where the judge has gone."""
        data = self.requests.read(count)
        if len(data) < count:
            raise SystemExit(0)
        return data

    def receive(self) -> Any:
        return unpack(self.read, self._function)

    def send(self, value: Any) -> None:
        self.answers.write(pack(value))
        self.answers.flush()

    def _function(self, number: int) -> Callable[..., Any]:
        """A function of the judge's: to call it is to ask for it."""

        def call(*arguments: Any, **named: Any) -> Any:
            self.send({"callback": number, "arguments": arguments, "named": named})
            answer = self.receive()
            if "raised" in answer:
                raise ValueError(answer["raised"])
            return answer["value"]

        return call


def load(path: str, granted: list[str]) -> dict[str, Any]:
    """Runs the file as a module, with the granted imports alone."""
    real_import = builtins.__import__

    def only_granted(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        """An import in the student's file itself; modules that are granted import what they need."""
        if level == 0 and name.partition(".")[0] not in granted:
            raise ImportError(f"this exercise is to be solved with {', '.join(granted)}; it imports {name}")
        return real_import(name, globals, locals, fromlist, level)

    module = types.ModuleType(os.path.splitext(os.path.basename(path))[0])
    module.__file__ = path
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": only_granted}
    sys.modules[module.__name__] = module  # dataclasses look there
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec")
    exec(code, module.__dict__)
    return module.__dict__


def told(error: BaseException, path: str) -> dict[str, Any]:
    """An exception in words, with the line of the student's file that it came from."""
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return {"raised": type(error).__name__, "text": text[:MOST_TEXT], "line": line}


def answer(names: dict[str, Any], request: dict[str, Any], path: str) -> dict[str, Any]:
    """The answer to one call."""
    function = names.get(request["call"])
    if not callable(function):
        return {"missing": request["call"]}
    try:
        return {"value": function(*request["arguments"])}
    except BaseException as error:  # SystemExit and KeyboardInterrupt of the file's own as well
        return told(error, path)


def launched(kernels: KernelFile, request: dict[str, Any], path: str) -> dict[str, Any]:
    """The answer to one launch."""
    kernel = request.pop("launch")
    try:
        return {"value": kernels.launch(kernel, **request)}
    except Exception as error:
        return told(error, path)
    finally:
        ctypes.CDLL(None).fflush(None)  # what the kernels printed


def build_here() -> None:
    """Kernels are compiled in this process's own folder, which ends with it."""
    os.environ["MINITORCH_CV_CACHE"] = os.path.join(os.getcwd(), "kernels")


def main(files: str) -> None:
    """Answers until there is nothing more to answer."""
    channel = Channel(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # what the file prints is no answer
    nothing, end = os.pipe()  # and nothing is to be read
    os.close(end)
    os.dup2(nothing, 0)
    names: dict[str, Any] = {}
    kernels: KernelFile | None = None
    path = ""
    channel.send({"value": "ready"})  # what goes wrong before is no fault of the file
    while True:
        request = channel.receive()
        if "load" in request:
            path = os.path.join(files, request["load"])
            try:
                if path.endswith(".cu"):
                    build_here()
                    kernels = KernelFile(path)
                else:
                    names = load(path, request["granted"])
                reply: dict[str, Any] = {"value": None}
            except BaseException as error:
                reply = told(error, path)
        elif kernels is not None:
            reply = launched(kernels, request, path)
        else:
            reply = answer(names, request, path)
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            channel.send(reply)
        except MessageError as error:
            channel.send({"unsendable": str(error)})


if __name__ == "__main__":
    main(sys.argv[1])
