// The few instructions of Ampere and later that our kernels use and CUDA C++ has no words for, as inline PTX.
// No CUDA header is included, so NVRTC needs no include path. On the simulator they are functions of simulator/cuda.h.
#pragma once
#ifndef CUDA_SIMULATOR

// Dynamic shared memory, as many elements as the launch's shared_bytes hold.
#define DYN_SHARED(T, name)                                        \
    extern __shared__ __align__(128) unsigned char name##_bytes[]; \
    T* name = reinterpret_cast<T*>(name##_bytes)

// Copies 16 bytes to shared memory in the background, or writes zeros where not `valid`.
__device__ __forceinline__ void cp_async16(void* to, const void* from, bool valid) {
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(valid ? 16 : 0) : "memory");
}

// Ends a group of copies.
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most N of this thread's groups are under way. Other threads see them behind a barrier only.
template <int N> __device__ __forceinline__ void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// To 10 bits of mantissa, rounded to nearest.
__device__ __forceinline__ unsigned to_tf32(float x) {
    unsigned rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
    return rounded;
}

// Two numbers to bf16, rounded to nearest, ties to even: the first in the lower half of the word.
__device__ __forceinline__ unsigned to_bf16x2(float first, float second) {
    unsigned both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
    return both;
}

// D (16 x 8) += A (16 x 8) B (8 x 8): products of tf32, sums in fp32.
__device__ __forceinline__ void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// D (16 x 8) += A (16 x 16) B (16 x 8): products of bf16, two in each word, sums in fp32.
__device__ __forceinline__ void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#endif
