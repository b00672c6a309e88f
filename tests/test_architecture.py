"""The house's rules, held by reading every module's imports: which part may know which, and what is loaded when."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import minitorch_cv

PACKAGE = Path(minitorch_cv.__file__).resolve().parent
# In a checkout the kernels lie beside the package; installed from a wheel, inside it.
KERNELS = PACKAGE / "kernels" if (PACKAGE / "kernels").is_dir() else PACKAGE.parent / "kernels"

# Each part of the package, and the parts that it may import. The engine is every private module at the top.
MAY_IMPORT = {
    "engine": {"engine"},
    "ops": {"engine", "ops"},
    "kernels": {"engine", "ops", "kernels"},
    "nn": {"engine", "ops", "nn"},
    "optim": {"engine", "ops", "nn", "optim"},
    "viz": {"engine", "ops", "nn", "viz"},
    "checks": {"engine", "ops", "nn", "viz", "kernels", "checks"},
    "data": {"engine", "ops", "data"},
    "models": {"engine", "ops", "nn", "models"},
    "weights": {"engine", "nn", "weights"},
    "training": {"engine", "ops", "nn", "optim", "data", "viz", "training"},
    "course": {
        "engine",
        "ops",
        "nn",
        "optim",
        "viz",
        "checks",
        "data",
        "models",
        "weights",
        "training",
        "course",
        "kernels",
    },
    "root": {"engine", "ops", "nn", "optim", "viz", "checks", "data", "models", "weights", "training", "course"},
}
COMMAND_LINE = (
    "cli",
    "__main__",
    "_classify",
    "_course_command",
    "_doctor",
    "_judge",
    "_kernel_command",
    "_lessons",
    "_sample",
)
MAY_IMPORT["cli"] = MAY_IMPORT["root"] | {"kernels", "cli"}

# The table of faster bodies is plain data, and so may be read by the dispatcher.
MANIFEST_EDGE = ("minitorch_cv._op", "minitorch_cv.kernels.manifest")

HEAVY = (
    "numba",
    "llvmlite",
    "matplotlib",
    "cupy",
    "torch",
    "scipy",
    "rich",
    "pooch",
    "safetensors",
    "requests",
    "onnx",
    "PIL",
)


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for root, prefix in ((PACKAGE, "minitorch_cv"), (KERNELS, "minitorch_cv.kernels")):
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            if parts[0] == "lessons":
                continue
            found[".".join((prefix, *parts)).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def part_of(module: str) -> str:
    """The part of the house to which a module belongs."""
    names = module.split(".")
    if len(names) == 1:
        return "root"
    if names[1] in (
        "cli",
        "__main__",
        "_classify",
        "_doctor",
        "_judge",
        "_course_command",
        "_kernel_command",
        "_lessons",
        "_sample",
    ):
        return "cli"
    return "engine" if names[1].startswith("_") else names[1]


def imports_of(module: str) -> list[tuple[str, bool]]:
    """The package's own modules that `module` imports, each with whether it does so only inside a function."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = []

    def visit(node: ast.AST, inside_function: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend((alias.name, inside_function) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                if (base, alias.name) == ("minitorch_cv", "__version__"):
                    continue  # a fact about the whole, not a part of it
                whole = f"{base}.{alias.name}"
                found.append((whole if whole in MODULES else base, inside_function))
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        for child in ast.iter_child_nodes(node):
            visit(child, inside_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))

    visit(ast.parse(path.read_text(encoding="utf-8")), False)
    return [(name, lazy) for name, lazy in found if name.split(".")[0] == "minitorch_cv"]


def in_child(code: str, *options: str) -> dict:
    """What a fresh interpreter prints as JSON."""
    done = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("module", MODULES)
def test_arrows_run_one_way(module):
    part = part_of(module)
    wrong = {
        name
        for name, lazy in imports_of(module)
        if part_of(name) not in MAY_IMPORT[part] and (module, name) != MANIFEST_EDGE
    }
    assert not wrong, f"{module} ({part}) may not import {', '.join(sorted(wrong))}"


def test_permissions_are_used():
    assert (MANIFEST_EDGE[1], False) in imports_of(MANIFEST_EDGE[0])
    assert imports_of(MANIFEST_EDGE[1]) == []


def test_import_is_quick_and_light():
    code = f"""
import json, sys, time
import numpy                        # what NumPy itself takes is not ours to mend
start = time.process_time()         # not the clock on the wall: other processes may keep the machine busy
import minitorch_cv
seconds = time.process_time() - start
print(json.dumps({{"seconds": seconds, "heavy": [name for name in {HEAVY!r} if name in sys.modules]}}))
"""
    runs = [in_child(code) for _ in range(3)]
    assert runs[0]["heavy"] == []
    assert min(run["seconds"] for run in runs) < 0.5


def test_works_without_numba():
    code = """
import json, sys
import importlib.abc
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("numba", "llvmlite"):
            raise ModuleNotFoundError(f"{name} is blocked", name=name)
sys.meta_path.insert(0, Blocked())
import numpy as np
import minitorch_cv as mt
from minitorch_cv import ops
rng = np.random.default_rng(0)
x = mt.Tensor(rng.standard_normal((2, 3, 8, 8), dtype=np.float32), requires_grad=True)
w = mt.Tensor(rng.standard_normal((4, 3, 3, 3), dtype=np.float32), requires_grad=True)
y = ops.log_softmax(ops.relu(ops.conv2d(x, w, padding=1)), axis=1)
y.backward(rng.standard_normal(y.shape, dtype=np.float32))
print(json.dumps({"shape": y.shape, "finite": bool(np.isfinite(w.grad.numpy()).all() and w.grad.numpy().any())}))
"""
    assert in_child(code) == {"shape": [2, 4, 8, 8], "finite": True}


def test_a_module_never_bears_the_name_of_a_public_function():
    """Or the order of imports would decide whether `package.name` is the function or the module."""
    code = f"""
import importlib, inspect, json
def is_hidden(module):
    package, _, name = module.rpartition(".")
    parent = importlib.import_module(package)
    return name in getattr(parent, "__all__", dir(parent)) and not inspect.ismodule(getattr(parent, name))
print(json.dumps([module for module in {sorted(set(MODULES) - {"minitorch_cv"})!r} if is_hidden(module)]))
"""
    assert in_child(code) == []


def docstrings(module: str):
    """(name, docstring) of a module and everything defined in it."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            if text := ast.get_docstring(node):
                yield getattr(node, "name", module), text


def test_links_of_docstrings_lead_somewhere(checkout):
    """`Lesson:` and `Kernel:` lines name files of the checkout."""
    broken = []
    for module in MODULES:
        for name, text in docstrings(module):
            for line in text.splitlines():
                kind, _, targets = line.strip().partition(": ")
                if kind in ("Lesson", "Kernel"):
                    for target in targets.rstrip(".").split(", "):
                        if not (checkout / target.split()[0]).is_file():
                            broken.append(f"{module}.{name}: {line.strip()}")
    assert not broken


def test_what_belongs_together_bears_one_stem():
    """Every file of operations (not one of what several of them share) has its cases under its own stem."""
    public = ast.parse((PACKAGE / "ops" / "__init__.py").read_text(encoding="utf-8"))
    modules = [node.module for node in ast.walk(public) if isinstance(node, ast.ImportFrom) and node.level == 1]
    stems = {module.lstrip("_") for module in modules if module}
    cases = {path.stem for path in (PACKAGE / "checks" / "cases").glob("*.py") if path.stem != "__init__"}
    assert stems == cases, f"without cases: {sorted(stems - cases)}; without operations: {sorted(cases - stems)}"


def test_every_folder_of_modules_is_a_package():
    """A folder without __init__.py would be left out of the wheel without a word."""
    folders = {path.parent for path in MODULES.values()}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_files_are_opened_as_utf8():
    """Or Windows would read and write them in its own code page."""
    careless = []
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            keywords = {keyword.arg for keyword in node.keywords}
            modes = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            binary = any("b" in mode for mode in modes)
            if name in ("read_text", "write_text") and "encoding" not in keywords:
                careless.append(f"{module}:{node.lineno}")
            if name == "open" and isinstance(node.func, ast.Name) and not binary and "encoding" not in keywords:
                careless.append(f"{module}:{node.lineno}")
    assert not careless
