// Runs the threads of a CUDA block on one thread of the processor.
//
// Blocks run one after the other. The threads of a block are fibers: each has a stack of its own, and runs until it
// comes to a barrier, a collective of its warp, or its end. Then the scheduler takes the next one. A thread is never
// interrupted anywhere else, so a run is repeated exactly by its order (forward, reverse, or random from a seed).
//
//   launch    every block in turn: its shared memory filled with NaN, its threads at their start
//   schedule  every thread of each warp that can run; then warp collectives that are complete; then the barrier
//   fail      the first mistake ends the launch, with block, thread, file and line
//
// A build with -DCUDA_SIMULATOR_WATCHED also reports every load and store: see watch.h.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#ifndef __APPLE__
#include <link.h>
#endif
#include <signal.h>
#include <sys/mman.h>
#include <type_traits>
#include <utility>

// The simulator's own functions are not watched and not checked.
#if defined(__clang__)
#define SIMULATOR_OWN __attribute__((noinline, no_sanitize("thread", "address", "undefined")))
#else
#define SIMULATOR_OWN __attribute__((noinline, no_sanitize_thread, no_sanitize_address, no_sanitize_undefined))
#endif

// All else is hidden, so that libraries with functions of the same name do not share them.
#define SIMULATOR_VISIBLE __attribute__((visibility("default")))

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };

namespace simulator {

constexpr int MAX_THREADS = 1024, LANES = 32, MAX_COPIES = 256, MAX_GROUPS = 256;
constexpr size_t DYNAMIC_GUARD = 64 << 10;
// CUDA gives a thread 512 KB of local memory at most; the rest is for the simulator's own functions.
constexpr size_t STACK_BYTES = 576 << 10, STACK_GUARD = 64 << 10, STACK_STRIDE = STACK_GUARD + STACK_BYTES;

// What a kernel can do wrong, in the order of KINDS in finding.py.
enum class Kind {
    race, uninitialised_read, out_of_bounds, misaligned, stale_copy, divergent_barrier, warp_collective, undefined_arithmetic,
    launch, assertion
};

enum class State { ready, at_barrier, at_collective, finished };

struct Fiber;
using Collective = void (*)(Fiber* warp, unsigned mask);  // computes the results of all lanes in the mask

struct Copy {  // a cp.async under way
    void* to; const void* from; int bytes, valid_bytes, line; const char* file;
    const void* where;  // the program counter
};

struct Fiber {
    void* stack_pointer;
    char* stack;
    State state;
    uint3 thread;                        // threadIdx
    int number, lane;                    // in the block, in the warp
    const char* file; int line;          // of the barrier or collective at which it waits
    unsigned mask; Collective collective;
    uint64_t value, result; int source;  // of a shuffle or vote
    const void *a, *b; void* d;          // the fragments of an mma
    Copy copies[MAX_COPIES]; int copies_under_way;
    int group_ends[MAX_GROUPS]; int groups;
    void* frames;                        // AddressSanitizer's
    unsigned barriers, collectives;      // that it has passed, for ThreadSanitizer
};

static Fiber fibers[MAX_THREADS];
static char* stacks;                     // of all threads, below each a guard that nobody may touch
static Fiber* current;                   // the thread that runs
static bool running;                     // whether the kernel's own code runs, rather than the simulator's
static void* scheduler_stack_pointer;
static dim3 grid, block;
static uint3 block_index;
static int thread_count;
static char* dynamic_shared; static size_t dynamic_shared_bytes;
static int thread_order; static uint64_t random_state = 1;
static char failure[1024];
static void (*call_kernel)(void* kernel, void** arguments); static void* the_kernel; static void** the_arguments;

}  // namespace simulator
#include "sanitizers.h"
namespace simulator {

// ---- hooks of the watched build ------------------------------------------------------------------------------------

#ifdef CUDA_SIMULATOR_WATCHED
static void watch_launch_begins();
static void watch_launch_ends();
static void watch_block_begins();
static void watch_block_ends();
static void watch_barrier();
static void watch_pass_ends();
static void watch_lanes_in_order(Fiber* warp, unsigned mask);
static void watch_copy_begins(const Copy& copy);
static void watch_copy_arrives(const Copy& copy);
static void watch_atomic(const void* address, size_t size, const void* where);
static void watch_fence();
#else
static inline void watch_launch_begins() {}
static inline void watch_launch_ends() {}
static inline void watch_block_begins() {}
static inline void watch_block_ends() {}
static inline void watch_barrier() {}
static inline void watch_pass_ends() {}
static inline void watch_lanes_in_order(Fiber*, unsigned) {}
static inline void watch_copy_begins(const Copy&) {}
static inline void watch_copy_arrives(const Copy&) {}
static inline void watch_atomic(const void*, size_t, const void*) {}
static inline void watch_fence() {}
#endif

// ---- switching from one stack to another: saves what a function must preserve, and takes the other's ---------------

extern "C" void simulator_switch(void** from, void* to);
#if defined(__x86_64__)
asm(".text\n.p2align 4\n.local simulator_switch\nsimulator_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp,(%rdi)\nmovq %rsi,%rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n");
#elif defined(__aarch64__)
#ifdef __APPLE__
#define SIMULATOR_SYMBOL "_simulator_switch"
asm(".text\n.p2align 4\n" SIMULATOR_SYMBOL ":\n"
#else
asm(".text\n.p2align 4\n.local simulator_switch\nsimulator_switch:\n"
#endif
    "sub sp,sp,#160\nstp x19,x20,[sp]\nstp x21,x22,[sp,#16]\nstp x23,x24,[sp,#32]\nstp x25,x26,[sp,#48]\n"
    "stp x27,x28,[sp,#64]\nstp x29,x30,[sp,#80]\nstp d8,d9,[sp,#96]\nstp d10,d11,[sp,#112]\n"
    "stp d12,d13,[sp,#128]\nstp d14,d15,[sp,#144]\nmov x9,sp\nstr x9,[x0]\nmov sp,x1\n"
    "ldp x19,x20,[sp]\nldp x21,x22,[sp,#16]\nldp x23,x24,[sp,#32]\nldp x25,x26,[sp,#48]\n"
    "ldp x27,x28,[sp,#64]\nldp x29,x30,[sp,#80]\nldp d8,d9,[sp,#96]\nldp d10,d11,[sp,#112]\n"
    "ldp d12,d13,[sp,#128]\nldp d14,d15,[sp,#144]\nadd sp,sp,#160\nret\n");
#else
#error "simulator: runtime.h has no context switch for this processor"
#endif

SIMULATOR_OWN static void yield() {
    Fiber* fiber = current;
    running = false;
    announce_leave(fiber);
    simulator_switch(&fiber->stack_pointer, scheduler_stack_pointer);
    announce_return(fiber);
    running = true;
}

SIMULATOR_OWN static void resume(Fiber* fiber) {
    current = fiber;
    announce_resume(fiber);
    simulator_switch(&scheduler_stack_pointer, fiber->stack_pointer);
    announce_resumed();
    running = false;
}

SIMULATOR_OWN static void fail(Kind kind, const char* what, const Fiber* where, const char* file, int line) {
    if (failure[0]) return;
    snprintf(failure, sizeof failure, "%d\t%s\t%u,%u,%u\t%u,%u,%u\t%s\t%d", int(kind), what, block_index.x, block_index.y,
             block_index.z, where->thread.x, where->thread.y, where->thread.z, file ? file : "", line);
}

SIMULATOR_OWN static void fail_here(Kind kind, const char* what, const Fiber* where) {
    fail(kind, what, where, where->file, where->line);
}

SIMULATOR_OWN static void begin_thread() {
    announce_begin(current);
    running = true;
    call_kernel(the_kernel, the_arguments);
    running = false;
    if (current->copies_under_way) {
        const Copy& copy = current->copies[0];
        fail(Kind::stale_copy, "cp.async is still under way at the end of the kernel", current, copy.file, copy.line);
    }
    current->state = State::finished;
    yield();
    abort();
}

SIMULATOR_OWN static void place_at_start(Fiber* fiber, int number) {
    fiber->stack = stacks + size_t(number) * STACK_STRIDE + STACK_GUARD;
    fiber->state = State::ready;
    fiber->number = number;
    fiber->lane = number % LANES;
    fiber->file = nullptr;
    fiber->copies_under_way = fiber->groups = 0;
    fiber->barriers = fiber->collectives = 0;
    unsigned n = unsigned(number);
    fiber->thread = {n % block.x, n / block.x % block.y, n / (block.x * block.y)};
    void** top = reinterpret_cast<void**>(fiber->stack + STACK_BYTES - 64);
#if defined(__x86_64__)
    top[0] = reinterpret_cast<void*>(begin_thread);  // where `ret` goes, behind six registers
    fiber->stack_pointer = top - 6;
    memset(fiber->stack_pointer, 0, 6 * sizeof(void*));
#else
    fiber->stack_pointer = reinterpret_cast<char*>(top) - 160;
    memset(fiber->stack_pointer, 0, 160);
    static_cast<void**>(fiber->stack_pointer)[11] = reinterpret_cast<void*>(begin_thread);  // x30
#endif
}

// ---- stacks --------------------------------------------------------------------------------------------------------

// Guards are mappings of their own, of which a process has some 65000: so all libraries share one set of stacks. The
// first of them makes it, the others are given it. Memory that no thread has touched takes no room.
SIMULATOR_OWN static char* make_stacks() {
    const int flags = MAP_PRIVATE | MAP_ANON | MAP_NORESERVE;
    void* memory = mmap(nullptr, MAX_THREADS * STACK_STRIDE, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    char* made = static_cast<char*>(memory);
    for (int i = 0; i < MAX_THREADS; ++i)
        if (mprotect(made + size_t(i) * STACK_STRIDE, STACK_GUARD, PROT_NONE)) return nullptr;
    return made;
}

#ifdef __APPLE__
constexpr int FAULT = SIGBUS;
#else
constexpr int FAULT = SIGSEGV;
#endif
static struct sigaction action_before;
static stack_t signal_stack_before;
static char signal_stack[64 << 10];  // for a thread whose own is full

SIMULATOR_OWN static void on_fault(int, siginfo_t* fault, void*) {
    const uintptr_t offset = reinterpret_cast<uintptr_t>(fault->si_addr) - reinterpret_cast<uintptr_t>(stacks);
    if (offset >= MAX_THREADS * STACK_STRIDE || offset % STACK_STRIDE >= STACK_GUARD) {
        sigaction(FAULT, &action_before, nullptr);  // not ours: it comes again, to whom it belongs
        return;
    }
    const char* what = "a thread needs more than 512 KB of local memory, or calls itself without end";
    fail(Kind::out_of_bounds, what, current, nullptr, 0);
    yield();
}

SIMULATOR_OWN static void guard_stacks(bool begins) {
    if (begins) {
        struct sigaction action = {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;  // for it is left by a switch, and does not return
        stack_t stack = {};
        stack.ss_sp = signal_stack, stack.ss_size = sizeof signal_stack;
        sigaltstack(&stack, &signal_stack_before);
        sigaction(FAULT, &action, &action_before);
    } else {
        sigaction(FAULT, &action_before, nullptr);
        sigaltstack(&signal_stack_before, nullptr);
    }
}

// ---- where threads wait --------------------------------------------------------------------------------------------

SIMULATOR_OWN static void wait_for_block(const char* file, int line) {
    current->file = file;
    current->line = line;
    current->state = State::at_barrier;
    announce_wait(current, true);
    yield();
    announce_passed(current, true);
}

SIMULATOR_OWN static void wait_for_lanes(unsigned mask, Collective collective, const char* file, int line) {
    Fiber* fiber = current;
    fiber->file = file;
    fiber->line = line;
    fiber->mask = mask;
    fiber->collective = collective;
    if (!(mask >> fiber->lane & 1)) fail_here(Kind::warp_collective, "a lane is not in the mask that it passes", fiber);
    fiber->state = State::at_collective;
    const bool orders = !collective;  // as __syncwarp does
    if (orders) announce_wait(fiber, false);
    yield();
    if (orders) announce_passed(fiber, false);
}

// ---- the scheduler -------------------------------------------------------------------------------------------------

SIMULATOR_OWN static uint64_t draw() {  // xorshift64 (Marsaglia 2003)
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

SIMULATOR_OWN static void put_in_order(int* numbers, int count) {
    for (int i = 0; i < count; ++i) numbers[i] = thread_order == 1 ? count - 1 - i : i;
    if (thread_order != 2) return;
    for (int i = count - 1; i > 0; --i) std::swap(numbers[i], numbers[draw() % unsigned(i + 1)]);
}

// Serves the collective of one lane, if all lanes of its mask have come to it.
SIMULATOR_OWN static bool serve_collective(Fiber* warp, int lanes, int lane) {
    const unsigned mask = warp[lane].mask;
    for (int i = 0; i < LANES; ++i) {
        if (!(mask >> i & 1)) continue;
        if (i >= lanes) {
            if (mask == 0xffffffffu) continue;  // "all", in a warp that is not full
            fail_here(Kind::warp_collective, "a mask names a lane that does not exist", &warp[lane]);
            return false;
        }
        if (warp[i].state != State::at_collective) return false;
        // Those lanes may have a collective of their own to come before this one.
        if (warp[i].mask != mask || warp[i].collective != warp[lane].collective) return false;
    }
    if (warp[lane].collective) warp[lane].collective(warp, mask);
    else watch_lanes_in_order(warp, mask);  // __syncwarp
    for (int i = 0; i < lanes; ++i)
        if (mask >> i & 1) warp[i].state = State::ready;
    return true;
}

SIMULATOR_OWN static void run_warp(Fiber* warp, int lanes) {
    int order[LANES];
    for (bool served = true; served && !failure[0];) {
        put_in_order(order, lanes);
        for (int i = 0; i < lanes && !failure[0]; ++i)
            if (warp[order[i]].state == State::ready) resume(&warp[order[i]]);
        watch_pass_ends();
        served = false;
        for (int lane = 0; lane < lanes && !failure[0]; ++lane)
            if (warp[lane].state == State::at_collective) served |= serve_collective(warp, lanes, lane);
    }
}

// Whether threads still run behind the barrier at which all of them are now.
SIMULATOR_OWN static bool pass_barrier() {
    int finished = 0;
    const Fiber* waiting = nullptr;
    for (int i = 0; i < thread_count; ++i) {
        const Fiber* fiber = &fibers[i];
        if (fiber->state == State::at_collective) {
            const Fiber* warp = fiber - fiber->lane;
            for (int lane = 0; lane < LANES && warp[lane].number < thread_count; ++lane)
                if (fiber->mask >> lane & 1 && warp[lane].state == State::at_collective &&
                    (warp[lane].mask != fiber->mask || warp[lane].collective != fiber->collective))
                    fail_here(Kind::warp_collective, "lanes of one mask are at different warp collectives", &warp[lane]);
            fail_here(Kind::warp_collective, "a warp collective waits for a lane that does not come", fiber);
            return false;
        }
        if (fiber->state == State::finished) {
            ++finished;
        } else if (!waiting) {
            waiting = fiber;
        } else if (fiber->line != waiting->line || strcmp(fiber->file, waiting->file)) {
            fail_here(Kind::divergent_barrier, "threads of a block are at different __syncthreads()", fiber);
            return false;
        }
    }
    if (!waiting) return false;
    if (finished) {
        fail_here(Kind::divergent_barrier, "__syncthreads() is not reached by every thread of the block", waiting);
        return false;
    }
    watch_barrier();
    for (int i = 0; i < thread_count; ++i) fibers[i].state = State::ready;
    return true;
}

// __shared__ variables lie together, so that they can be filled as a whole: in a section of their own, or, as GCC
// ignores sections inside of templates, in the library's thread-local storage, where nothing else lies.
#if defined(__APPLE__)
#define SIMULATOR_SHARED static __attribute__((section("__DATA,simulated")))
extern char shared_begin[] __asm("section$start$__DATA$simulated");
extern char shared_end[] __asm("section$end$__DATA$simulated");
static void find_shared() {}
#elif defined(__clang__)
#define SIMULATOR_SHARED static __attribute__((section("simulated_shared")))
extern "C" {
extern char __start_simulated_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_simulated_shared[] __attribute__((weak, visibility("hidden")));
}
#define shared_begin __start_simulated_shared
#define shared_end __stop_simulated_shared
static void find_shared() {}
#else
#define SIMULATOR_SHARED static thread_local
static char *shared_begin, *shared_end;
static thread_local volatile char touched_for_the_block_to_exist;
SIMULATOR_OWN static int look_for_shared(dl_phdr_info* library, size_t, void* address_within) {
    bool is_this = false;
    size_t bytes = 0;
    for (int i = 0; i < library->dlpi_phnum; ++i) {
        const auto& part = library->dlpi_phdr[i];
        const char* begin = reinterpret_cast<char*>(library->dlpi_addr + part.p_vaddr);
        if (part.p_type == PT_LOAD) is_this |= begin <= address_within && address_within < begin + part.p_memsz;
        if (part.p_type == PT_TLS) bytes = part.p_memsz;
    }
    if (!is_this) return 0;
    shared_begin = static_cast<char*>(library->dlpi_tls_data);
    shared_end = shared_begin + bytes;
    return 1;
}
SIMULATOR_OWN static void find_shared() {
    touched_for_the_block_to_exist = 0;
    dl_iterate_phdr(look_for_shared, &fibers);
}
#endif

SIMULATOR_OWN static void fill_with_nan(char* begin, char* end) {
    for (volatile char* p = begin; p < end; ++p) *p = char(0xff);
}

SIMULATOR_OWN static void run_block() {
    fill_with_nan(shared_begin, shared_end);
    fill_with_nan(dynamic_shared, dynamic_shared + dynamic_shared_bytes);
    watch_block_begins();
    announce_block();
    for (int i = 0; i < thread_count; ++i) place_at_start(&fibers[i], i);
    const int warps = (thread_count + LANES - 1) / LANES;
    int order[MAX_THREADS / LANES];
    do {
        put_in_order(order, warps);
        for (int i = 0; i < warps && !failure[0]; ++i) {
            const int first = order[i] * LANES;
            run_warp(&fibers[first], thread_count - first < LANES ? thread_count - first : LANES);
        }
    } while (!failure[0] && pass_barrier());
    watch_block_ends();
}

// Empty, or "kind \t what \t block \t thread \t file \t line".
SIMULATOR_OWN static const char* launch(void (*call)(void*, void**), void* kernel, void** arguments,
                                        const unsigned* shape, size_t shared_bytes, int order, uint64_t seed) {
    failure[0] = 0;
    call_kernel = call, the_kernel = kernel, the_arguments = arguments;
    grid = {shape[0], shape[1], shape[2]};
    block = {shape[3], shape[4], shape[5]};
    thread_count = int(block.x * block.y * block.z);
    thread_order = order;
    random_state = seed * 0x9e3779b97f4a7c15ull | 1;
    void* memory = nullptr;
    if (posix_memalign(&memory, 128, shared_bytes + 2 * DYNAMIC_GUARD)) abort();
    dynamic_shared = static_cast<char*>(memory) + DYNAMIC_GUARD, dynamic_shared_bytes = shared_bytes;
    find_shared();
    watch_launch_begins();
    announce_launch(true);
    guard_stacks(true);
    const uint64_t blocks = uint64_t(grid.x) * grid.y * grid.z;
    for (uint64_t i = 0; i < blocks && !failure[0]; ++i) {
        const uint64_t b = order == 1 ? blocks - 1 - i : i;
        block_index = {unsigned(b % grid.x), unsigned(b / grid.x % grid.y), unsigned(b / grid.x / grid.y)};
        run_block();
    }
    guard_stacks(false);
    announce_launch(false);
    watch_launch_ends();
    free(memory);
    return failure;
}

// From an array of pointers to arguments, as cuLaunchKernel takes it, to a call.
template <class Function> struct Caller;
template <class... Arguments> struct Caller<void (*)(Arguments...)> {
    template <size_t... I>
    SIMULATOR_OWN static void call(void (*kernel)(Arguments...), void** arguments, std::index_sequence<I...>) {
        kernel(*static_cast<std::remove_reference_t<Arguments>*>(arguments[I])...);
    }
    SIMULATOR_OWN static void invoke(void* kernel, void** arguments) {
        call(reinterpret_cast<void (*)(Arguments...)>(kernel), arguments, std::index_sequence_for<Arguments...>{});
    }
};

}  // namespace simulator

// The stacks that this library uses from now on: those that are given, or new ones. Null where there is no room.
extern "C" SIMULATOR_VISIBLE SIMULATOR_OWN char* use_stacks(char* given) {
    return simulator::stacks = given ? given : simulator::make_stacks();
}

#define SIMULATOR_EXPORT(kernel)                                                                                     \
    extern "C" SIMULATOR_VISIBLE const char* launch_##kernel(void** arguments, const unsigned* shape,                \
                                                             size_t shared_bytes, int order, uint64_t seed) {        \
        return simulator::launch(simulator::Caller<decltype(&kernel)>::invoke, reinterpret_cast<void*>(&kernel),     \
                                 arguments, shape, shared_bytes, order, seed);                                       \
    }
