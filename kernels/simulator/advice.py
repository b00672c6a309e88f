"""What a finding means, and what usually mends it, for each kind."""

from __future__ import annotations

ADVICE: dict[str, tuple[str, str]] = {
    "race": (
        "Two threads touch the same memory, one of them writes, and nothing says who comes first. On a GPU the result "
        "depends on how warps happen to be scheduled: right today, wrong on another GPU or with another size.",
        "A __syncthreads() between the write and the other access (or __syncwarp() if both are in one warp), outside "
        "of any branch that not all threads take; a second one before the memory is written again in the next turn of "
        "a loop; between blocks an atomic, or an output of its own for each block.",
    ),
    "uninitialised-read": (
        "Shared memory is not zero at the start of a block: it holds what an earlier block left there.",
        "Let a thread write the element first, a zero for the padding included, and put a __syncthreads() behind it.",
    ),
    "out-of-bounds": (
        "On a GPU this reads or overwrites other arrays without a word, or ends the program with 'an illegal memory "
        "access' at some later call.",
        "Test the index against the size before the access (the last block is seldom full; a halo reaches outside of "
        "the picture), and count the elements of shared memory that the launch asks for in bytes.",
    ),
    "misaligned": (
        "A GPU reads 8 or 16 bytes at once only from an address that is a multiple of 8 or 16, and ends the program "
        "otherwise.",
        "Use vector accesses only where the pointer, the row's length and the index are multiples of the vector; read "
        "single elements elsewhere. Declare shared memory with __align__(16).",
    ),
    "stale-copy": (
        "cp.async copies in the background. Until it is waited for, its destination holds old values, and may change "
        "at any time.",
        "cp_async_commit() after the copies of a stage, cp_async_wait<N>() with N the number of later stages that may "
        "still be on their way, then __syncthreads(), as each thread waits for its own copies only.",
    ),
    "divergent-barrier": (
        "__syncthreads() waits for all threads of the block. Where some do not come, a GPU hangs or goes on with "
        "wrong values.",
        "Move the barrier out of the branch or the loop whose turns differ between threads; instead of an early "
        "return, let the surplus threads skip the work but come to every barrier.",
    ),
    "warp-collective": (
        "A shuffle, vote or mma needs every lane that its mask names, at the same instruction. A value from a lane "
        "that is not there is undefined.",
        "Take the collective out of the branch; or compute the mask before the branch, with __ballot_sync, from the "
        "same condition.",
    ),
    "undefined-arithmetic": (
        "C++ gives this no meaning: the compiler may assume that it does not happen, and the result differs between "
        "compilers.",
        "Use long long for products of sizes, unsigned for bit patterns, and test a divisor or a shift before it is "
        "used.",
    ),
    "launch": (
        "CUDA refuses such a launch, and the kernel does not run at all: the output keeps its old values.",
        "At most 1,024 threads in a block (less with __launch_bounds__), 65,535 blocks along y and z, and shared "
        "memory of 227 KB on Hopper; 48 KB need no permission on any GPU.",
    ),
    "assertion": (
        "The kernel's own assert() does not hold. On a GPU it ends the program at the next synchronisation.",
        "Find out who is mistaken, the kernel or its assertion: the block and thread say for which index.",
    ),
    "wrong-result": (
        "The kernel computes something else than the harness expects. If only one order of threads is wrong, threads "
        "depend on who comes first; if all are, the formula or an index is.",
        "Mend the other findings first. Then run the smallest input that is wrong by hand, starting with the first "
        "wrong element.",
    ),
    "crash": (
        "The kernel read or wrote memory that is not the program's, or divided by zero.",
        "The watched rung names the line: see the other findings.",
    ),
    "never-ends": (
        "A GPU would hang, and after some seconds the driver might end the program.",
        "Look for a loop whose condition never changes, and for a thread that spins until another one writes: within "
        "a block, threads may not wait for one another except at barriers.",
    ),
}
"""For each of KINDS: why it matters, and what usually mends it."""
