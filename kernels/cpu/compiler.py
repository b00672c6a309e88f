"""From a kernel's Python to machine code, kept on disk: compiled once on a machine, loaded ever after.

`@kernel` marks a function of numbers and pointers. Numba turns it into LLVM's language, LLVM into object code, and that
goes into a file. The next process loads the file and does not even import Numba. What is compiled is called by its
address, so one kernel calls another (the micro-kernel above all) without containing it: no kernel is compiled twice
because of the sizes that it meets, and none is out of date, for a file's folder is named after a hash of the source of
all kernels, the versions of compiler and package, and the processor.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib.metadata
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from ..cache import trusted_folder
from .language import (
    ARRAYS,
    FORMAT,
    HELPERS,
    address,
    advanced,
    array_at,
    call_block,
    call_transform,
    multiply_add,
    number,
    power_of_two,
    rounded,
)
from .machine import machine

INT64 = ir.IntType(64)
BYTE_POINTER = ir.IntType(8).as_pointer()

_lock = threading.RLock()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Within it an interrupt waits: a package whose import was broken off cannot be imported again in this process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[tuple] = []
    before = signal.signal(signal.SIGINT, lambda *arguments: waiting.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if waiting and callable(before):
            before(*waiting[0])


@functools.cache
@_undisturbed()
def _numba() -> Any:
    """Numba, taught the vocabulary; imported only where something must be compiled."""
    import numba
    import numba.extending
    from numba.core import compiler, cpu, types
    from numba.core.registry import cpu_target
    from numba.extending import lower_builtin, type_callable

    wanted = machine()
    if wanted.name != llvm.get_host_cpu_name():  # narrower than the processor: Numba optimises for what it is told
        numba.config.CPU_NAME, numba.config.CPU_FEATURES = wanted.name, wanted.features  # pyright: ignore

    @type_callable(address)
    def _(context):
        return lambda pointer, index: types.int64

    @type_callable(advanced)
    def _(context):
        return lambda pointer, index: pointer

    @type_callable(array_at)
    def _(context):
        return lambda like, where: like

    @lower_builtin(array_at, types.CPointer, types.Integer)
    def _(context, builder, signature, arguments):
        return builder.inttoptr(arguments[1], arguments[0].type)

    @type_callable(number)
    def _(context):
        return lambda pointer, value: pointer.dtype

    @lower_builtin(address, types.CPointer, types.Integer)
    def _(context, builder, signature, arguments):
        start = builder.ptrtoint(arguments[0], INT64)
        size = context.get_abi_sizeof(context.get_data_type(signature.args[0].dtype))
        index = context.cast(builder, arguments[1], signature.args[1], types.int64)
        return builder.add(start, builder.mul(index, ir.Constant(INT64, size)))

    @lower_builtin(advanced, types.CPointer, types.Integer)
    def _(context, builder, signature, arguments):
        return builder.gep(arguments[0], [context.cast(builder, arguments[1], signature.args[1], types.int64)])

    @lower_builtin(number, types.CPointer, types.Number)
    def _(context, builder, signature, arguments):
        return context.cast(builder, arguments[1], signature.args[1], signature.return_type)

    @type_callable(rounded)
    def _(context):
        return lambda x: x

    @type_callable(multiply_add)
    def _(context):
        return lambda a, b, c: a

    @lower_builtin(multiply_add, types.Float, types.Float, types.Float)
    def _(context, builder, signature, arguments):
        kind = arguments[0].type
        name = f"llvm.fmuladd.{'f32' if signature.return_type == types.float32 else 'f64'}"
        known = builder.module.globals.get(name)
        function = known or ir.Function(builder.module, ir.FunctionType(kind, [kind] * 3), name)
        return builder.call(function, arguments)

    @type_callable(power_of_two)
    def _(context):
        return lambda x: x

    @lower_builtin(rounded, types.Float)
    def _(context, builder, signature, arguments):
        return builder.call(builder.module.declare_intrinsic("llvm.rint", [arguments[0].type]), arguments)

    @lower_builtin(power_of_two, types.Float)
    def _(context, builder, signature, arguments):
        # Its exponent, shifted to where a floating number keeps it. LLVM does this for a vector at a time.
        exponent = builder.fptosi(arguments[0], ir.IntType(32))
        if signature.return_type == types.float32:
            bits = builder.shl(builder.add(exponent, ir.IntType(32)(127)), ir.IntType(32)(23))
        else:
            bits = builder.shl(builder.add(builder.sext(exponent, INT64), INT64(1023)), INT64(52))
        return builder.bitcast(bits, arguments[0].type)

    def teach_call(name: Callable, count: int) -> None:
        parameters = ", ".join(f"n{i}" for i in range(count + 1))
        type_callable(name)(lambda context: eval(f"lambda {parameters}: void", {"void": types.void}))

        @lower_builtin(name, *[types.Integer] * (count + 1))
        def _(context, builder, signature, arguments):
            numbers = [
                context.cast(builder, value, kind, types.int64)
                for value, kind in zip(arguments, signature.args, strict=True)
            ]
            target = ir.FunctionType(ir.VoidType(), [INT64] * count)
            builder.call(builder.inttoptr(numbers[0], target.as_pointer()), numbers[1:])
            return context.get_dummy_value()

    teach_call(call_block, 17)
    teach_call(call_transform, 8)

    flags = compiler.Flags()
    flags.no_cpython_wrapper = flags.no_cfunc_wrapper = flags.noalias = True
    flags.error_model = "numpy"
    # Sums may be reordered so that they fill vectors; NaN and infinity keep their meaning.
    flags.fastmath = cpu.FastMathOptions({"contract", "reassoc", "nsz", "arcp"})

    def to_llvm(function: Any, kinds: list[str], dtype: str) -> tuple[str, str]:
        element = types.float32 if dtype == "float32" else types.float64
        of_kind = {
            "Pointer": types.CPointer(element),
            "Bytes": types.CPointer(types.int8),
            "Longs": types.CPointer(types.int64),
            "Doubles": types.CPointer(types.float64),
            "int": types.int64,
            "float": types.float64,
        }
        while HELPERS:  # those of the modules imported since the last compilation
            numba.extending.register_jitable(HELPERS.pop())
        parameters = (types.int64, types.int64, *(of_kind[kind] for kind in kinds))
        typing, target = cpu_target.typing_context, cpu_target.target_context
        typing.refresh()
        target.refresh()
        result = compiler.compile_extra(typing, target, function, parameters, types.void, flags, {})
        return result.library.get_llvm_str(), result.fndesc.llvm_func_name

    return to_llvm


def compile_python(function: Any, kinds: list[str], dtype: str, symbol: str) -> str:
    """LLVM's language for a kernel, with an entry `symbol(task, worker, arguments)` that unpacks its arguments."""
    text, name = _numba()(function, kinds, dtype)
    outer = llvm.parse_assembly(text)
    types_of = [str(a.type) for a in outer.get_function(name).arguments]
    module = ir.Module()
    entry = ir.Function(module, ir.FunctionType(ir.VoidType(), [INT64, INT64, INT64]), symbol)
    inner_type = ir.FunctionType(
        ir.IntType(32),
        [BYTE_POINTER] * 2 + [INT64] * 2 + [BYTE_POINTER if k in ARRAYS else _SLOT[k] for k in kinds],
    )
    if len(types_of) != len(inner_type.args):
        raise RuntimeError(f"kernel {symbol}: Numba calls functions differently here: {types_of}")
    inner = ir.Function(module, inner_type, name)
    builder = ir.IRBuilder(entry.append_basic_block())
    task, worker, arguments = entry.args
    values = []
    for i, kind in enumerate(kinds):
        slot = builder.add(arguments, ir.Constant(INT64, 8 * i))
        value = builder.load(builder.inttoptr(slot, _SLOT[kind].as_pointer()))
        values.append(builder.inttoptr(value, BYTE_POINTER) if kind in ARRAYS else value)
    nothing = [builder.alloca(BYTE_POINTER), builder.alloca(BYTE_POINTER)]
    nothing = [builder.bitcast(n, BYTE_POINTER) for n in nothing]
    builder.call(inner, [*nothing, task, worker, *values])
    builder.ret_void()
    outer.link_in(llvm.parse_assembly(str(module)))
    for defined in outer.functions:
        if not defined.is_declaration and defined.name != symbol:
            defined.linkage = llvm.Linkage.internal
    return str(outer)


_SLOT: dict[str, ir.Type] = {k: ir.DoubleType() if k == "float" else INT64 for k in FORMAT}


@functools.cache
def _target_machine() -> Any:
    chosen = machine()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=chosen.name, features=chosen.features, opt=3, jit=True)


@functools.cache
def _engine() -> Any:
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())


def _object_code(text: str) -> bytes:
    module = llvm.parse_assembly(text)
    module.verify()
    target = _target_machine()
    builder = llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options(speed_level=2))
    builder.getModulePassManager().run(module, builder)
    return target.emit_object(module)


def load(name: str, module: Callable[[str], str]) -> int:
    """The address of a piece of machine code, from disk, or else compiled of the LLVM module that `module` writes."""
    with _lock:
        symbol = "minitorch_cv." + name
        path = _folder() / f"{name}.o" if _folder() is not None else None  # pyright: ignore[reportOptionalOperand]
        code = _read(path)
        if code is None:
            with _announced(name):
                code = _object_code(module(symbol))
            _write(path, code)
        engine = _engine()
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        found = engine.get_function_address(symbol)
        if not found:
            raise RuntimeError(f"kernel {name}: the compiled code has no {symbol}")
        return found


# On disk.


def cache_folder() -> Path | None:
    """Where machine code is kept: $MINITORCH_CV_CACHE, else the user's cache; None where neither can be written."""
    return _folder()


@functools.cache
def _folder() -> Path | None:
    return trusted_folder("compiled", _fingerprint(), when_new=_forget_old)


def _forget_old(folder: Path) -> None:
    """Remove what other versions of this package wrote more than a month ago: folders named by a hash, nothing else."""
    for other in folder.parent.iterdir():
        if other != folder and re.fullmatch(r"[0-9a-f]{20}", other.name) and other.is_dir():
            files = list(other.iterdir())
            ours = all(file.suffix in (".o", ".part", ".json") and file.is_file() for file in files)
            if ours and all(time.time() - file.stat().st_mtime > 30 * 24 * 3600 for file in files):
                shutil.rmtree(other, ignore_errors=True)


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    versions = [importlib.metadata.version(package) for package in ("numba", "llvmlite")]
    settings = sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_"))
    digest.update(repr((versions, settings, llvm.llvm_version_info, llvm.get_default_triple(), machine())).encode())
    return digest.hexdigest()[:20]


def _read(path: Path | None) -> bytes | None:
    """The object code, unless the file is not there or not whole: its first 32 bytes are the hash of the rest."""
    if path is None:
        return None
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content[32:] if hashlib.sha256(content[32:]).digest() == content[:32] else None


def _write(path: Path | None, code: bytes) -> None:
    """Put the file there in one move, so that another process, or a crash, never meets half of it."""
    if path is None:
        return
    with contextlib.suppress(OSError):
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(code).digest() + code)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


class Announcements:
    """Who is told of a compilation: functions of its name, and of the seconds it took (None when it begins)."""

    listeners: list[Callable[[str, float | None], None]] = []
    told = False


@contextlib.contextmanager
def _announced(name: str):
    listeners = Announcements.listeners or [_tell]
    for listener in listeners:
        listener(name, None)
    start = time.perf_counter()
    yield
    for listener in listeners:
        listener(name, time.perf_counter() - start)


def _tell(name: str, seconds: float | None) -> None:
    """Say once in a process that kernels are compiled, and on a terminal which."""
    if not Announcements.told:
        Announcements.told = True
        where = "kept for the next time" if _folder() is not None else "not kept: no folder for them can be written"
        print(
            f"minitorch_cv compiles kernels for this processor as they are needed, a network's in about ten seconds "
            f"({where}); ahead: minitorch-cv warmup",
            file=sys.stderr,
        )
    if sys.stderr.isatty():
        text = f"  compiling {name} ..." if seconds is None else ""
        print(f"\r{text:<79}\r{text}", end="", file=sys.stderr, flush=True)


def native(address: int, *types: Any) -> Any:
    """The machine code at an address as a function of Python; it runs without Python's lock."""
    return ctypes.CFUNCTYPE(*types)(address)
