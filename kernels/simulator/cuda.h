// The words of CUDA C++ that kernels use, as plain C++17 for the simulator: qualifiers, vector types, indices, barriers,
// shuffles and votes, atomics, mathematical functions; and of cuda/device.h, cp.async and mma.sync.
#pragma once
#define CUDA_SIMULATOR 1
#include "runtime.h"
#ifdef CUDA_SIMULATOR_WATCHED
#include "watch.h"
#endif

// ---- qualifiers ----------------------------------------------------------------------------------------------------

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ SIMULATOR_SHARED
#define DYN_SHARED(T, name) T* name = reinterpret_cast<T*>(simulator::dynamic_shared)
// "extern __shared__ T name[];" becomes this before it is compiled: where it stands outside of kernels, the memory is not
// there yet.
#define SIMULATOR_DYNAMIC(T, name) T* const& name = reinterpret_cast<T* const&>(simulator::dynamic_shared)

// ---- vector types --------------------------------------------------------------------------------------------------

#define SIMULATOR_VECTORS(T, name)                                                                                   \
    struct alignas(2 * sizeof(T)) name##2 { T x, y; };                                                               \
    struct alignas(4 * sizeof(T)) name##4 { T x, y, z, w; };                                                         \
    static inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                                \
    static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
SIMULATOR_VECTORS(float, float)
SIMULATOR_VECTORS(int, int)
SIMULATOR_VECTORS(unsigned, uint)

// ---- who and where a thread is -------------------------------------------------------------------------------------

#define threadIdx (simulator::current->thread)
#define blockIdx (simulator::block_index)
#define blockDim (simulator::block)
#define gridDim (simulator::grid)
#define warpSize 32

// ---- barriers ------------------------------------------------------------------------------------------------------

#define SIMULATOR_CALLER const char *file = __builtin_FILE(), int line = __builtin_LINE()

static inline void __syncthreads(SIMULATOR_CALLER) { simulator::wait_for_block(file, line); }
static inline void __syncwarp(unsigned mask = 0xffffffffu, SIMULATOR_CALLER) {
    simulator::wait_for_lanes(mask, nullptr, file, line);
}
static inline void __threadfence() { simulator::watch_fence(); }
static inline void __threadfence_block() {}

// ---- assert: a finding, which ends the launch -------------------------------------------------------------------------

namespace simulator {
[[noreturn]] SIMULATOR_OWN static void assertion_failed(const char* expression, const char* file, int line) {
    char what[sizeof failure / 2];
    snprintf(what, sizeof what, "assert(%s) does not hold", expression);
    fail(Kind::assertion, what, current, file, line);
    yield();
    abort();
}
}  // namespace simulator
#undef assert
#define assert(...) (bool(__VA_ARGS__) ? void() : simulator::assertion_failed(#__VA_ARGS__, __FILE__, __LINE__))

// ---- shuffles and votes: they move values between lanes, and do not order memory -------------------------------------

namespace simulator {

SIMULATOR_OWN static void exchange(Fiber* warp, unsigned mask) {
    for (int lane = 0; lane < LANES; ++lane) {
        if (!(mask >> lane & 1) || warp[lane].number >= thread_count) continue;
        const int source = warp[lane].source;
        if (!(mask >> source & 1) || warp[source].number >= thread_count) {
            fail_here(Kind::warp_collective, "a shuffle reads from a lane that is not in the mask", &warp[lane]);
            return;
        }
        warp[lane].result = warp[source].value;
    }
}

SIMULATOR_OWN static void vote(Fiber* warp, unsigned mask) {
    uint64_t found = 0;
    for (int lane = 0; lane < LANES; ++lane)
        if (mask >> lane & 1 && warp[lane].number < thread_count && warp[lane].value) found |= 1ull << lane;
    for (int lane = 0; lane < LANES; ++lane)
        if (mask >> lane & 1) warp[lane].result = found;
}

template <class T> static inline T shuffle(unsigned mask, T value, int source, const char* file, int line) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle moves 4 or 8 bytes");
    Fiber* fiber = current;
    fiber->value = 0;
    memcpy(&fiber->value, &value, sizeof value);
    fiber->source = source;
    wait_for_lanes(mask, exchange, file, line);
    memcpy(&value, &fiber->result, sizeof value);
    return value;
}

static inline unsigned ballot(unsigned mask, bool value, const char* file, int line) {
    current->value = value;
    wait_for_lanes(mask, vote, file, line);
    return unsigned(current->result);
}

// The source lane, within sections of `width` lanes; a lane whose source lies outside of its section reads itself.
static inline int indexed(int source, int width) { return (current->lane & ~(width - 1)) | (source & (width - 1)); }
static inline int above(int delta, int width) {
    const int lane = current->lane;
    return (lane & (width - 1)) + delta >= width ? lane : lane + delta;
}
static inline int below(int delta, int width) {
    const int lane = current->lane;
    return (lane & (width - 1)) < delta ? lane : lane - delta;
}
static inline int crossed(int bits, int width) {
    const int lane = current->lane, source = lane ^ bits;
    return (source & ~(width - 1)) > (lane & ~(width - 1)) ? lane : source;
}

}  // namespace simulator

template <class T> static inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, SIMULATOR_CALLER) {
    return simulator::shuffle(mask, value, simulator::indexed(source, width), file, line);
}
template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMULATOR_CALLER) {
    return simulator::shuffle(mask, value, simulator::above(int(delta), width), file, line);
}
template <class T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMULATOR_CALLER) {
    return simulator::shuffle(mask, value, simulator::below(int(delta), width), file, line);
}
template <class T> static inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, SIMULATOR_CALLER) {
    return simulator::shuffle(mask, value, simulator::crossed(bits, width), file, line);
}
static inline unsigned __ballot_sync(unsigned mask, int value, SIMULATOR_CALLER) {
    return simulator::ballot(mask, value != 0, file, line);
}
static inline int __any_sync(unsigned mask, int value, SIMULATOR_CALLER) {
    return simulator::ballot(mask, value != 0, file, line) != 0;
}
static inline int __all_sync(unsigned mask, int value, SIMULATOR_CALLER) {
    return simulator::ballot(mask, value == 0, file, line) == 0;
}

// ---- atomics: a thread is never interrupted within one -----------------------------------------------------------------

namespace simulator {
template <class T> struct Same { using type = T; };  // the value's type follows the pointer's, as in CUDA
template <class T, class Change> SIMULATOR_OWN static T atomically(T* address, Change change) {
    watch_atomic(address, sizeof(T), __builtin_return_address(0));
    const T old = *address;
    *address = change(old);
    return old;
}
}  // namespace simulator
#define SIMULATOR_ATOMIC(name, expression)                                                                           \
    template <class T> __forceinline__ T name(T* address, typename simulator::Same<T>::type value) {                 \
        return simulator::atomically(address, [=](T old) SIMULATOR_OWN { return T(expression); });                   \
    }
SIMULATOR_ATOMIC(atomicAdd, old + value)
SIMULATOR_ATOMIC(atomicSub, old - value)
SIMULATOR_ATOMIC(atomicMax, old > value ? old : value)
SIMULATOR_ATOMIC(atomicMin, old < value ? old : value)
SIMULATOR_ATOMIC(atomicExch, (void(old), value))
template <class T>
__forceinline__ T atomicCAS(T* address, typename simulator::Same<T>::type expected, typename simulator::Same<T>::type value) {
    return simulator::atomically(address, [=](T old) SIMULATOR_OWN { return old == expected ? value : old; });
}

// ---- mathematical functions ------------------------------------------------------------------------------------------

template <class T> __forceinline__ T __ldg(const T* address) { return *address; }
#define __expf expf  // glibc has names of its own with two underscores
#define __logf logf
static inline float __fdividef(float a, float b) { return a / b; }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
template <class To, class From> static inline To simulator_bits(From from) {
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
static inline float __uint_as_float(unsigned u) { return simulator_bits<float>(u); }
static inline unsigned __float_as_uint(float f) { return simulator_bits<unsigned>(f); }
static inline float __int_as_float(int i) { return simulator_bits<float>(i); }
static inline int __float_as_int(float f) { return simulator_bits<int>(f); }
static inline int __popc(unsigned u) { return __builtin_popcount(u); }
static inline int __clz(int u) { return u ? __builtin_clz(unsigned(u)) : 32; }
static inline int __ffs(int u) { return __builtin_ffs(u); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
template <class T> static constexpr T min(T a, T b) { return b < a ? b : a; }
template <class T> static constexpr T max(T a, T b) { return a < b ? b : a; }

// ---- cp.async: copies arrive when they are waited for, never before, so that a forgotten wait shows ------------------

namespace simulator {
SIMULATOR_OWN static void begin_copy(void* to, const void* from, bool valid, const char* file, int line) {
    Fiber* fiber = current;
    if (uintptr_t(to) % 16 || (valid && uintptr_t(from) % 16)) {
        fail(Kind::misaligned, "cp.async of 16 bytes from or to an address that is no multiple of 16", fiber, file, line);
        yield();
    }
    if (fiber->copies_under_way == MAX_COPIES) {
        fail(Kind::stale_copy, "more cp.async under way than the simulator keeps", fiber, file, line);
        yield();
    }
    Copy& copy = fiber->copies[fiber->copies_under_way++];
    copy = {to, from, 16, valid ? 16 : 0, line, file, __builtin_return_address(0)};
    watch_copy_begins(copy);
}
SIMULATOR_OWN static void end_copies(int groups_left) {
    Fiber* fiber = current;
    const int arriving = fiber->groups - groups_left;
    if (arriving <= 0) return;
    const int end = fiber->group_ends[arriving - 1];
    for (int i = 0; i < end; ++i) {
        const Copy& copy = fiber->copies[i];
        memcpy(copy.to, copy.from, size_t(copy.valid_bytes));
        memset(static_cast<char*>(copy.to) + copy.valid_bytes, 0, size_t(copy.bytes - copy.valid_bytes));
        watch_copy_arrives(copy);
    }
    for (int i = end; i < fiber->copies_under_way; ++i) fiber->copies[i - end] = fiber->copies[i];
    for (int g = arriving; g < fiber->groups; ++g) fiber->group_ends[g - arriving] = fiber->group_ends[g] - end;
    fiber->copies_under_way -= end;
    fiber->groups -= arriving;
}
SIMULATOR_OWN static void end_group() {
    if (current->groups == MAX_GROUPS) abort();
    current->group_ends[current->groups++] = current->copies_under_way;
}
}  // namespace simulator

__forceinline__ void cp_async16(void* to, const void* from, bool valid, SIMULATOR_CALLER) {
    simulator::begin_copy(to, from, valid, file, line);
}
static inline void cp_async_commit() { simulator::end_group(); }
template <int N> static inline void cp_async_wait() { simulator::end_copies(N); }  // until at most N groups are under way

// ---- mma.sync: D (16 x 8) += A (16 x K) B (K x 8), the fragments spread over the lanes as PTX has them ----------------

static inline unsigned to_tf32(float x) {  // 10 bits of mantissa, rounded to nearest, ties away from zero
    const unsigned u = __float_as_uint(x);
    return (u & 0x7f800000u) == 0x7f800000u ? u : (u + 0x1000u) & ~0x1fffu;
}

static inline unsigned to_bf16x2(float first, float second) {  // to nearest, ties to even; the first in the lower half
    const float both[2] = {first, second};
    unsigned word = 0;
    for (int half = 0; half < 2; ++half) {
        const unsigned u = __float_as_uint(both[half]);
        const unsigned upper = (u & 0x7fffffffu) > 0x7f800000u ? 0x7fffu : (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
        word |= upper << 16 * half;
    }
    return word;
}

namespace simulator {

template <int K> static void multiply_add(Fiber* warp, const float (&A)[16][K], const float (&B)[K][8]) {
    for (int lane = 0; lane < LANES; ++lane) {
        const int group = lane >> 2, place = lane & 3;
        float* d = static_cast<float*>(warp[lane].d);
        for (int i = 0; i < 4; ++i) {
            const int row = group + 8 * (i >> 1), column = 2 * place + (i & 1);
            for (int k = 0; k < K; ++k) d[i] += A[row][k] * B[k][column];
        }
    }
}

static inline float half_of_pair(unsigned pair, int half) { return __uint_as_float((half ? pair >> 16 : pair & 0xffffu) << 16); }

SIMULATOR_OWN static void multiply_tf32(Fiber* warp, unsigned mask) {
    if (mask != 0xffffffffu) return fail_here(Kind::warp_collective, "mma.sync expects all 32 lanes", warp);
    float A[16][8], B[8][8];
    for (int lane = 0; lane < LANES; ++lane) {
        const int group = lane >> 2, place = lane & 3;
        const unsigned *a = static_cast<const unsigned*>(warp[lane].a), *b = static_cast<const unsigned*>(warp[lane].b);
        for (int i = 0; i < 4; ++i) A[group + 8 * (i & 1)][place + 4 * (i >> 1)] = __uint_as_float(a[i] & ~0x1fffu);
        for (int i = 0; i < 2; ++i) B[place + 4 * i][group] = __uint_as_float(b[i] & ~0x1fffu);
    }
    multiply_add(warp, A, B);
}

SIMULATOR_OWN static void multiply_bf16(Fiber* warp, unsigned mask) {
    if (mask != 0xffffffffu) return fail_here(Kind::warp_collective, "mma.sync expects all 32 lanes", warp);
    float A[16][16], B[16][8];
    for (int lane = 0; lane < LANES; ++lane) {
        const int group = lane >> 2, place = lane & 3;
        const unsigned *a = static_cast<const unsigned*>(warp[lane].a), *b = static_cast<const unsigned*>(warp[lane].b);
        for (int half = 0; half < 2; ++half) {
            for (int i = 0; i < 4; ++i)
                A[group + 8 * (i & 1)][2 * place + half + 8 * (i >> 1)] = half_of_pair(a[i], half);
            for (int i = 0; i < 2; ++i) B[2 * place + half + 8 * i][group] = half_of_pair(b[i], half);
        }
    }
    multiply_add(warp, A, B);
}

static inline void multiply(Collective collective, float* d, const unsigned* a, const unsigned* b, const char* file,
                            int line) {
    current->a = a, current->b = b, current->d = d;
    wait_for_lanes(0xffffffffu, collective, file, line);
}

}  // namespace simulator

static inline void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], SIMULATOR_CALLER) {
    simulator::multiply(simulator::multiply_tf32, d, a, b, file, line);
}
static inline void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], SIMULATOR_CALLER) {
    simulator::multiply(simulator::multiply_bf16, d, a, b, file, line);
}

// ---- g++, and clang++ before 15, instrument no call of these in a kernel -------------------------------------------------

#ifdef CUDA_SIMULATOR_WATCHED
namespace std { using ::__tsan_memcpy; using ::__tsan_memmove; using ::__tsan_memset; }
#define memcpy __tsan_memcpy
#define memmove __tsan_memmove
#define memset __tsan_memset
#endif
