"""A student's module as the judge sees it: functions that are run in a process of their own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from minitorch_cv.course.limited_functions import LimitedFunction, NotCalled
from minitorch_cv.course.runner.message import MessageError, pack, unpack

MOST_TEXT = 2_000
"""Characters of what an exception says. The process keeps to it; code in it may not."""


MOST_CALLS = 20_000
"""Of our functions, in one answer."""


class Pipe(Protocol):
    """The process, seen as two streams of bytes."""

    def write(self, data: bytes, continues: bool = False) -> None: ...

    def read(self, count: int, seconds: float | None = None) -> bytes: ...


class Failed(Exception):
    """The student's code raised. kind: the exception's name; line: that of the student's file, or None."""

    def __init__(self, kind: str, text: str, line: int | None):
        self.kind, self.text, self.line = kind, text, line
        where = f" (line {line})" if line else ""
        super().__init__(f"{kind}: {text}{where}" if text else f"{kind}{where}")

    @property
    def is_stub(self) -> bool:
        """Whether the function still stands as it was handed out."""
        return self.kind == "NotImplementedError"


class Missing(Exception):
    """There is no answer: the student's file has no such function, or it returns what no answer may hold."""


class Conversation:
    """Requests to the process, each with its answer.

    Raises, at every request: Failed, for an exception in the student's code; Missing; MessageError, for an answer that
    is none; and whatever the pipe raises where the process has ended.
    """

    def __init__(self, pipe: Pipe):
        self._pipe = pipe

    def ask(self, request: dict[str, Any], seconds: float | None = None) -> Any:
        """The answer to a request. seconds: in which it must come, if not in those that the process was given."""
        functions: list[LimitedFunction] = []
        self._pipe.write(pack(request, functions))
        return self.answer(functions, seconds)

    def answer(self, functions: Sequence[LimitedFunction] = (), seconds: float | None = None) -> Any:
        """The next answer. functions: those of ours that the process may call before it answers."""
        for _ in range(MOST_CALLS):
            answer = unpack(lambda count: self._pipe.read(count, seconds))
            if not isinstance(answer, dict):
                raise MessageError("an answer came that is no answer")
            if "callback" in answer:
                self._pipe.write(pack(_called(functions, answer)), continues=True)
            elif "missing" in answer:
                raise Missing(f"expected a function {str(answer['missing'])[:100]}; the file has none")
            elif "unsendable" in answer:
                raise Missing(f"it returned what cannot be judged: {str(answer['unsendable'])[:MOST_TEXT]}")
            elif "raised" in answer:
                line = answer.get("line")
                kind, text = (str(answer.get(key, ""))[:MOST_TEXT] for key in ("raised", "text"))
                raise Failed(kind, text, line if type(line) is int else None)
            elif "value" in answer:
                return answer["value"]
            else:
                raise MessageError("an answer came that is no answer")
        raise MessageError(f"it calls the functions that it is given more than {MOST_CALLS:,} times")


class StudentModule:
    """The functions of a student's file. Each call goes to the process and waits for the answer.

    Raises, at every call, what `Conversation` does.
    """

    def __init__(self, pipe: Pipe, reference: Any, anew: Callable[[], StudentModule]):
        self._conversation, self._reference = Conversation(pipe), reference
        self.anew = anew
        """The same functions in a new process, which remembers nothing; this one ends."""

    def begin(self) -> None:
        """Waits until the process is ready to load a file: an ending before is no fault of the student's."""
        self._conversation.answer()

    def load(self, file: str, granted: Sequence[str]) -> None:
        """Runs the file, which may import what is granted."""
        self._conversation.ask({"load": file, "granted": list(granted)})

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*arguments: Any, seconds: float | None = None) -> Any:
            return self._conversation.ask({"call": name, "arguments": list(arguments)}, seconds)

        call.__name__ = call.__qualname__ = name
        if callable(own := getattr(self._reference, name, None)):
            call.__signature__ = inspect.signature(own)  # type: ignore[attr-defined]
        return call


def _called(functions: Sequence[LimitedFunction], answer: dict[str, Any]) -> dict[str, Any]:
    """A function of ours, called for the student's code."""
    number, arguments, named = answer["callback"], answer.get("arguments", ()), answer.get("named", {})
    is_one = isinstance(number, int) and 0 <= number < len(functions)
    if not is_one or not isinstance(arguments, (tuple, list)) or not isinstance(named, dict):
        return {"raised": "there is no such function"}
    try:
        return {"value": functions[number].apart(tuple(arguments), named)}
    except NotCalled as reason:
        return {"raised": str(reason)}
