"""Mutants of an operation's backward: its source with one small change, as a body of its own.

Changed are the functions nested in the body that its backward is made of: the one that is returned, and those it refers
to. The forward stays as it is.
"""

from __future__ import annotations

import ast
import copy
import inspect
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_Function = ast.FunctionDef | ast.Lambda

_OPERATORS: dict[type, list[type]] = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div],
    ast.Div: [ast.Mult],
    ast.Pow: [ast.Mult],
    ast.FloorDiv: [ast.Mult],
    ast.Lt: [ast.LtE, ast.GtE],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
    ast.BitAnd: [ast.BitOr],
    ast.BitOr: [ast.BitAnd],
}
_COUSINS = {
    "sum": "mean",
    "mean": "sum",
    "maximum": "minimum",
    "minimum": "maximum",
    "zeros_like": "ones_like",
    "ones_like": "zeros_like",
    "sin": "cos",
    "cos": "sin",
    "any": "all",
    "all": "any",
}


@dataclass(frozen=True)
class Mutant:
    """One change: `change` reads "old -> new", with a number where the same change is made at several places."""

    operation: str
    change: str
    body: Callable


class NoBackward(Exception):
    """The backward of a body was not found in its source."""


def mutants(name: str, body: Callable) -> Iterator[Mutant]:
    """Every mutant of a body, in the order of its source.

    Raises NoBackward where the body's source has no return of a value and a function.
    """
    source = _source(body)
    seen: Counter[str] = Counter()
    for number, (node, context) in enumerate(_sites(source)):
        for variant, replacement in enumerate(_changes(node)):
            text = f"{_text(context)} -> {_text(_replaced(context, node, replacement))}"
            seen[text] += 1
            if seen[text] > 1:
                text += f" #{seen[text]}"
            yield Mutant(name, text, _compiled(source, number, variant, body))


def _source(body: Callable) -> ast.Module:
    """The body's definition, and after it those of its module's functions that make the backward which it returns."""
    definition = _definition(inspect.unwrap(body))
    functions = inspect.unwrap(body).__globals__
    makers: dict[str, ast.stmt] = {}
    for returned in _returned(definition):
        for node in ast.walk(returned):
            maker = (
                functions.get(node.func.id) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None
            )
            if inspect.isfunction(maker) and maker.__module__ == functions["__name__"] and not hasattr(maker, "body"):
                makers[maker.__name__] = _definition(maker)
    return ast.Module([definition, *makers.values()], [])


def _definition(function: Callable) -> ast.FunctionDef:
    definition = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    return definition


def _compiled(source: ast.Module, number: int, variant: int, body: Callable) -> Callable:
    """The body with the change made, in a copy of its module's namespace, where the makers are the changed ones."""
    source = copy.deepcopy(source)
    site, _ = _sites(source)[number]
    changed = _Replace(site, list(_changes(site))[variant]).visit(source)
    assert isinstance(changed, ast.Module)
    code = compile(ast.fix_missing_locations(changed), f"<mutant of {body.__name__}>", "exec")
    namespace = dict(inspect.unwrap(body).__globals__)
    public = namespace.get(body.__name__)
    exec(code, namespace)  # the project's own source, read from its own file
    mutant = namespace[body.__name__]
    namespace[body.__name__] = public
    return mutant


class _Replace(ast.NodeTransformer):
    def __init__(self, site: ast.AST, replacement: ast.AST) -> None:
        self.site, self.replacement = site, replacement

    def visit(self, node: ast.AST) -> ast.AST:
        return self.replacement if node is self.site else self.generic_visit(node)


def _replaced(context: ast.AST, site: ast.AST, replacement: ast.AST) -> ast.AST:
    """A copy of the context with the replacement in the place of the site."""
    number = next(i for i, node in enumerate(ast.walk(context)) if node is site)
    changed = copy.deepcopy(context)
    return _Replace(list(ast.walk(changed))[number], replacement).visit(changed)


# ---- where a change can be made


def _sites(source: ast.Module) -> list[tuple[ast.AST, ast.AST]]:
    """The nodes of the backward, in a fixed order, each once, with the expression in which it is best shown."""
    found: dict[int, tuple[ast.AST, ast.AST]] = {}

    def visit(node: ast.AST, context: ast.AST) -> None:
        if id(node) not in found:
            context = context if isinstance(node, _SHOWN_IN_CONTEXT) else node
            found[id(node)] = node, context
            for child in ast.iter_child_nodes(node):
                if not _is_isinstance(node):  # the order of its types means nothing
                    visit(child, context)

    for function in _backward_functions(source):
        for part in function.body if isinstance(function, ast.FunctionDef) else [function.body]:
            visit(part, part)
    return list(found.values())


def _is_isinstance(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance"


_SHOWN_IN_CONTEXT = (
    ast.Constant,
    ast.UnaryOp,
    ast.Slice,
    ast.Tuple,
    ast.keyword,
    ast.Name,
    ast.operator,
    ast.unaryop,
    ast.expr_context,
)


def _backward_functions(source: ast.Module) -> list[_Function]:
    """The returned backward, and the nested functions that it refers to, directly or not."""
    found: dict[int, _Function] = {}
    for definition in source.body:
        assert isinstance(definition, ast.FunctionDef)
        nested = _nested_functions(definition)
        pending = [f for expression in _returned(definition) for f in _referred(expression, nested)]
        while pending:
            function = pending.pop(0)
            if id(function) not in found:
                found[id(function)] = function
                pending += _referred(function, nested)
    if not found:
        raise NoBackward(f"{source.body[0].name}: its source returns no backward")  # pyright: ignore[reportAttributeAccessIssue]
    return list(found.values())


def _returned(definition: ast.FunctionDef) -> list[ast.expr]:
    """What a body returns beside its value, or the call that makes both; what a maker returns."""
    returned: list[ast.expr] = []
    for statement in _own_statements(definition):
        if isinstance(statement, ast.Return) and statement.value is not None:
            value = statement.value
            returned += value.elts[1:] if isinstance(value, ast.Tuple) else [value]
    return returned


def _nested_functions(definition: ast.FunctionDef) -> dict[str, list[_Function]]:
    """The functions defined in a function by their names; two of one name stand in two branches."""
    nested: dict[str, list[_Function]] = {}
    for node in ast.walk(definition):
        if isinstance(node, ast.FunctionDef) and node is not definition:
            nested.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    nested.setdefault(target.id, []).append(node.value)
    return nested


def _own_statements(definition: ast.FunctionDef) -> Iterator[ast.stmt]:
    """The statements of a function, without those of the functions in it."""
    stack: list[ast.AST] = list(definition.body)
    while stack:
        node = stack.pop(0)
        if isinstance(node, (ast.FunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.stmt):
            yield node
        stack += ast.iter_child_nodes(node)


def _referred(node: ast.AST, nested: dict[str, list[_Function]]) -> list[_Function]:
    named = [f for n in ast.walk(node) if isinstance(n, ast.Name) for f in nested.get(n.id, ())]
    return named + [n for n in ast.walk(node) if isinstance(n, ast.Lambda)]


# ---- what a change can be


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in the place of a node."""
    method = _CHANGES.get(type(node))
    if method is not None:
        yield from method(node)


def _of_binary(node: ast.BinOp) -> Iterator[ast.AST]:
    for other in _OPERATORS.get(type(node.op), ()):
        yield _with(node, op=other())
    yield node.left
    yield node.right


def _of_unary(node: ast.UnaryOp) -> Iterator[ast.AST]:
    yield node.operand


def _of_comparison(node: ast.Compare) -> Iterator[ast.AST]:
    if len(node.ops) == 1:
        for other in _OPERATORS.get(type(node.ops[0]), ()):
            yield _with(node, ops=[other()])


def _of_boolean(node: ast.BoolOp) -> Iterator[ast.AST]:
    yield _with(node, op=_OPERATORS[type(node.op)][0]())
    yield from node.values


def _of_constant(node: ast.Constant) -> Iterator[ast.AST]:
    if isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node.value, (int, float)):
        yield ast.Constant(node.value + 1)
        yield ast.Constant(node.value - 1)


def _of_choice(node: ast.IfExp) -> Iterator[ast.AST]:
    yield node.body
    yield node.orelse


def _of_if(node: ast.If) -> Iterator[ast.AST]:
    yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))


def _of_call(node: ast.Call) -> Iterator[ast.AST]:
    function, arguments = node.func, node.args
    plain = [a for a in arguments if not isinstance(a, ast.Starred)]
    if plain and plain == arguments:
        yield arguments[0]  # the function forgotten
    if isinstance(function, ast.Attribute):
        if not isinstance(function.value, ast.Name) or function.value.id != "xp":
            yield function.value  # the method forgotten
        if function.attr in _COUSINS:
            yield _with(node, func=_with(function, attr=_COUSINS[function.attr]))
    if len(plain) >= 2 and plain == arguments and ast.dump(arguments[0]) != ast.dump(arguments[1]):
        yield _with(node, args=[arguments[1], arguments[0], *arguments[2:]])
    for i in range(len(node.keywords)):
        yield _with(node, keywords=node.keywords[:i] + node.keywords[i + 1 :])


def _of_tuple(node: ast.Tuple) -> Iterator[ast.AST]:
    if isinstance(node.ctx, ast.Load) and len(node.elts) >= 2 and ast.dump(node.elts[0]) != ast.dump(node.elts[1]):
        yield _with(node, elts=[node.elts[1], node.elts[0], *node.elts[2:]])


def _of_slice(node: ast.Slice) -> Iterator[ast.AST]:
    for part in ("lower", "upper", "step"):
        if getattr(node, part) is not None:
            yield _with(node, **{part: None})


def _of_update(node: ast.AugAssign) -> Iterator[ast.AST]:
    for other in _OPERATORS.get(type(node.op), ()):
        yield _with(node, op=other())
    yield ast.Pass()


_CHANGES = {
    ast.BinOp: _of_binary,
    ast.UnaryOp: _of_unary,
    ast.Compare: _of_comparison,
    ast.BoolOp: _of_boolean,
    ast.Constant: _of_constant,
    ast.IfExp: _of_choice,
    ast.If: _of_if,
    ast.Call: _of_call,
    ast.Tuple: _of_tuple,
    ast.Slice: _of_slice,
    ast.AugAssign: _of_update,
}


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _text(node: ast.AST) -> str:
    """A node's source on one line; of a condition, its head."""
    if isinstance(node, ast.If):
        return f"if {ast.unparse(node.test)}"
    return " ".join(ast.unparse(node).split())
