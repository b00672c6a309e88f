"""How a process in the sandbox ended, in a sentence for the student and one for the teacher."""

from __future__ import annotations

import re
import signal
from typing import NamedTuple

from .limits import Limits, in_bytes


class Ending(NamedTuple):
    """Why a process is over. `reason` is a key of `SENTENCES`."""

    reason: str
    student: str
    teacher: str


class Ended(Exception):
    """A process is over, or a limit was hit and it was killed; `ending` says which."""

    def __init__(self, ending: Ending):
        super().__init__(f"{ending.reason}: {ending.teacher}")
        self.ending = ending


# {detail} is what was seen; every other name is a limit, written for a reader.
SENTENCES = {
    "time": (
        "There was no answer within {detail}. Is there a loop without an end, or one over elements where NumPy works "
        "on whole arrays?",
        "No answer within {detail}; the process was killed.",
    ),
    "processor time": (
        "Your code used the {processor_seconds} of processor time that there are for all cases together. Is there a "
        "loop over elements where NumPy works on whole arrays?",
        "The process used its {processor_seconds} of processor time and was killed.",
    ),
    "memory": (
        "Your code asked for more memory than the {memory} that there are. Is an array larger than it should be?",
        "An allocation beyond the limit of {memory} failed{detail}.",
    ),
    "processes": (
        "Your code started other processes or threads. {processes} may run at a time, its own included: the exercise "
        "needs no other.",
        "No process or thread could be started beyond the limit of {processes}{detail}.",
    ),
    "file size": (
        "Your code wrote a file larger than {file_size}. The exercise needs no files.",
        "A file reached the limit of {file_size}{detail}.",
    ),
    "temporary folder": (
        "Your code filled its temporary folder, which holds {file_size}. The exercise needs no files.",
        "The temporary folder of {file_size} is full{detail}.",
    ),
    "open files": (
        "Your code holds too many files or sockets open. The exercise needs none.",
        "The limit of open files was reached{detail}.",
    ),
    "network": (
        "Your code tried to reach the network. There is none while hand-ins are graded.",
        "A socket was refused{detail}.",
    ),
    "output": (
        "Your code printed more than {output}. Is there a print inside of a loop?",
        "More than {output} were printed; the process was killed.",
    ),
    "answer too large": (
        "The answer to one case is larger than {answer}. Does the result have the shape that the exercise asks for?",
        "More than {answer} came in answer to one request; the process was killed.",
    ),
    "channel closed": (
        "Your code closed the files by which it is asked and answers. It may print, and needs to open or close "
        "nothing else.",
        "The process closed its end of the pipe and went on; it was killed.",
    ),
    "exit": (
        "Your code ended the Python process ({detail}) in place of returning. Is there an exit() or os._exit()?",
        "The process ended by itself, {detail}.",
    ),
    "signal": (
        "The Python process crashed ({detail}). Deep recursion does that, and memory used wrongly through ctypes.",
        "The process was ended by {detail}.",
    ),
    "killed": (
        "The process was killed. Mostly it used more memory than the machine has, or more processor time than the "
        "{processor_seconds} that there are.",
        "The process was ended by SIGKILL, and not by the sandbox: by itself, by the system when memory ran out, or at "
        "the hard limit of processor time after it had ignored SIGXCPU.",
    ),
    "closed": ("", "The process was closed when it was no longer needed."),
}
"""For each reason what the student reads, and what the teacher reads."""


def ending(reason: str, limits: Limits, detail: str = "") -> Ending:
    """The ending for a reason, with the limits written into its sentences."""
    numbers = {
        "processor_seconds": in_seconds(limits.processor_seconds),
        "memory": in_bytes(limits.memory),
        "processes": limits.processes,
        "file_size": in_bytes(limits.file_size),
        "output": in_bytes(limits.output),
        "answer": in_bytes(limits.answer),
    }
    student, teacher = (sentence.format(detail=detail, **numbers) for sentence in SENTENCES[reason])
    return Ending(reason, student, teacher)


def ending_by_status(status: int, limits: Limits, printed: str) -> Ending:
    """The ending of a process that was over by itself.

    `status` is its exit status, or the negative number of a signal. `printed` tells an uncaught MemoryError from
    other exits: it is the student's to forge, and so it chooses words and nothing else.
    """
    if -status == getattr(signal, "SIGXCPU", None):
        return ending("processor time", limits)
    if -status == getattr(signal, "SIGKILL", None):
        return ending("killed", limits)
    if status < 0:
        return ending("signal", limits, _name_of_signal(-status))
    last = printed.rstrip().rpartition("\n")[2]
    if status and (explained := explain(last, limits)):
        return explained
    # Windows tells crashes by statuses such as 0xC0000005.
    return ending("exit", limits, f"status {status}" if status < 256 else f"status 0x{status:08X}")


# What an exception says when a limit stood in the way, by the last line of its traceback.
_ERRORS = (
    ("memory", r"([\w.]*\b_?(Array)?MemoryError\b|OSError: \[Errno 12\])"),
    ("processes", r"BlockingIOError: \[Errno 11\]|RuntimeError: can't (start new|allocate lock)"),
    ("file size", r"OSError: \[Errno 27\]"),
    ("temporary folder", r"OSError: \[Errno 28\]"),
    ("open files", r"OSError: \[Errno 24\]"),
    # Under bubblewrap sockets are refused by 97; under limits alone there may be a network, or none (101).
    ("network", r"([\w.]*URLError: <urlopen error |[\w.]*gaierror: |OSError: )\[Errno (97|101|-2|-3)\]"),
)


def explain(error: str, limits: Limits) -> Ending | None:
    """The ending that an exception of the student's code amounts to, if a limit stood in its way.

    A limit on memory, processes or files ends nothing by itself: the code gets a MemoryError or an OSError. `error`
    is the last line of its traceback, "MemoryError: Unable to allocate 64. GiB"; None where no limit explains it.
    """
    for reason, pattern in _ERRORS:
        if re.match(pattern, error):
            return ending(reason, limits, f" ({error[:200]})")
    return None


def in_seconds(seconds: float) -> str:
    """A duration as a reader wants it."""
    return f"{seconds:.3g} s"


def _name_of_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
