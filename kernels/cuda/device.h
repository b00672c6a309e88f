// device.h - the few Ampere/Hopper instructions our kernels use, once as inline
// PTX for the GPU and once, under CUSIM, as plain C++ for the CPU tests.
// Includes no CUDA header: NVRTC needs no include path at all.
#pragma once
#ifndef CUDA_SIMULATOR
#define DYN_SHARED(T, name) extern __shared__ __align__(128) unsigned char name##_raw[]; T* name = reinterpret_cast<T*>(name##_raw)
__device__ __forceinline__ unsigned smem_addr(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
// Copy 16 bytes to shared memory in the background; write zeros instead if !valid.
__device__ __forceinline__ void cp_async16(void* dst, const void* src, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(smem_addr(dst)), "l"(src), "r"(valid ? 16 : 0) : "memory");
}
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> __device__ __forceinline__ void cp_async_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }
__device__ __forceinline__ unsigned to_tf32(float x) { unsigned r; asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x)); return r; }
// D(16x8) += A(16x8) * B(8x8), tf32 in, fp32 out.
__device__ __forceinline__ void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// D(16x8) += A(16x16) * B(16x8), bf16 pairs in, fp32 out.
__device__ __forceinline__ void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#else  // ------------------------------------------------------------- CPU emulation
#define DYN_SHARED(T, name) CUSIM_DYN_SHARED(T, name)
// Late on purpose: nothing arrives before the wait, so a forgotten wait shows as NaN.
static inline void cp_async16(void* dst, const void* src, bool valid) {
  auto* f = cusim::cur;
  if ((uintptr_t)dst % 16 || (valid && (uintptr_t)src % 16)) { cusim::fail("cp.async of 16 bytes is not aligned to 16", f); cusim::to_main(); }
  if (f->queued == 64) { cusim::fail("too many cp.async in flight for the emulation", f); cusim::to_main(); }
  f->queue[f->queued++] = {dst, src, 16, valid ? 16 : 0};
}
static inline void cp_async_commit() { auto* f = cusim::cur; f->group_end[f->groups++] = f->queued; }
template <int N> static inline void cp_async_wait() {
  auto* f = cusim::cur; int finish = f->groups - N; if (finish <= 0) return;
  int upto = f->group_end[finish - 1];
  for (int i = 0; i < upto; ++i) { auto& c = f->queue[i]; memcpy(c.dst, c.src, c.src_n); memset((char*)c.dst + c.src_n, 0, c.n - c.src_n); }
  for (int i = upto; i < f->queued; ++i) f->queue[i - upto] = f->queue[i];
  for (int g = finish; g < f->groups; ++g) f->group_end[g - finish] = f->group_end[g] - upto;
  f->queued -= upto; f->groups -= finish;
}
static inline unsigned to_tf32(float x) { unsigned u = __float_as_uint(x); return (u & 0x7f800000u) == 0x7f800000u ? u : (u + 0x1000u) & ~0x1fffu; }
namespace cusim {
CUSIM_RAW static void op_mma_tf32(Fiber* w, unsigned m) {
  if (m != 0xffffffffu) { fail("mma needs all 32 lanes", w); return; }
  float A[16][8], B[8][8], C[16][8];
  for (int l = 0; l < 32; ++l) {
    int g = l >> 2, t = l & 3; auto* a = (const unsigned*)w[l].a; auto* b = (const unsigned*)w[l].b; auto* d = (const float*)w[l].d;
    for (int i = 0; i < 4; ++i) { unsigned v = a[i] & ~0x1fffu; memcpy(&A[g + 8 * (i & 1)][t + 4 * (i >> 1)], &v, 4); }
    for (int i = 0; i < 2; ++i) { unsigned v = b[i] & ~0x1fffu; memcpy(&B[t + 4 * i][g], &v, 4); }
    for (int i = 0; i < 4; ++i) C[g + 8 * (i >> 1)][2 * t + (i & 1)] = d[i];
  }
  for (int k = 0; k < 8; ++k) for (int i = 0; i < 16; ++i) for (int j = 0; j < 8; ++j) C[i][j] += A[i][k] * B[k][j];
  for (int l = 0; l < 32; ++l) { int g = l >> 2, t = l & 3; auto* d = (float*)w[l].d; for (int i = 0; i < 4; ++i) d[i] = C[g + 8 * (i >> 1)][2 * t + (i & 1)]; }
}
CUSIM_RAW static void op_mma_bf16(Fiber* w, unsigned m) {
  if (m != 0xffffffffu) { fail("mma needs all 32 lanes", w); return; }
  float A[16][16], B[16][8], C[16][8];
  for (int l = 0; l < 32; ++l) {
    int g = l >> 2, t = l & 3; auto* a = (const unsigned*)w[l].a; auto* b = (const unsigned*)w[l].b; auto* d = (const float*)w[l].d;
    for (int i = 0; i < 4; ++i) for (int h = 0; h < 2; ++h) { unsigned v = (h ? a[i] >> 16 : a[i] & 0xffffu) << 16; memcpy(&A[g + 8 * (i & 1)][2 * t + h + 8 * (i >> 1)], &v, 4); }
    for (int i = 0; i < 2; ++i) for (int h = 0; h < 2; ++h) { unsigned v = (h ? b[i] >> 16 : b[i] & 0xffffu) << 16; memcpy(&B[2 * t + h + 8 * i][g], &v, 4); }
    for (int i = 0; i < 4; ++i) C[g + 8 * (i >> 1)][2 * t + (i & 1)] = d[i];
  }
  for (int k = 0; k < 16; ++k) for (int i = 0; i < 16; ++i) for (int j = 0; j < 8; ++j) C[i][j] += A[i][k] * B[k][j];
  for (int l = 0; l < 32; ++l) { int g = l >> 2, t = l & 3; auto* d = (float*)w[l].d; for (int i = 0; i < 4; ++i) d[i] = C[g + 8 * (i >> 1)][2 * t + (i & 1)]; }
}
CUSIM_RAW static void mma(Collective op, float* d, const unsigned* a, const unsigned* b, const char* f, int l) {
  cur->a = (void*)a; cur->b = (void*)b; cur->d = d; wait_warp(0xffffffffu, op, false, f, l);
}
}
static inline void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const char* f = __builtin_FILE(), int l = __builtin_LINE()) { cusim::mma(cusim::op_mma_tf32, d, a, b, f, l); }
static inline void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const char* f = __builtin_FILE(), int l = __builtin_LINE()) { cusim::mma(cusim::op_mma_bf16, d, a, b, f, l); }
#endif
