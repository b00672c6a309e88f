"""The process in which a student's file is checked; `student.py` starts it.

Asked by ``job.json`` (and ``cases.npz``) in a folder, it answers there by ``result.json`` and, if asked, a figure.
``stack.txt`` tells where the file was when its time ran out or the process died.
"""

from __future__ import annotations

import difflib
import faulthandler
import inspect
import itertools
import json
import os
import sys
import tokenize
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run by its path: the folder of this file must not shadow the standard library
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np

from minitorch_cv.checks.derivation import check_derivation
from minitorch_cv.checks.location import describe_exception, hidden_module
from minitorch_cv.checks.plain import check_gradient
from minitorch_cv.checks.report import CheckError, Report

MOST_CASES = 100
"""At most so many cases of one function are tried: a generator may be endless."""

TEMPLATE = """
    def cases(rng):
        yield rng.standard_normal((2, 3, 8, 8)), rng.standard_normal((4, 3, 3, 3))"""


class Pair:
    """A forward (or the steps of a derivation) and its backward, as they stand in a file.

    cases: the function that draws the inputs, or one case itself, or None.
    """

    def __init__(self, forward: Any, backward: Callable, names: tuple[str, str], cases: Any):
        self.forward, self.backward, self.names, self.cases = forward, backward, names, cases

    @property
    def is_derivation(self) -> bool:
        """Whether every line is checked: the forward is given in steps, or names its values through ``node``."""
        return not callable(self.forward) or "node" in _parameters(self.forward)

    def check(self, inputs: Any, seed: int) -> Report:
        """Check the pair on one tuple or dict of inputs."""
        check = check_derivation if self.is_derivation else check_gradient
        return check(self.forward, self.backward, inputs, seed=seed)


def run_job(folder: Path) -> dict[str, Any]:
    """Check the file that the job names: exit code, message, and one entry for each pair and case."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    path = Path(job["path"])
    given_cases = None if job["cases"] is None else decode(job["cases"], folder / "cases.npz")
    try:
        pairs = find_pairs(load(path), path.name)
        checks = []
        for pair in pairs:
            checks += check_pair(pair, path, job, given_cases, folder)
    except Exception as error:
        return {"exit_code": 2, "message": _message(error, path), "checks": []}
    wrong, failed = (any(check["verdict"] == verdict for check in checks) for verdict in ("wrong", "failed"))
    message = next((check["problem"] for check in checks if check.get("problem")), "")
    return {"exit_code": 1 if wrong else 2 if failed else 0, "message": message, "checks": checks}


def _message(error: Exception, path: Path) -> str:
    """What to tell of an exception, and whether a file's name is its cause."""
    text = str(error) if isinstance(error, CheckError) else f"{path.name}: {describe_exception(error)}"
    hint = hidden_module(error, path.parent, checked=path)
    return f"{text}\n{hint}" if hint else text


def load(path: Path) -> dict[str, Any]:
    """Run the file as a module and return its names. Nothing is written beside it."""
    module = types.ModuleType("student_file")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    sys.path.insert(0, str(path.parent))  # its own imports come first, as when it runs as a script
    try:
        with tokenize.open(path) as file:
            source = file.read()
        exec(compile(source, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise CheckError(f"{path.name}: could not be read: {describe_exception(error)}") from error
    finally:
        sys.path.remove(str(path.parent))
        sys.path.append(str(path.parent))  # what the check imports later comes before the file's neighbours
    return module.__dict__


def find_pairs(names: Mapping[str, Any], file: str) -> list[Pair]:
    """``forward`` and ``backward``, ``conv_forward`` and ``conv_backward``, ``steps`` and ``backward``, in order."""
    pairs = []
    for name, forward in names.items():
        for word in ("forward", "steps"):
            if name == word:
                stem, partner = "", "backward"
            elif name.endswith(f"_{word}"):
                stem = name[: -len(word) - 1]
                partner = f"{stem}_backward"
            elif name.startswith(f"{word}_"):
                stem = name[len(word) + 1 :]
                partner = f"backward_{stem}"
            else:
                continue
            if word == "forward" and not callable(forward):
                continue
            if not callable(names.get(partner)):
                close = difflib.get_close_matches(
                    partner, [n for n in names if n != name and callable(names[n])], 1, 0.75
                )
                hint = f"; is {close[0]} meant to be it?" if close else ""
                raise CheckError(f"{file}: {name} expects a function {partner} beside it; there is none{hint}")
            pairs.append(Pair(forward, names[partner], (name, partner), _cases_of(names, stem)))
    if not pairs:
        raise CheckError(f"{file}: expects functions forward(x, ...) and backward(dy, x, ...); it has no forward")
    return pairs


def _cases_of(names: Mapping[str, Any], stem: str) -> Any:
    """The function ``cases`` that belongs to a pair, or its ``inputs``; those that bear its name come first."""
    for own in ([f"{stem}_{{}}", f"{{}}_{stem}"] if stem else []) + ["{}"]:
        if callable(function := names.get(own.format("cases"))):
            return function
        if isinstance(inputs := names.get(own.format("inputs")), (tuple, list, Mapping, np.ndarray)):
            return inputs
    return None


def check_pair(
    pair: Pair, path: Path, job: Mapping[str, Any], given_cases: list | None, folder: Path
) -> Iterator[dict[str, Any]]:
    """Check a pair on every case; the first case that cannot be checked is the last."""
    cases = given_cases if given_cases is not None else draw_cases(pair, path.name, job["shapes"], job["seed"])
    for number, inputs in enumerate(cases, 1):
        entry = {"functions": list(pair.names), "case": number, "inputs": describe_inputs(inputs)}
        try:
            report = pair.check(inputs, job["seed"])
        except CheckError as error:
            yield {**entry, "verdict": "failed", "text": _message(error, path)}
            return
        yield {
            **entry,
            "verdict": "right" if report else "wrong",
            "text": report.text(),
            "html": report._repr_html_(),
            "report": report.to_dict(),
            "problem": _save_figure(report, job["plot"], folder),
        }


def draw_cases(pair: Pair, file: str, shapes: list | None, seed: int) -> list[Any]:
    """The inputs of every case: random arrays of the given shapes, or the file's ``cases(rng)`` or ``inputs``."""
    rng = np.random.default_rng(seed)
    if shapes is not None:
        return [tuple(rng.standard_normal(shape) for shape in shapes)]
    function = pair.cases
    if function is None:
        raise CheckError(
            f"{file}: there is nothing to check {pair.names[0]} on. Give the shapes of its inputs, as in "
            f"--shapes 2,3,8,8 4,3,3,3, or add to the file:\n{TEMPLATE}\n\nor one case: inputs = (x, weight)"
        )
    if not callable(function):
        return [(function,) if isinstance(function, np.ndarray) else function]
    name = function.__name__
    try:
        produced = function(rng) if _parameters(function) else function()
        if not isinstance(produced, Iterable):
            raise CheckError(f"{file}: {name}(rng) expects to yield tuples of inputs; it returned {produced!r}")
        cases = [produced] if _is_one_case(produced) else list(itertools.islice(produced, MOST_CASES))
    except CheckError:
        raise
    except Exception as error:
        raise CheckError(f"{file}: {name}(rng) raised {describe_exception(error)}") from error
    if not cases:
        raise CheckError(f"{file}: {name}(rng) expects to yield tuples of inputs; it yielded none")
    for number, case in enumerate(cases, 1):
        if not isinstance(case, (tuple, list, Mapping, np.ndarray)):
            raise CheckError(
                f"{file}: {name}(rng) expects to yield tuples of inputs; case {number} is a {type(case).__name__}"
            )
    return [(case,) if isinstance(case, np.ndarray) else case for case in cases]


def _is_one_case(produced: Any) -> bool:
    """Whether ``cases`` returned one case itself: ``return x, weight`` in place of ``yield x, weight``."""
    if isinstance(produced, (Mapping, np.ndarray)):
        return True
    return isinstance(produced, (tuple, list)) and any(
        isinstance(value, (np.ndarray, np.generic)) for value in produced
    )


def describe_inputs(inputs: Any) -> str:
    """The inputs in short: arrays by their shapes."""
    named = inputs.items() if isinstance(inputs, Mapping) else ((None, value) for value in inputs)
    parts = []
    for name, value in named:
        text = str(value.shape) if isinstance(value, np.ndarray) else repr(value)
        text = text if len(text) <= 30 else text[:27] + "..."
        parts.append(text if name is None else f"{name} {text}")
    return ", ".join(parts)


def _save_figure(report: Report, suffix: str | None, folder: Path) -> str:
    """Save the figure of the first report that is wrong, or of the first at all; what went wrong, or nothing."""
    if suffix is None:
        return ""
    target = folder / f"figure{suffix}"
    marker = folder / "figure-is-of-a-wrong-gradient"
    if target.exists() and (report or marker.exists()):
        return ""
    try:
        report.plot().savefig(target, dpi=150, bbox_inches="tight")
    except Exception as error:  # the verdict stands without its figure
        return f"The figure could not be made: {describe_exception(error)}"
    if not report:
        marker.touch()
    return ""


def _parameters(function: Callable) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # a built-in that does not say what it takes
        return ["rng"]


def encode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """A case in the types of JSON; its arrays are put aside under the names that the result holds.

    Raises:
        TypeError: a value that is neither an array, a number, a string, ``None`` nor a tuple, list or dict of such.
    """
    if isinstance(value, (np.ndarray, np.generic)) and not value.dtype.hasobject:
        key = f"array{len(arrays)}"
        arrays[key] = np.asarray(value)
        return {"array": key}
    if isinstance(value, Mapping):
        return {"dict": [[encode(key, arrays), encode(entry, arrays)] for key, entry in value.items()]}
    if isinstance(value, (tuple, list)):
        return {type(value).__name__ if type(value) is list else "tuple": [encode(entry, arrays) for entry in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    raise TypeError(
        f"check_file: cases expects arrays, numbers, strings and tuples, lists or dicts of them; it is {value!r}"
    )


def decode(encoded: Any, archive: Path) -> Any:
    """What `encode` was given. Arrays of objects are refused."""
    with np.load(archive, allow_pickle=False) as arrays:
        return _decoded(encoded, arrays)


def _decoded(encoded: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    ((kind, content),) = encoded.items()
    if kind == "array":
        return arrays[content]
    if kind == "dict":
        return {_decoded(key, arrays): _decoded(value, arrays) for key, value in content}
    if kind in ("tuple", "list"):
        values = [_decoded(value, arrays) for value in content]
        return tuple(values) if kind == "tuple" else values
    return content


def main(folder: Path) -> None:
    """Do the job in the folder, under its time limit."""
    limit = json.loads((folder / "job.json").read_text(encoding="utf-8"))["timeout"]
    with open(folder / "stack.txt", "w", encoding="utf-8") as stack:
        faulthandler.enable(stack)
        faulthandler.dump_traceback_later(limit, exit=True, file=stack)
        try:
            result = run_job(folder)
        except BaseException as error:  # such as SystemExit in the student's function
            result = {"exit_code": 2, "message": describe_exception(error), "checks": []}
        faulthandler.cancel_dump_traceback_later()
        faulthandler.disable()
    (folder / "result.tmp").write_text(json.dumps(result), encoding="utf-8")
    os.replace(folder / "result.tmp", folder / "result.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
