"""What an exercise asks of the student's functions: values, properties, gradients, derivations, tests that find faults.

A check makes cases; a case asks one thing of a module, the student's (behind its process) or one of ours, and judges
the answer against the reference. Inputs are drawn by the exercise's own `draw(rng)`, a generator of tuples, from a
public seed for the student's command and from a secret one for grading.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from minitorch_cv.course.answers import RELATIVE_TOLERANCE, difference, is_same, kind
from minitorch_cv.course.limited_functions import LimitedFunction
from minitorch_cv.course.sandbox import Ended
from minitorch_cv.course.secret_term import SecretTerm
from minitorch_cv.course.student import Failed, StudentModule

if TYPE_CHECKING:
    from minitorch_cv.checks.derivation import DerivationReport

REJECTS_RIGHT = "it rejects one that is right, and so what it rejects counts for nothing"

LARGE_SECONDS = 3.0
"""For a large case: a derived gradient takes milliseconds, and differences of the forward take minutes."""

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

    def settled(self, verdicts: list[Verdict]) -> list[Verdict]:
        """The verdicts on all cases, seen together."""
        return verdicts


class _ComparedByValue:
    """Cases whose answers are the same where their values are."""

    def is_same(self, answer: Any, other: Any) -> bool:
        return is_same(answer, other)


def generator(seed: int, *about: str) -> np.random.Generator:
    """The generator for the inputs of a check: another for each seed, exercise and check."""
    return np.random.default_rng([seed, *(zlib.crc32(text.encode()) for text in about)])


def describe(function: Callable, arguments: Iterable[Any]) -> str:
    """Arguments in short, by the names that `function` gives them: arrays by their shapes."""
    names = inspect.signature(function).parameters
    parts = []
    for name, value in zip(names, arguments):
        if isinstance(value, np.ndarray) and value.ndim:
            text = str(value.shape)
        elif isinstance(value, (float, np.floating)):
            text = f"{value:.4g}"
        else:
            text = " ".join(repr(value).split())
        parts.append(f"{name} {text if len(text) <= 40 else text[:37] + '...'}")
    return ", ".join(parts)


@dataclass(eq=False)
class Values(Check):
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
class Property(Check):
    """The function gives an answer with a property, where more than one answer is right.

    `draw(rng)` yields its arguments; `problem(answer, *arguments)` says what is wrong with an answer, empty where
    nothing is. It may raise where the answer is not even of the right kind.
    """

    function: str
    draw: Draw
    problem: Callable[..., str]
    share: float = 1.0

    def cases(self, reference: Module, rng: np.random.Generator) -> Iterator[Case]:
        function = getattr(reference, self.function)
        for arguments in self.draw(rng):
            yield _PropertyCase(describe(function, arguments), self, tuple(arguments))


@dataclass
class _PropertyCase(_ComparedByValue):
    name: str
    check: Property
    arguments: tuple

    def ask(self, module: Module) -> Any:
        return getattr(module, self.check.function)(*_copied(self.arguments))

    def judge(self, answer: Any, student: Module | None) -> Verdict:
        try:
            problem = self.check.problem(answer, *_copied(self.arguments))
        except Exception:  # the answer is the student's and may be anything
            problem = f"expected another kind of answer; it is {kind(answer)}"
        return Verdict(0.0, problem) if problem else Verdict(1.0)


@dataclass(eq=False)
class Gradient(Check):
    """The backward gives the gradients of a forward: `backward(dy, *inputs)`, dy random, for inputs that `draw` yields.

    of: the name of the forward, which the student is given. Inputs that have no gradient here (a noise, a mask) stand
    last; the reference leaves theirs out. The gradients are the reference's own, which the tests hold to differences of
    the forward; a wrong one is diagnosed as by `minitorch_cv.check_gradient`. wrt: the names of the inputs whose
    gradients the backward returns, where these are not the first ones. large: draws the inputs of the last case, so
    many that differences of the forward do not get done; judged by the reference's gradients alone.
    """

    function: str
    of: str
    draw: Draw
    large: Draw
    share: float = 1.0
    tolerance: float = RELATIVE_TOLERANCE
    wrt: tuple[str, ...] | None = None

    def report(self, forward: Callable, backward: Callable, inputs: tuple, expected: Any, seed: int = 0) -> Any:
        """What `minitorch_cv.check_gradient` makes of a backward; expected: the right gradients.

        Raises CheckError where it cannot be checked.
        """
        from minitorch_cv.checks import check_gradient

        wrt = self.wrt or differentiated(forward, expected)

        @functools.wraps(backward)
        def named(*arguments: Any) -> Any:
            gradients = backward(*arguments)
            return dict(zip(wrt, gradients if isinstance(gradients, (tuple, list)) else (gradients,)))

        pair = forward, named if self.wrt else backward
        return check_gradient(*pair, tuple(_copied(inputs)), wrt=wrt, seed=seed)

    def cases(self, reference: Module, rng: np.random.Generator) -> Iterator[Case]:
        forward, backward = getattr(reference, self.of), getattr(reference, self.function)
        for kind_of_case, draw in ((_GradientCase, self.draw), (_LargeGradientCase, self.large)):
            for inputs in draw(rng):
                y = np.asarray(forward(*_copied(inputs)))
                dy = rng.standard_normal(y.shape) + 0.1  # nothing hides in a mean of zero
                name = describe(forward, inputs)
                yield kind_of_case(name, self, tuple(inputs), dy if y.ndim else dy[()], forward, backward)


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
        names = self.check.wrt or tuple(inspect.signature(self.forward).parameters)
        problem = _named(answer, difference(answer, self.expected, self.check.tolerance), names)
        if not problem or student is None:
            return Verdict(0.0, problem) if problem else Verdict(1.0)
        diagnosis, detail = _diagnosis(self, getattr(student, self.check.function))
        return Verdict(0.0, "\n".join([problem, *diagnosis]), detail)

    @cached_property
    def expected(self) -> Any:
        return self.backward(*_copied((self.dy, *self.inputs)))


class _LargeGradientCase(_GradientCase):
    """One that is not diagnosed, which would take differences."""

    def ask(self, module: Module) -> Any:
        return _asked_in_time(module, self.check.function, self.dy, self.inputs)

    def judge(self, answer: Any, student: Module | None) -> Verdict:
        return super().judge(answer, None)


@dataclass(eq=False)
class Derivation(Check):
    """Every line of a derivation is right: `backward(dy, values)` gives a dict with the gradient of each value.

    steps: the name of the forward's steps in the module, a dict of functions; see `minitorch_cv.check_derivation`. A
    line that follows rightly from a wrong one before it counts as right. large: as in `Gradient`; there every line is
    compared with the reference's.
    """

    function: str
    steps: str
    draw: Draw
    large: Draw
    share: float = 1.0

    def cases(self, reference: Module, rng: np.random.Generator) -> Iterator[Case]:
        steps, backward = getattr(reference, self.steps), getattr(reference, self.function)
        for kind_of_case, draw in ((_DerivationCase, self.draw), (_LargeDerivationCase, self.large)):
            for inputs in draw(rng):
                seed = int(rng.integers(2**31))
                shapes = ", ".join(str(v.shape) if isinstance(v, np.ndarray) else repr(v) for v in inputs)
                yield kind_of_case(shapes, self, tuple(inputs), steps, seed, backward)


@dataclass
class _DerivationCase(_ComparedByValue):
    name: str
    check: Derivation
    inputs: tuple
    steps: Any
    seed: int
    backward: Callable

    def ask(self, module: Module) -> Any:
        return getattr(module, self.check.function)(*self.arguments)

    @property
    def arguments(self) -> tuple:
        """dy and the values, copied."""
        values = {name: np.copy(v) if isinstance(v, np.ndarray) else v for name, v in self.derivation.values.items()}
        return self.derivation.upstream.copy(), values

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
        credit = sum(_is_earned(report, line) for line in report.lines) / (len(report.lines) or 1)
        told = [f"{line}: {verdict}" for line, verdict in report.lines.items()]
        reasons = [f"  {h.message}" for entry in report.at_fault() for h in entry.hypotheses]
        headline = f"the first wrong line is {report.first_wrong}" if report.first_wrong else "lines are missing"
        return Verdict(credit, "\n".join([headline, *reasons, ", ".join(told)]), report.text())

    @cached_property
    def derivation(self) -> Any:
        from minitorch_cv.checks.derivation_values import Derivation as DerivationValues
        from minitorch_cv.checks.forward_pass import forward_pass_of

        return DerivationValues(forward_pass_of(self.steps), self.inputs, self.seed)


class _LargeDerivationCase(_DerivationCase):
    """One whose lines are compared with the reference's: a line after a wrong one is wrong."""

    def ask(self, module: Module) -> Any:
        return _asked_in_time(module, self.check.function, *self.arguments)

    def judge(self, answer: Any, student: Module | None) -> Verdict:
        if not isinstance(answer, dict):
            return Verdict(0.0, f"expected a dict; it is {kind(answer)}")
        problems = {line: difference(answer.get(line), value) for line, value in self.expected.items()}
        wrong = [f"{line}: {problem}" for line, problem in problems.items() if problem]
        return Verdict(1 - len(wrong) / len(problems), "\n".join(wrong))

    @cached_property
    def expected(self) -> dict[str, Any]:
        return self.backward(*self.arguments)


@dataclass(eq=False)
class FindsFaults(Check):
    """The student's test accepts what is right and rejects each planted fault.

    The test is called as `test(forward, backward)`, both callables over arrays; it says False, or raises
    AssertionError, for a backward that it finds wrong. (A definition and a formula will do as well as those two.)
    faults: name -> the function that makes a wrong backward of the right one. For each fault the test is asked twice,
    of the fault and of the right backward, in an order that is drawn, and each time in a new process, so that it does
    not pay to count the calls or to remember what came. A test that rejects the right one anywhere earns nothing.
    secret_term: whether the functions are given with a `SecretTerm`, another each time: the outputs of a right backward
    that was seen once would be a test otherwise.
    """

    function: str
    of: str
    backward: str
    faults: dict[str, Callable[[Callable], Callable]]
    share: float = 1.0
    secret_term: bool = True

    def cases(self, reference: Module, rng: np.random.Generator) -> Iterator[Case]:
        for number, name in enumerate(self.faults, 1):
            order = ["", name] if rng.integers(2) else [name, ""]
            title = f"fault {number} of {len(self.faults)}"  # its name would be half of the answer
            yield _FaultCase(title, self, reference.__file__, [(fault, int(rng.integers(2**31))) for fault in order])

    def given(self, reference: Module, name: str, fault: str, seed: int) -> Callable[..., Any]:
        """What the test is given as its function `name`: right, or with a fault planted in it."""
        function = getattr(reference, name)
        function = self.faults[fault](function) if fault else function
        if not self.secret_term:
            return function
        term = SecretTerm(seed)
        return term.forward(function) if name == self.of else term.backward(function)

    def settled(self, verdicts: list[Verdict]) -> list[Verdict]:
        """Nothing is found by a test that rejects what is right."""
        if all(verdict.message != REJECTS_RIGHT for verdict in verdicts):
            return verdicts
        return [Verdict(0.0, REJECTS_RIGHT) if verdict.credit else verdict for verdict in verdicts]


@dataclass
class _FaultCase(_ComparedByValue):
    """order: of the two times that the test is asked, the fault, "" where there is none, and the secret term's seed."""

    name: str
    check: FindsFaults
    file: str
    order: list[tuple[str, int]]

    def ask(self, module: Module) -> Any:
        return [self._asked(module, fault, seed) for fault, seed in self.order]

    def _asked(self, module: Module, fault: str, seed: int) -> Any:
        check = self.check
        test = getattr(module.anew() if isinstance(module, StudentModule) else module, check.function)
        try:
            return test(
                LimitedFunction(self.file, check.function, check.of, "", seed),
                LimitedFunction(self.file, check.function, check.backward, fault, seed),
            )
        except AssertionError:
            return False
        except Failed as failure:
            if failure.kind != "AssertionError":
                raise
            return False

    def judge(self, answer: Any, student: Module | None) -> Verdict:
        for said in answer:
            if not isinstance(said, (bool, np.bool_, type(None))):
                return Verdict(0.0, f"expected True or False; it is {kind(said)}")
        accepted = {fault == "": said is None or bool(said) for said, (fault, _) in zip(answer, self.order)}
        if not accepted[True]:
            return Verdict(0.0, REJECTS_RIGHT)
        return Verdict(0.0, "it accepts one that is wrong") if accepted[False] else Verdict(1.0)


def _is_earned(report: DerivationReport, line: str) -> bool:
    """Whether a line counts: it is right, or follows rightly from a wrong one. From zeros zeros follow: no credit."""
    if report.lines[line] != "inherited":
        return report.lines[line] == "right"
    entry = next(entry for entry in report.inputs if entry.name == line)
    if entry.given is None or entry.expected is None or entry.hypotheses[0].kind != "inherited":
        return False
    return bool(np.linalg.norm(entry.given) > 1e-3 * np.linalg.norm(np.nan_to_num(entry.expected)))


def _asked_in_time(module: Module, function: str, dy: Any, inputs: Any) -> Any:
    """The answer to a large case. inputs: those of a gradient, or a derivation's values by name.

    Raises Ended with a message of its own where time runs out.
    """
    asked = getattr(module, function)
    arguments = (dy, inputs) if isinstance(inputs, dict) else _copied((dy, *inputs))
    if not isinstance(module, StudentModule):
        return asked(*arguments)
    try:
        return asked(*arguments, seconds=LARGE_SECONDS)
    except Ended as ended:
        if ended.ending.reason != "time":
            raise
        entries = sum(np.size(value) for value in (inputs.values() if isinstance(inputs, dict) else inputs))
        told = (
            f"this case is large: {LARGE_SECONDS:.0f} s were not enough for its {entries:,} entries. "
            "A derived gradient needs no differences of the forward. Is there a loop over entries?"
        )
        raise Ended(ended.ending._replace(student=told)) from None


def _copied(arguments: Iterable[Any]) -> list[Any]:
    return [value.copy() if isinstance(value, np.ndarray) else value for value in arguments]


def _beside(answer: Any, expected: Any) -> str:
    """What came and what was expected, where both are small enough to be read."""
    texts = [" ".join(repr(value).split()) for value in (answer, expected)]
    return f"given    {texts[0]}\nexpected {texts[1]}" if max(map(len, texts)) <= 300 else ""


def _named(answer: Any, problem: str, names: Iterable[str]) -> str:
    """The gradients by the names of the forward's arguments, in place of their numbers in the tuple."""
    if isinstance(answer, (tuple, list)):
        for i, name in enumerate(names):
            problem = problem.replace(f"value {i}:", f"d{name}:")
    return problem


def differentiated(forward: Callable, gradients: Any) -> list[str]:
    """The names of the inputs that these gradients belong to: the first ones."""
    count = len(gradients) if isinstance(gradients, (tuple, list)) else 1
    return list(inspect.signature(forward).parameters)[:count]


def _diagnosis(case: _GradientCase, backward: Callable) -> tuple[list[str], str]:
    """What the gradient check makes of the student's backward: explanations, and the whole report."""
    from minitorch_cv.checks import CheckError

    try:
        report = case.check.report(case.forward, backward, case.inputs, case.expected)
    except CheckError as error:
        return [], str(error)
    explained = [h.message for entry in report.inputs for h in itertools.islice(entry.hypotheses, 1)]
    report.notes = [note for note in report.notes if "wrt" not in note]  # nobody asked for those
    return list(dict.fromkeys(explained)), "" if report else report.text()
