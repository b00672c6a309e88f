"""How good is a gradient check? Faults planted in a right gradient are counted as it catches them or lets them pass."""

from __future__ import annotations

import functools
import html
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minitorch_cv.checks.faults import GENERIC, ArrayFault
from minitorch_cv.checks.report import CheckError

CAUGHT, MISSED, IMPOSSIBLE = "caught", "MISSED", "-"


@dataclass(frozen=True)
class Score:
    """What a check made of the planted faults. Truthy where it accepts the right gradient and catches every fault."""

    check: str
    gradients: list[str]
    outcome: dict[tuple[str, str], str] = field(repr=False)
    """(fault, gradient) -> ``"caught"``, ``"MISSED"`` or ``"-"`` (a fault that this gradient cannot have)."""
    refused: str | None = None
    """Why the check refused the right gradient; ``None`` where it accepted it."""

    @property
    def faults(self) -> list[str]:
        """The names of the faults, in the order in which they were planted."""
        return list(dict.fromkeys(fault for fault, _ in self.outcome))

    @property
    def caught(self) -> int:
        """How many planted faults the check caught."""
        return sum(outcome == CAUGHT for outcome in self.outcome.values())

    @property
    def planted(self) -> int:
        """How many faults were planted: each in every gradient that can have it."""
        return sum(outcome != IMPOSSIBLE for outcome in self.outcome.values())

    def __bool__(self) -> bool:
        return self.refused is None and self.caught == self.planted

    def headline(self) -> str:
        """The result in one sentence."""
        if self.refused is not None:
            return f"{self.check} refuses the right gradient ({self.refused}), so what it catches counts for nothing."
        return f"{self.check} catches {self.caught} of {self.planted} planted faults."

    def advice(self) -> list[str]:
        """What the faults that were missed say about the check."""
        missed = {fault for (fault, _), outcome in self.outcome.items() if outcome == MISSED}
        return [f"{fault}: {_ADVICE[fault]}" for fault in self.faults if fault in missed and fault in _ADVICE]

    def to_dict(self) -> dict[str, Any]:
        """The score in the types of JSON."""
        table = {f: {g: self.outcome[f, g] for g in self.gradients} for f in self.faults}
        counts = {"caught": self.caught, "planted": self.planted}
        return {"check": self.check, **counts, "refused": self.refused, "outcome": table}

    def __str__(self) -> str:
        width = max(len(name) for name in [*self.faults, "fault"])
        columns = [max(len(name), len(CAUGHT)) for name in self.gradients]
        rows = [("fault", self.gradients)] + [(f, [self.outcome[f, g] for g in self.gradients]) for f in self.faults]
        lines = [self.headline()]
        for name, cells in rows:
            row = "  ".join(cell.ljust(size) for cell, size in zip(cells, columns))
            lines.append(f"  {name.ljust(width)}  {row}".rstrip())
        return "\n".join(lines + [f"  {line}" for line in self.advice()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in ["fault", *self.gradients])
        rows = ""
        for fault in self.faults:
            cells = "".join(f"<td>{_HTML[self.outcome[fault, name]]}</td>" for name in self.gradients)
            rows += f"<tr><td>{html.escape(fault)}</td>{cells}</tr>"
        advice = "".join(f"<li>{html.escape(line)}</li>" for line in self.advice())
        return f"<p>{html.escape(self.headline())}</p><table><tr>{head}</tr>{rows}</table><ul>{advice}</ul>"


_HTML = {CAUGHT: "caught", MISSED: "<b>missed</b>", IMPOSSIBLE: "-"}

_ADVICE = {
    "zero": "does the check call backward, and compare with something that is not zero? With an upstream gradient of "
    "all ones the gradients of softmax and of batch norm are zero themselves: draw it at random.",
    "x1.01": "the tolerance is above 1 %. In float64 central differences agree to about 1e-8.",
    "sign": "does the check compare absolute values?",
    "transposed": "compare entry by entry, on inputs whose axes differ in length.",
    "rolled": "compare entry by entry: sums and norms do not see an index that is off by one.",
    "one entry dropped": "compare every entry: a few sampled ones let a single wrong one pass.",
    "overwritten": "compare every entry, with a tolerance that knows the gradient's scale.",
}


def score_check(
    check: Callable[..., Any],
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: Any,
    *,
    faults: Mapping[str, ArrayFault] = GENERIC,
) -> Score:
    """Plant faults in what a right ``backward`` returns and count those that ``check`` catches.

    ``check`` is yours. It is called as ``check(forward, backward, inputs)``, or with the first two or with ``backward``
    alone where it takes no more. It rejects a gradient by raising (an ``assert``, ``np.testing``) or by returning
    something false; it accepts it by returning something true, or nothing. ``backward`` may return one gradient,
    several in a tuple, list or dict, and take what it likes: it is only passed on, with one of its gradients wrong.

    >>> def check(forward, backward, inputs):
    ...     (x,) = inputs
    ...     numeric = (forward(x + 1e-5) - forward(x - 1e-5)) / 2e-5
    ...     return np.allclose(backward(np.ones_like(x), x), numeric, rtol=0.05)
    >>> score = score_check(check, np.sin, lambda dy, x: dy * np.cos(x), (np.linspace(0, 1, 5),))
    >>> print(score.headline())
    check catches 5 of 6 planted faults.

    Raises:
        CheckError: ``check`` is not callable with one to three arguments, never calls ``backward``, or ``backward``
            returns no array of floats.
    """
    call = _caller(check, forward, inputs)
    seen = _Recorder(backward)
    refused = _rejection(call, seen)
    name = getattr(check, "__name__", type(check).__name__)
    if not seen.calls:
        because = f" (it raised {refused})" if refused else ""
        raise CheckError(f"score_check: {name} never called backward{because}, so no fault can be planted")
    gradients = list(dict.fromkeys(key for call_gradients in seen.calls for key in call_gradients))
    if not gradients:
        raise CheckError("score_check: backward returned no array of floats, so there is nothing to plant a fault in")
    outcome = {}
    for fault_name, fault in faults.items():
        for key in gradients:
            if not _possible(fault, [call_gradients[key] for call_gradients in seen.calls if key in call_gradients]):
                outcome[fault_name, key] = IMPOSSIBLE
            else:
                wrong = _with_fault(backward, key, fault)
                outcome[fault_name, key] = MISSED if _rejection(call, wrong) is None else CAUGHT
    return Score(name, gradients, outcome, None if refused is None else str(refused))


def _possible(fault: ArrayFault, gradients: list[np.ndarray]) -> bool:
    """Whether gradients of these shapes can have the fault, whatever values the check happened to draw.

    A fault that changes nothing in the check's own values (rolled, under an upstream gradient of all ones) counts as
    planted and missed: other values would have shown it.
    """
    rng = np.random.default_rng(0)
    return any(fault(rng.standard_normal(gradient.shape).astype(gradient.dtype)) is not None for gradient in gradients)


def _caller(check: Callable[..., Any], forward: Callable[..., Any], inputs: Any) -> Callable[[Callable], Any]:
    """``check`` as a function of the backward alone, whether it takes one, two or three arguments."""
    try:
        parameters = inspect.signature(check).parameters.values()
    except (TypeError, ValueError):  # a built-in that does not say what it takes
        return lambda backward: check(forward, backward, inputs)
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if len(required) == 1 and not takes_any:
        return lambda backward: check(backward)
    if len(required) == 2 and not takes_any:
        return lambda backward: check(forward, backward)
    if len(required) == 3 or takes_any:
        return lambda backward: check(forward, backward, inputs)
    name = getattr(check, "__name__", "check")
    raise CheckError(
        f"score_check: check expects the arguments (forward, backward, inputs), (forward, backward) or (backward); "
        f"{name}{inspect.signature(check)} takes {len(required)}"
    )


def _rejection(call: Callable[[Callable], Any], backward: Callable[..., Any]) -> str | None:
    """Why the check rejects ``backward``, or ``None`` where it accepts it."""
    try:
        verdict = call(backward)
        accepted = verdict is None or bool(verdict)
    except Exception as error:  # a failed assertion, or a wrong gradient that broke the check: both catch it
        text = str(error).strip().splitlines()
        return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    return None if accepted else f"it returned {_short(verdict)}"


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def _named_gradients(returned: Any) -> Iterable[tuple[Any, Any]]:
    """(key, value) of each value that a backward returned; the key is ``None`` where it returned one array."""
    if isinstance(returned, Mapping):
        return list(returned.items())
    if isinstance(returned, (tuple, list)):
        return list(enumerate(returned))
    return [(None, returned)]


def _title(key: Any) -> str:
    if key is None:
        return "gradient"
    return f"gradient {key}" if isinstance(key, int) else str(key)


def _is_gradient(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.floating)) and np.issubdtype(value.dtype, np.floating)


class _Recorder:
    """The right backward, which keeps a copy of the gradients of every call."""

    def __init__(self, backward: Callable[..., Any]):
        functools.update_wrapper(self, backward)  # a check may look at the signature
        self.backward = backward
        self.calls: list[dict[str, np.ndarray]] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        returned = self.backward(*args, **kwargs)
        named = _named_gradients(returned)
        self.calls.append({_title(key): np.array(value) for key, value in named if _is_gradient(value)})
        return returned


def _with_fault(backward: Callable[..., Any], target: str, fault: ArrayFault) -> Callable[..., Any]:
    """``backward`` with the fault in the gradient named ``target``."""

    @functools.wraps(backward)
    def wrong(*args: Any, **kwargs: Any) -> Any:
        returned = backward(*args, **kwargs)
        planted = {}
        for key, value in _named_gradients(returned):
            faulty = fault(np.asarray(value)) if _title(key) == target and _is_gradient(value) else None
            planted[key] = value if faulty is None else faulty
        if isinstance(returned, Mapping):
            return planted
        if isinstance(returned, tuple) and hasattr(returned, "_fields"):  # a named tuple
            return type(returned)(*planted.values())
        return type(returned)(planted.values()) if isinstance(returned, (tuple, list)) else planted[None]

    return wrong
