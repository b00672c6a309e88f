r"""The micro-kernel: one block of a matrix product, held in the processor's registers.

    out[r, j] = start[r, j] + \sum_k a[r, k] b[k, j]        r = 0..R-1 rows,  j = 0..J-1 vectors

                 b: J vectors of one k            Every number of the block is summed in a register. For each k, J
                 +------+------+                  vectors of b are loaded once and serve R rows; each number of a is
       a         |  b0  |  b1  |                  loaded once, spread over a vector, and serves J vectors: R J fused
    +-----+      +------+------+                  multiply-adds for R + J loads. With 32 registers of 16 numbers
    | a0k | ---> | acc  | acc  |                  (AVX-512) a block of 14 x 2 leaves two for b and two for a; 28
    | a1k | ---> | acc  | acc  |   R rows         independent sums hide the four cycles that each addition takes.
    | ... |      | ...  | ...  |                  Measured: 98 to 101 % of the peak of a core (of 118 Gflop/s).
    +-----+      +------+------+

k runs over three nested loops with strides of their own, so that the same code sums over a window's rows, its columns
and its channels where they lie (convolution), over tiles (Winograd), or over one axis (a matrix product): nothing is
copied into columns first. `start` is zero, the sums so far, or a bias (whose row stride is 0).

It is written here in LLVM's language, because no loop of Python tells a compiler to keep R J sums in registers; LLVM
then chooses the instructions: AVX-512, AVX2, NEON, or plain multiplication and addition.
"""

from __future__ import annotations

import functools

from llvmlite import ir

from .compiler import INT64, load
from .machine import machine

PARAMETERS = (
    *("a", "a_outer", "a_middle", "a_inner", "a_row"),
    *("b", "b_outer", "b_middle", "b_inner"),
    *("outer", "middle", "inner"),
    *("out", "out_row", "start", "start_row", "last_lanes"),
)
"""What the machine code takes, all whole numbers: addresses, strides in bytes, and how often each loop runs (at least
once). `last_lanes` says how many numbers of the last vector there are, in the code for ragged blocks."""


@functools.cache
def block(rows: int, vectors: int, itemsize: int, ragged: bool = False) -> int:
    """The address of the code for a block; `ragged` where the last vector is not a whole one."""
    lanes = machine().lanes(itemsize)
    name = f"microkernel.{rows}x{vectors}x{lanes}{'_ragged' if ragged else ''}.float{8 * itemsize}"
    return load(name, functools.partial(_module, rows, vectors, itemsize, ragged))


def _module(rows: int, vectors: int, itemsize: int, ragged: bool, symbol: str) -> str:
    module = ir.Module()
    entry = ir.Function(module, ir.FunctionType(ir.VoidType(), [INT64] * len(PARAMETERS)), symbol)
    given = dict(zip(PARAMETERS, entry.args, strict=True))
    number = ir.FloatType() if itemsize == 4 else ir.DoubleType()
    lanes = machine().lanes(itemsize)
    vector = ir.VectorType(number, lanes)
    build = ir.IRBuilder(entry.append_basic_block("entry"))
    multiply_add = ir.Function(module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{lanes}f{8 * itemsize}")
    nothing = ir.Constant(vector, [0.0] * lanes)
    undefined = ir.Constant(vector, ir.Undefined)
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    flag = ir.VectorType(ir.IntType(1), lanes)

    def spread(value, kind):
        start = build.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        return build.shuffle_vector(start, ir.Constant(kind, ir.Undefined), everywhere)

    def offset(start, count, stride):
        return start if count == 0 else build.add(start, build.mul(stride, ir.Constant(INT64, count)))

    if ragged:
        counts = ir.VectorType(INT64, lanes)
        valid = build.icmp_signed("<", ir.Constant(counts, list(range(lanes))), spread(given["last_lanes"], counts))
        pointer = vector.as_pointer()
        masked_load = ir.Function(
            module,
            ir.FunctionType(vector, [pointer, ir.IntType(32), flag, vector]),
            f"llvm.masked.load.v{lanes}f{8 * itemsize}.p0",
        )
        masked_store = ir.Function(
            module,
            ir.FunctionType(ir.VoidType(), [vector, pointer, ir.IntType(32), flag]),
            f"llvm.masked.store.v{lanes}f{8 * itemsize}.p0",
        )
    alignment = ir.Constant(ir.IntType(32), itemsize)

    def at(address, j):
        place = build.add(address, ir.Constant(INT64, j * lanes * itemsize)) if j else address
        return build.inttoptr(place, vector.as_pointer())

    def get(address, j):
        if ragged and j == vectors - 1:
            return build.call(masked_load, [at(address, j), alignment, valid, nothing])
        return build.load(at(address, j), align=itemsize)

    def put(value, address, j):
        if ragged and j == vectors - 1:
            build.call(masked_store, [value, at(address, j), alignment, valid])
        else:
            build.store(value, at(address, j), align=itemsize)

    # The start: read where there is one, else zero.
    read, ready = entry.append_basic_block("read"), entry.append_basic_block("ready")
    before = build.block
    build.cbranch(build.icmp_signed("!=", given["start"], ir.Constant(INT64, 0)), read, ready)
    build.position_at_end(read)
    places = [offset(given["start"], r, given["start_row"]) for r in range(rows)]
    starts = [[get(place, j) for j in range(vectors)] for place in places]
    build.branch(ready)
    build.position_at_end(ready)
    sums = []
    for r in range(rows):
        for j in range(vectors):
            phi = build.phi(vector)
            phi.add_incoming(nothing, before)
            phi.add_incoming(starts[r][j], read)
            sums.append(phi)
    row_offsets = [offset(ir.Constant(INT64, 0), r, given["a_row"]) for r in range(rows)]

    def step(a, b, sums):
        bs = [get(b, j) for j in range(vectors)]
        result = []
        for r in range(rows):
            value = build.load(build.inttoptr(build.add(a, row_offsets[r]) if r else a, number.as_pointer()))
            spread_value = build.shuffle_vector(
                build.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0)), undefined, everywhere
            )
            for j in range(vectors):
                result.append(build.call(multiply_add, [spread_value, bs[j], sums[r * vectors + j]]))
        return result

    def loop(level, a, b, sums):
        """Loops of PARAMETERS' names, from the outer to the inner; within the last one, the step."""
        if level == 3:
            return step(a, b, sums)
        name = ("outer", "middle", "inner")[level]
        before, body, after = build.block, entry.append_basic_block(name), entry.append_basic_block(f"after_{name}")
        build.branch(body)
        build.position_at_end(body)
        count, here_a, here_b = build.phi(INT64), build.phi(INT64), build.phi(INT64)
        here = [build.phi(vector) for _ in sums]
        result = loop(level + 1, here_a, here_b, here)
        count_next = build.sub(count, ir.Constant(INT64, 1))
        a_next, b_next = build.add(here_a, given[f"a_{name}"]), build.add(here_b, given[f"b_{name}"])
        first_values, next_values = (given[name], a, b, *sums), (count_next, a_next, b_next, *result)
        for phi, first, following in zip((count, here_a, here_b, *here), first_values, next_values, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(following, build.block)
        build.cbranch(build.icmp_signed("!=", count_next, ir.Constant(INT64, 0)), body, after)
        build.position_at_end(after)
        return result

    sums = loop(0, given["a"], given["b"], sums)
    for r in range(rows):
        place = offset(given["out"], r, given["out_row"])
        for j in range(vectors):
            put(sums[r * vectors + j], place, j)
    build.ret_void()
    return str(module)
