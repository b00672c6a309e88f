// Step 6 of lesson 08 (sm_80 and later). As step 5, multiplied by tensor cores: a warp owns 16 x 32 entries of C, as
// four pieces of 16 x 8, and one instruction adds to a piece a product of 16 x 8 by 8 x 8. Factors are rounded to tf32
// (10 bits of mantissa), sums are float32. Which entries a lane holds is the instruction's choice (PTX ISA, "Matrix
// Fragments for mma.m16n8k8").
// M and N are multiples of 64, K of 16. Launch: block (256), grid (N / 64, M / 64).
#include "../../kernels/cuda/device.h"

#ifndef PAD
#define PAD 4  // floats after each row of a_tile, so that the entries that a warp reads lie in different banks
#endif
enum { T = 64, DEPTH = 16, A_PITCH = DEPTH + PAD, B_PITCH = T + 8 };

extern "C" __global__ void __launch_bounds__(256) matmul_mma(const float* A, const float* B, float* C, int M, int N,
                                                             int K) {
    __shared__ __align__(16) float a_tile[2][T][A_PITCH];
    __shared__ __align__(16) float b_tile[2][DEPTH][B_PITCH];
    const int t = threadIdx.x, row0 = blockIdx.y * T, column0 = blockIdx.x * T;
    const int a_row = t / 4, a_k = 4 * (t % 4), b_k = t / 16, b_column = 4 * (t % 16);
    const int warp = t / 32, group = t % 32 / 4, lane = t % 4;
    const int row = warp % 4 * 16 + group, column = warp / 4 * 32;  // of the tile
    const auto fetch = [&](int pair, int k0) {
        cp_async16(&a_tile[pair][a_row][a_k], &A[(row0 + a_row) * K + k0 + a_k], true);
        cp_async16(&b_tile[pair][b_k][b_column], &B[(k0 + b_k) * N + column0 + b_column], true);
    };
    float sum[4][4] = {};
    fetch(0, 0);
    cp_async_commit();
    for (int k0 = 0, pair = 0; k0 < K; k0 += DEPTH, pair ^= 1) {
        if (k0 + DEPTH < K) fetch(pair ^ 1, k0 + DEPTH);
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
#pragma unroll
        for (int k = lane; k < DEPTH; k += 8) {
            unsigned a[4];
            a[0] = to_tf32(a_tile[pair][row][k]);
            a[1] = to_tf32(a_tile[pair][row + 8][k]);
            a[2] = to_tf32(a_tile[pair][row][k + 4]);
            a[3] = to_tf32(a_tile[pair][row + 8][k + 4]);
#pragma unroll
            for (int piece = 0; piece < 4; ++piece) {
                unsigned b[2];
                b[0] = to_tf32(b_tile[pair][k][column + 8 * piece + group]);
                b[1] = to_tf32(b_tile[pair][k + 4][column + 8 * piece + group]);
                mma_tf32(sum[piece], a, b);
            }
        }
        __syncthreads();
    }
    for (int piece = 0; piece < 4; ++piece)
        for (int half = 0; half < 2; ++half) {
            const float2 two = {sum[piece][2 * half], sum[piece][2 * half + 1]};
            const int c = column0 + column + 8 * piece + 2 * lane;
            *reinterpret_cast<float2*>(&C[(row0 + row + 8 * half) * N + c]) = two;
        }
}
