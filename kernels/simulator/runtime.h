// cusim.h - compile CUDA C++ kernels with a host C++17 compiler and run them on
// the CPU: blocks one after another, the threads of a block as fibers that
// switch only at barriers and warp collectives.  No CUDA header, no GPU.
#pragma once
#define CUDA_SIMULATOR 1
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>
#include <sys/mman.h>
#if defined(__SANITIZE_THREAD__)
#define CUSIM_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CUSIM_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define CUSIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CUSIM_ASAN 1
#endif
#endif
#ifdef CUSIM_TSAN
extern "C" { void* __tsan_create_fiber(unsigned); void __tsan_destroy_fiber(void*);
void __tsan_switch_to_fiber(void*, unsigned); void* __tsan_get_current_fiber();
void __tsan_acquire(void*); void __tsan_release(void*); }
#define CUSIM_ACQ(p) __tsan_acquire(p)
#define CUSIM_REL(p) __tsan_release(p)
#else
#define CUSIM_ACQ(p) ((void)0)
#define CUSIM_REL(p) ((void)0)
#endif
#ifdef CUSIM_ASAN
extern "C" { void __sanitizer_start_switch_fiber(void**, const void*, size_t);
void __sanitizer_finish_switch_fiber(void*, const void**, size_t*); }
#endif
#if defined(__clang__)
#define CUSIM_RAW __attribute__((noinline, no_sanitize("thread", "address", "undefined")))
#else
#define CUSIM_RAW __attribute__((noinline, no_sanitize_thread, no_sanitize_address, no_sanitize_undefined))
#endif

// ---- qualifiers and vector types -------------------------------------------
#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// Statically declared shared memory goes to one linker section, so that the
// launcher can refill it with NaN before each block (stale or unset reads show).
#define __shared__ static __attribute__((section("cusim_shared")))
#define CUSIM_DYN_SHARED(T, name) T* name = reinterpret_cast<T*>(cusim::dyn_shared)
struct dim3 { unsigned x, y, z; };
#define CUSIM_VEC(T, N) struct alignas(2 * sizeof(T)) N##2 { T x, y; }; struct N##3 { T x, y, z; }; \
  struct alignas(4 * sizeof(T)) N##4 { T x, y, z, w; }; \
  static inline N##2 make_##N##2(T x, T y) { return {x, y}; } \
  static inline N##4 make_##N##4(T x, T y, T z, T w) { return {x, y, z, w}; }
CUSIM_VEC(float, float) CUSIM_VEC(int, int) CUSIM_VEC(unsigned, uint)

namespace cusim {
enum State : int { READY, AT_BLOCK, AT_WARP, DONE };
struct Fiber;
typedef void (*Collective)(Fiber* warp, unsigned mask);
struct Copy { void* dst; const void* src; int n, src_n; };
struct Fiber {
  void* sp; char* stack; State state; uint3 tid; int linear, lane, line; const char* file;
  unsigned mask; Collective op; uint64_t val, result; int src; void *a, *b, *c, *d;
  Copy queue[64]; int queued; int group_end[64]; int groups;   // cp.async in flight
  void* tsan; void* fake; char sync[2]; unsigned syncs, barriers, peers;   // for ThreadSanitizer
};
static constexpr int MAX_THREADS = 1024;
#if defined(CUSIM_ASAN) || defined(CUSIM_TSAN)
static constexpr size_t STACK = 256 << 10;
#else
static constexpr size_t STACK = 64 << 10;
#endif
static Fiber fibers[MAX_THREADS]; static Fiber* cur; static void* main_sp;
static dim3 g_grid, g_block; static uint3 g_bidx; static int n_threads;
static void (*g_invoke)(void*, void**); static void* g_fn; static void** g_args;
static char* dyn_shared; static char err[512]; static int g_order; static uint64_t g_rng = 88172645463325252ull;
static long n_switch, n_barrier, n_collective; static void* main_tsan; static void* tsan_ctx[1024]; static char* stacks[1024];
static char sync_launch, sync_done, sync_block[2]; static int g_unordered;
#ifdef CUSIM_ASAN
static void* main_fake; static const void* main_stack; static size_t main_stack_size;
#endif

#if defined(__x86_64__)
extern "C" void cusim_switch(void** from, void* to);
asm(".text\n.p2align 4\n.local cusim_switch\ncusim_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp,(%rdi)\nmovq %rsi,%rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n");
#elif defined(__aarch64__)
extern "C" void cusim_switch(void** from, void* to);
asm(".text\n.p2align 4\n.local cusim_switch\ncusim_switch:\n"
    "sub sp,sp,#176\nstp x19,x20,[sp]\nstp x21,x22,[sp,#16]\nstp x23,x24,[sp,#32]\nstp x25,x26,[sp,#48]\n"
    "stp x27,x28,[sp,#64]\nstp x29,x30,[sp,#80]\nstp d8,d9,[sp,#96]\nstp d10,d11,[sp,#112]\n"
    "stp d12,d13,[sp,#128]\nstp d14,d15,[sp,#144]\nmov x9,sp\nstr x9,[x0]\nmov sp,x1\n"
    "ldp x19,x20,[sp]\nldp x21,x22,[sp,#16]\nldp x23,x24,[sp,#32]\nldp x25,x26,[sp,#48]\n"
    "ldp x27,x28,[sp,#64]\nldp x29,x30,[sp,#80]\nldp d8,d9,[sp,#96]\nldp d10,d11,[sp,#112]\n"
    "ldp d12,d13,[sp,#128]\nldp d14,d15,[sp,#144]\nadd sp,sp,#176\nret\n");
#else
#error "cusim: add a context switch for this processor"
#endif

CUSIM_RAW static void fail(const char* what, const Fiber* f) {
  if (!err[0]) snprintf(err, sizeof err, "%s: block (%u,%u,%u) thread (%u,%u,%u) at %s:%d", what, g_bidx.x, g_bidx.y,
                        g_bidx.z, f->tid.x, f->tid.y, f->tid.z, f->file ? f->file : "?", f->line);
}
CUSIM_RAW static void to_main() {                       // leave the running fiber
  Fiber* f = cur;
#ifdef CUSIM_TSAN
  __tsan_switch_to_fiber(main_tsan, 1);
#endif
#ifdef CUSIM_ASAN
  __sanitizer_start_switch_fiber(f->state == DONE ? nullptr : &f->fake, main_stack, main_stack_size);
#endif
  cusim_switch(&f->sp, main_sp);
#ifdef CUSIM_ASAN
  __sanitizer_finish_switch_fiber(f->fake, nullptr, nullptr);
#endif
}
CUSIM_RAW static void entry() {
#ifdef CUSIM_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &main_stack, &main_stack_size);
#endif
  CUSIM_ACQ(&sync_launch);
  g_invoke(g_fn, g_args);
  CUSIM_REL(&sync_done);
  if (cur->queued) { cur->line = 0; cur->file = "cp.async never waited for"; }
  cur->state = DONE; to_main(); abort();
}
CUSIM_RAW static void run(Fiber* f) {
  cur = f; ++n_switch;
#ifdef CUSIM_TSAN
  __tsan_switch_to_fiber(f->tsan, 1);
#endif
#ifdef CUSIM_ASAN
  __sanitizer_start_switch_fiber(&main_fake, f->stack, STACK);
#endif
  cusim_switch(&main_sp, f->sp);
#ifdef CUSIM_ASAN
  __sanitizer_finish_switch_fiber(main_fake, nullptr, nullptr);
#endif
}
CUSIM_RAW static void wait_block(const char* file, int line) {
  Fiber* f = cur; f->file = file; f->line = line; f->state = AT_BLOCK;
  char* s = &sync_block[f->barriers++ & 1]; (void)s;              // two in turn: a fast thread's next arrival must not order this one
  CUSIM_REL(s); to_main(); CUSIM_ACQ(s);
}
CUSIM_RAW static void wait_warp(unsigned mask, Collective op, bool orders, const char* file, int line) {
  Fiber* f = cur; f->file = file; f->line = line; f->mask = mask; f->op = op;
  if (!(mask >> f->lane & 1)) { fail("lane not in its own mask", f); }
  f->state = AT_WARP;
  if (orders) { CUSIM_REL(&f->sync[++f->syncs & 1]); }
  to_main();
#ifdef CUSIM_TSAN
  if (orders) { Fiber* w = f - f->lane; for (int j = 0; j < 32; ++j) if (mask >> j & 1) CUSIM_ACQ(&w[j].sync[f->peers >> j & 1]); }
#endif
}
CUSIM_RAW static uint64_t rnd() { g_rng ^= g_rng << 13; g_rng ^= g_rng >> 7; g_rng ^= g_rng << 17; return g_rng; }
CUSIM_RAW static void shuffle(int* p, int n) {
  for (int i = 0; i < n; ++i) p[i] = g_order == 1 ? n - 1 - i : i;
  if (g_order == 2) for (int i = n - 1; i > 0; --i) { int j = int(rnd() % (i + 1)), t = p[i]; p[i] = p[j]; p[j] = t; }
}
// Let every ready lane of one warp run; then serve collectives that are complete.
CUSIM_RAW static void run_warp(Fiber* w, int lanes) {
  int order[32];
  for (;;) {
    shuffle(order, lanes);
    for (int i = 0; i < lanes; ++i) if (w[order[i]].state == READY) { run(&w[order[i]]); if (err[0]) return; }
    bool served = false;
    for (int i = 0; i < lanes; ++i) {
      if (w[i].state != AT_WARP) continue;
      unsigned m = w[i].mask; bool all = true;
      for (int j = 0; j < 32; ++j) {
        if (!(m >> j & 1)) continue;
        if (j >= lanes) { if (m == 0xffffffffu) continue; fail("mask names a lane that does not exist", &w[i]); return; }
        if (w[j].state != AT_WARP) { all = false; continue; }
        if (w[j].mask != m || w[j].op != w[i].op) { fail("lanes of one mask are at different warp collectives", &w[j]); return; }
      }
      if (!all) continue;
      ++n_collective; if (w[i].op) w[i].op(w, m);
      if (err[0]) return;
      unsigned peers = 0;
      for (int j = 0; j < lanes; ++j) if (m >> j & 1) peers |= (w[j].syncs & 1) << j;
      for (int j = 0; j < lanes; ++j) if (m >> j & 1) { w[j].state = READY; w[j].peers = peers; }
      served = true;
    }
    if (!served) return;
  }
}
extern "C" { extern char __start_cusim_shared[] __attribute__((weak)); extern char __stop_cusim_shared[] __attribute__((weak)); }
CUSIM_RAW static void fill(char* p, char* e) { for (; p < e; ++p) *(volatile char*)p = (char)0xff; }
CUSIM_RAW static void run_block(size_t dyn_bytes, uint64_t nth) {
  if (!g_unordered) CUSIM_ACQ(&sync_done);
  CUSIM_REL(&sync_launch);
  fill(__start_cusim_shared, __stop_cusim_shared); fill(dyn_shared, dyn_shared + dyn_bytes);
  for (int t = 0; t < n_threads; ++t) {
    Fiber* f = &fibers[t]; int slot = g_unordered ? int((t + nth * 33) % n_threads) : t;   // so that one thread index is not one fiber in every block
    if (!stacks[slot]) stacks[slot] = (char*)mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    f->stack = stacks[slot]; f->linear = t; f->lane = t & 31; f->state = READY; f->file = nullptr; f->queued = f->groups = 0;
    f->tid = {t % g_block.x, t / g_block.x % g_block.y, t / (g_block.x * g_block.y)};
    void** top = (void**)(f->stack + STACK - 64);
#if defined(__x86_64__)
    top[0] = (void*)entry; top[1] = nullptr; f->sp = top - 6;   // six saved registers, then the return address
    memset(f->sp, 0, 48);
#else
    f->sp = (char*)top - 176; memset(f->sp, 0, 176); ((void**)f->sp)[11] = (void*)entry;
#endif
#ifdef CUSIM_TSAN
    if (!tsan_ctx[slot]) tsan_ctx[slot] = __tsan_create_fiber(0);
    f->tsan = tsan_ctx[slot];
#endif
  }
  int nw = (n_threads + 31) / 32, worder[32];
  for (;;) {
    shuffle(worder, nw);
    for (int i = 0; i < nw; ++i) { int w = worder[i]; run_warp(&fibers[32 * w], n_threads - 32 * w < 32 ? n_threads - 32 * w : 32); if (err[0]) return; }
    int done = 0, block = 0; Fiber* at = nullptr;
    for (int t = 0; t < n_threads; ++t) {
      Fiber* f = &fibers[t];
      if (f->state == AT_WARP) { fail("warp collective waits for a lane that does not come (divergence)", f); return; }
      if (f->state == DONE) ++done;
      if (f->state == AT_BLOCK) { ++block; if (!at) at = f; else if (f->line != at->line || f->file != at->file) { fail("threads of a block are at different __syncthreads()", f); return; } }
    }
    if (done == n_threads) break;
    if (done) { fail("__syncthreads() is not reached by every thread of the block", at); return; }
    ++n_barrier;
    for (int t = 0; t < n_threads; ++t) fibers[t].state = READY;
  }
  for (int t = 0; t < n_threads; ++t) if (fibers[t].queued) { fail("cp.async still in flight at the end of the kernel", &fibers[t]); return; }
}
CUSIM_RAW static const char* launch(void (*invoke)(void*, void**), void* fn, void** args, const unsigned* dims, size_t dyn_bytes) {
  err[0] = 0; g_invoke = invoke; g_fn = fn; g_args = args; g_grid = {dims[0], dims[1], dims[2]}; g_block = {dims[3], dims[4], dims[5]};
  uint64_t n = (uint64_t)dims[3] * dims[4] * dims[5];
  if (n < 1 || n > MAX_THREADS || dims[5] > 64) return "block shape is outside CUDA's limits";
  if (dims[1] > 65535 || dims[2] > 65535 || !dims[0] || !dims[1] || !dims[2]) return "grid shape is outside CUDA's limits";
  if (dyn_bytes > 227 << 10) return "more dynamic shared memory than a Hopper block can have";
  n_threads = (int)n;
  void* raw = nullptr; if (posix_memalign(&raw, 128, dyn_bytes ? dyn_bytes : 1)) return "out of memory";
  dyn_shared = (char*)raw;
#ifdef CUSIM_TSAN
  main_tsan = __tsan_get_current_fiber();
#endif
  uint64_t blocks = (uint64_t)dims[0] * dims[1] * dims[2];
  uint64_t step = 1, first = 0;
  if (g_order == 1) first = blocks - 1, step = blocks - 1;        // backwards
  if (g_order == 2) { first = rnd() % blocks; for (step = 1 + rnd() % blocks;; ++step) { uint64_t a = step, b = blocks; while (b) { uint64_t t = a % b; a = b; b = t; } if (a == 1) break; } }
  for (uint64_t i = 0, b = first; i < blocks && !err[0]; ++i, b = (b + step) % blocks) {
    g_bidx = {(unsigned)(b % dims[0]), (unsigned)(b / dims[0] % dims[1]), (unsigned)(b / dims[0] / dims[1])};
    run_block(dyn_bytes, i);
  }
  CUSIM_ACQ(&sync_done);
  free(raw); return err;
}
// ---- launching with an array of pointers to arguments, as cuLaunchKernel does --
template <class F> struct Sig;
template <class... A> struct Sig<void (*)(A...)> {
  template <size_t... I> static void call(void (*f)(A...), void** a, std::index_sequence<I...>) { f(*(std::remove_reference_t<A>*)a[I]...); }
  static void invoke(void* f, void** a) { call((void (*)(A...))f, a, std::index_sequence_for<A...>{}); }
  static const char* text() {   // p pointer, f float, d double, i/u + size integer, s struct: lets the caller check its arguments
    static char buf[8 * (sizeof...(A) + 1)]; char* o = buf;
    ((o += sprintf(o, "%c%d ", std::is_pointer_v<A> ? 'p' : std::is_floating_point_v<A> ? 'f' : std::is_integral_v<A> ? (std::is_signed_v<A> ? 'i' : 'u') : 's', (int)sizeof(A))), ...);
    return buf;
  }
};
// ---- warp collectives --------------------------------------------------------
CUSIM_RAW static void op_shfl(Fiber* w, unsigned m) {
  for (int i = 0; i < 32; ++i) if (m >> i & 1) {
    if (w[i].linear >= n_threads || w[i].state != AT_WARP) continue;
    if (!(m >> w[i].src & 1) || w[w[i].src].state != AT_WARP) { fail("shuffle reads a lane that is not in the mask", &w[i]); return; }
    w[i].result = w[w[i].src].val;
  }
}
CUSIM_RAW static void op_ballot(Fiber* w, unsigned m) {
  uint64_t r = 0; for (int i = 0; i < 32; ++i) if (m >> i & 1 && w[i].state == AT_WARP && w[i].val) r |= 1ull << i;
  for (int i = 0; i < 32; ++i) if (m >> i & 1 && w[i].state == AT_WARP) w[i].result = r;
}
template <class T> static inline T shfl(unsigned m, T v, int src, const char* file, int line) {
  static_assert(sizeof(T) <= 8, "shuffle moves 4 or 8 bytes");
  Fiber* f = cur; f->val = 0; memcpy(&f->val, &v, sizeof v); f->src = src; wait_warp(m, op_shfl, false, file, line);
  memcpy(&v, &f->result, sizeof v); return v;
}
static inline int up(int d, int w) { int l = cur->lane; return (l & (w - 1)) < d ? l : l - d; }
static inline int down(int d, int w) { int l = cur->lane; return (l & (w - 1)) + d >= w ? l : l + d; }
static inline int xorl(int d, int w) { int l = cur->lane, s = l ^ d; return (s & ~(w - 1)) > (l & ~(w - 1)) ? l : s; }
static inline int idx(int s, int w) { int l = cur->lane; return (l & ~(w - 1)) | (s & (w - 1)); }
static inline unsigned ballot(unsigned m, int p, const char* file, int line) { cur->val = p != 0; wait_warp(m, op_ballot, false, file, line); return (unsigned)cur->result; }
static inline unsigned active() { unsigned m = 0; Fiber* w = cur - cur->lane; for (int i = 0; i < 32 && w[i].linear < n_threads; ++i) if (w[i].state != DONE) m |= 1u << i; return m; }
}  // namespace cusim
#define CUSIM_AT __builtin_FILE(), __builtin_LINE()
#define threadIdx (cusim::cur->tid)
#define blockIdx (cusim::g_bidx)
#define blockDim (cusim::g_block)
#define gridDim (cusim::g_grid)
#define warpSize 32
#define __syncthreads() cusim::wait_block(__FILE__, __LINE__)
static inline void __syncwarp(unsigned m = 0xffffffffu, const char* f = __builtin_FILE(), int l = __builtin_LINE()) { cusim::wait_warp(m, nullptr, true, f, l); }
template <class T> static inline T __shfl_xor_sync(unsigned m, T v, int d, int w = 32, const char* f = __builtin_FILE(), int l = __builtin_LINE()) { return cusim::shfl(m, v, cusim::xorl(d, w), f, l); }
template <class T> static inline T __shfl_down_sync(unsigned m, T v, unsigned d, int w = 32, const char* f = __builtin_FILE(), int l = __builtin_LINE()) { return cusim::shfl(m, v, cusim::down(d, w), f, l); }
template <class T> static inline T __shfl_up_sync(unsigned m, T v, unsigned d, int w = 32, const char* f = __builtin_FILE(), int l = __builtin_LINE()) { return cusim::shfl(m, v, cusim::up(d, w), f, l); }
template <class T> static inline T __shfl_sync(unsigned m, T v, int s, int w = 32, const char* f = __builtin_FILE(), int l = __builtin_LINE()) { return cusim::shfl(m, v, cusim::idx(s, w), f, l); }
#define __ballot_sync(m, p) cusim::ballot(m, p, __FILE__, __LINE__)
#define __any_sync(m, p) (cusim::ballot(m, p, __FILE__, __LINE__) != 0)
#define __all_sync(m, p) (cusim::ballot(m, !(p), __FILE__, __LINE__) == 0)
#define __activemask() cusim::active()
static inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

// ---- atomics: real ones, so that ThreadSanitizer knows them ---------------------
namespace cusim {
template <class T, class F> static inline T rmw(T* p, F f) {
  using U = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>; static_assert(sizeof(T) == 4 || sizeof(T) == 8, "");
  U o = __atomic_load_n((U*)p, __ATOMIC_RELAXED), n; T ov, nv;
  do { memcpy(&ov, &o, sizeof o); nv = f(ov); memcpy(&n, &nv, sizeof n); } while (!__atomic_compare_exchange_n((U*)p, &o, n, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return ov;
}
template <class T> struct same { typedef T type; };
}
template <class T> static inline T atomicAdd(T* p, typename cusim::same<T>::type v) { return cusim::rmw(p, [=](T o) { return T(o + v); }); }
template <class T> static inline T atomicSub(T* p, typename cusim::same<T>::type v) { return cusim::rmw(p, [=](T o) { return T(o - v); }); }
template <class T> static inline T atomicMax(T* p, typename cusim::same<T>::type v) { return cusim::rmw(p, [=](T o) { return o > v ? o : v; }); }
template <class T> static inline T atomicMin(T* p, typename cusim::same<T>::type v) { return cusim::rmw(p, [=](T o) { return o < v ? o : v; }); }
template <class T> static inline T atomicExch(T* p, typename cusim::same<T>::type v) { return cusim::rmw(p, [=](T) { return v; }); }
template <class T> static inline T atomicCAS(T* p, typename cusim::same<T>::type c, typename cusim::same<T>::type v) { return cusim::rmw(p, [=](T o) { return o == c ? v : o; }); }

// ---- device functions -------------------------------------------------------------
template <class T> static inline T __ldg(const T* p) { return *p; }
#define __expf expf          // glibc owns the names __expf and __logf
#define __logf logf
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __frcp_rn(float a) { return 1.0f / a; }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __uint_as_float(unsigned u) { float f; memcpy(&f, &u, 4); return f; }
static inline unsigned __float_as_uint(float f) { unsigned u; memcpy(&u, &f, 4); return u; }
static inline int __float_as_int(float f) { int u; memcpy(&u, &f, 4); return u; }
static inline float __int_as_float(int u) { float f; memcpy(&f, &u, 4); return f; }
static inline int __popc(unsigned u) { return __builtin_popcount(u); }
static inline int __clz(int u) { return u ? __builtin_clz(u) : 32; }
static inline int __ffs(int u) { return __builtin_ffs(u); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t)a * b >> 32); }
template <class T> static constexpr T min(T a, T b) { return b < a ? b : a; }
template <class T> static constexpr T max(T a, T b) { return a < b ? b : a; }

#define CUSIM_EXPORT(k) \
  extern "C" const char* k##__launch(void** a, const unsigned* d, size_t sh) { return cusim::launch(cusim::Sig<decltype(&k)>::invoke, (void*)&k, a, d, sh); } \
  extern "C" const char* k##__sig() { return cusim::Sig<decltype(&k)>::text(); }
extern "C" void cusim_order(int mode, uint64_t seed) { cusim::g_order = mode; if (seed) cusim::g_rng = seed * 0x9e3779b97f4a7c15ull | 1; }
extern "C" void cusim_unordered_blocks(int on) { cusim::g_unordered = on; }   // only for kernels without shared memory
extern "C" void cusim_stats(long* o) { o[0] = cusim::n_switch; o[1] = cusim::n_barrier; o[2] = cusim::n_collective; }
