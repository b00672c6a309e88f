"""What an exercise asks of the student's functions: values, gradients, derivations, and tests that find faults.

A check makes cases; a case asks one thing of a module, the student's (behind its process) or one of ours, and judges
the answer against the reference. Inputs are drawn by the exercise's own `draw(rng)`, a generator of tuples, from a
public seed for the student's command and from a secret one for grading.
"""

from __future__ import annotations

import inspect
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from minitorch_cv.course.answers import RELATIVE_TOLERANCE, difference

Draw = Callable[[np.random.Generator], Iterable[tuple]]


class Module(Protocol):
    """Something with the functions of an exercise."""

    def __getattr__(self, name: str) -> Any: ...


@dataclass(frozen=True)
class Verdict:
    """What became of one case: credit from 0 to 1, and why it is not 1.

    message: without the numbers that were expected, fit for a graded hand-in; detail: the same with them, for the
    student's own machine and the teacher; empty where there is no more to say.
    """

    credit: float
    message: str = ""
    detail: str = ""


class Case(Protocol):
    """One thing that is asked."""

    name: str

    def ask(self, module: Module) -> Any:
        """The module's answer."""
        ...

    def judge(self, answer: Any, student: Module | None) -> Verdict:
        """The answer, judged. The student's module, where it is given, may be asked again for a diagnosis."""
        ...

    def is_same(self, answer: Any, other: Any) -> bool:
        """Whether two answers are the same, so that they come of the same mistake."""
        ...


class Check(Protocol):
    """What one function has to do. function: its name; share: its weight among the checks of the exercise."""

    function: str
    share: float

    def cases(self, reference: Module, rng: np.random.Generator) -> Iterator[Case]:
        """The cases, drawn with `rng`."""
        ...


class _ComparedByValue:
    """Cases whose answers are the same where their values are."""

    def is_same(self, answer: Any, other: Any) -> bool:
        return not difference(answer, other)


def generator(seed: int, *about: str) -> np.random.Generator:
    """The generator for the inputs of a check: another for each seed, exercise and check."""
    return np.random.default_rng([seed, *(zlib.crc32(text.encode()) for text in about)])


def describe(function: Callable, arguments: Iterable[Any]) -> str:
    """Arguments in short, by the names that `function` gives them: arrays by their shapes."""
    names = inspect.signature(function).parameters
    parts = []
    for name, value in zip(names, arguments):
        text = str(value.shape) if isinstance(value, np.ndarray) and value.ndim else " ".join(repr(value).split())
        parts.append(f"{name} {text if len(text) <= 40 else text[:37] + '...'}")
    return ", ".join(parts)


@dataclass(eq=False)
class Values:
    """The function gives the reference's values. `draw(rng)` yields its arguments."""

    function: str
    draw: Draw
    share: float = 1.0
    tolerance: float = RELATIVE_TOLERANCE

    def cases(self, reference: Module, rng: np.random.Generator) -> Iterator[Case]:
        function = getattr(reference, self.function)
        for arguments in self.draw(rng):
            yield _ValueCase(describe(function, arguments), self, tuple(arguments), function)


@dataclass
class _ValueCase(_ComparedByValue):
    name: str
    check: Values
    arguments: tuple
    reference: Callable

    def ask(self, module: Module) -> Any:
        return getattr(module, self.check.function)(*_copied(self.arguments))

    def judge(self, answer: Any, student: Module | None) -> Verdict:
        problem = difference(answer, self.expected, self.check.tolerance)
        if not problem:
            return Verdict(1.0)
        beside = _beside(answer, self.expected)
        return Verdict(0.0, problem, f"{problem}\n{beside}" if beside else "")

    @cached_property
    def expected(self) -> Any:
        return self.reference(*_copied(self.arguments))


@dataclass(eq=False)
class Gradient:
    """The backward gives the gradients of a forward: `backward(dy, *inputs)`, dy random, for inputs that `draw` yields.

    of: the name of the forward, which the student is given. The gradients are the reference's own, which the tests hold
    to differences of the forward; a wrong one is diagnosed as by `minitorch_cv.check_gradient`.
    """

    function: str
    of: str
    draw: Draw
    share: float = 1.0
    tolerance: float = RELATIVE_TOLERANCE

    def cases(self, reference: Module, rng: np.random.Generator) -> Iterator[Case]:
        forward, backward = getattr(reference, self.of), getattr(reference, self.function)
        for inputs in self.draw(rng):
            y = np.asarray(forward(*_copied(inputs)))
            dy = rng.standard_normal(y.shape) + 0.1  # nothing hides in a mean of zero
            yield _GradientCase(
                describe(forward, inputs), self, tuple(inputs), dy if y.ndim else dy[()], forward, backward
            )


@dataclass
class _GradientCase(_ComparedByValue):
    name: str
    check: Gradient
    inputs: tuple
    dy: Any
    forward: Callable
    backward: Callable

    def ask(self, module: Module) -> Any:
        return getattr(module, self.check.function)(*_copied((self.dy, *self.inputs)))

    def judge(self, answer: Any, student: Module | None) -> Verdict:
        problem = _named(answer, difference(answer, self.expected, self.check.tolerance), self.forward)
        if not problem or student is None:
            return Verdict(0.0, problem) if problem else Verdict(1.0)
        diagnosis, detail = _diagnosis(self.forward, getattr(student, self.check.function), self.inputs)
        return Verdict(0.0, "\n".join([problem, *diagnosis]), detail)

    @cached_property
    def expected(self) -> Any:
        return self.backward(*_copied((self.dy, *self.inputs)))


@dataclass(eq=False)
class Derivation:
    """Every line of a derivation is right: `backward(dy, values)` gives a dict with the gradient of each value.

    steps: the name of the forward's steps in the module, a dict of functions; see `minitorch_cv.check_derivation`.
    """

    function: str
    steps: str
    draw: Draw
    share: float = 1.0

    def cases(self, reference: Module, rng: np.random.Generator) -> Iterator[Case]:
        steps = getattr(reference, self.steps)
        for inputs in self.draw(rng):
            seed = int(rng.integers(2**31))
            shapes = ", ".join(str(value.shape) if isinstance(value, np.ndarray) else repr(value) for value in inputs)
            yield _DerivationCase(shapes, self, tuple(inputs), steps, seed)


@dataclass
class _DerivationCase(_ComparedByValue):
    name: str
    check: Derivation
    inputs: tuple
    steps: Any
    seed: int

    def ask(self, module: Module) -> Any:
        values = {name: np.copy(v) if isinstance(v, np.ndarray) else v for name, v in self.derivation.values.items()}
        return getattr(module, self.check.function)(self.derivation.upstream.copy(), values)

    def judge(self, answer: Any, student: Module | None) -> Verdict:
        from minitorch_cv.checks import CheckError, check_derivation

        def backward(dy: Any, values: Any) -> Any:
            return answer

        try:
            report = check_derivation(self.steps, backward, self.inputs, seed=self.seed)
        except CheckError as error:
            return Verdict(0.0, str(error))
        missing = [name for name in self.derivation.differentiable if f"d{name}" not in report.lines]
        missing += [line for line, verdict in report.lines.items() if verdict == "not given"]
        if report and not missing:
            return Verdict(1.0)
        credit = sum(verdict == "right" for verdict in report.lines.values()) / (len(report.lines) or 1)
        told = [f"{line}: {verdict}" for line, verdict in report.lines.items()]
        reasons = [f"  {h.message}" for entry in report.at_fault() for h in entry.hypotheses]
        headline = f"the first wrong line is {report.first_wrong}" if report.first_wrong else "lines are missing"
        return Verdict(credit, "\n".join([headline, *reasons, ", ".join(told)]), report.text())

    @cached_property
    def derivation(self) -> Any:
        from minitorch_cv.checks.derivation_values import Derivation as DerivationValues
        from minitorch_cv.checks.forward_pass import forward_pass_of

        return DerivationValues(forward_pass_of(self.steps), self.inputs, self.seed)


@dataclass(eq=False)
class FindsFaults:
    """The student's test accepts what is right and rejects each planted fault.

    The test is called as `test(forward, backward)`, both callables over arrays; it says False, or raises
    AssertionError, for a backward that it finds wrong. faults: name -> the function that makes a wrong backward of the
    right one. Nothing is credited to a test that rejects the right backward.
    """

    function: str
    of: str
    backward: str
    faults: dict[str, Callable[[Callable], Callable]]
    share: float = 1.0

    def cases(self, reference: Module, rng: np.random.Generator) -> Iterator[Case]:
        forward, backward = getattr(reference, self.of), getattr(reference, self.backward)
        for name, fault in self.faults.items():
            yield _FaultCase(name, self, forward, backward, fault(backward))


@dataclass
class _FaultCase(_ComparedByValue):
    name: str
    check: FindsFaults
    forward: Callable
    right: Callable
    wrong: Callable

    def ask(self, module: Module) -> Any:
        test = getattr(module, self.check.function)
        return [self._accepts(test, self.right), self._accepts(test, self.wrong)]

    def _accepts(self, test: Callable, backward: Callable) -> bool:
        try:
            answer = test(self.forward, backward)
        except AssertionError:
            return False
        return answer is None or bool(answer)

    def judge(self, answer: Any, student: Module | None) -> Verdict:
        accepts_right, accepts_wrong = answer
        if not accepts_right:
            return Verdict(0.0, "it rejects a backward that is right")
        return Verdict(0.0, "it accepts a backward that is wrong") if accepts_wrong else Verdict(1.0)


def _copied(arguments: Iterable[Any]) -> list[Any]:
    return [value.copy() if isinstance(value, np.ndarray) else value for value in arguments]


def _beside(answer: Any, expected: Any) -> str:
    """What came and what was expected, where both are small enough to be read."""
    texts = [" ".join(repr(value).split()) for value in (answer, expected)]
    return f"given    {texts[0]}\nexpected {texts[1]}" if max(map(len, texts)) <= 300 else ""


def _named(answer: Any, problem: str, forward: Callable) -> str:
    """The gradients by the names of the forward's arguments, in place of their numbers in the tuple."""
    if isinstance(answer, (tuple, list)):
        for i, name in enumerate(inspect.signature(forward).parameters):
            problem = problem.replace(f"value {i}:", f"d{name}:")
    return problem


def _diagnosis(forward: Callable, backward: Callable, inputs: tuple) -> tuple[list[str], str]:
    """What the gradient check makes of the student's backward: explanations, and the whole report."""
    from minitorch_cv.checks import CheckError, check_gradient

    try:
        report = check_gradient(forward, backward, tuple(_copied(inputs)))
    except CheckError as error:
        return [], str(error)
    explained = [h.message for entry in report.inputs for h in itertools.islice(entry.hypotheses, 1)]
    return list(dict.fromkeys(explained)), "" if report else report.text()
