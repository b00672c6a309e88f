// Step 5 of lesson 08 (sm_80 and later). As step 4, with two pairs of tiles: cp.async fetches into one while the other
// is multiplied. The numbers go to shared memory by themselves, through no register, and the thread does not wait for
// them.
// M and N are multiples of 64, K of 16. Launch: block (256), grid (N / 64, M / 64).
#include "../../kernels/cuda/device.h"

enum { T = 64, DEPTH = 16 };

extern "C" __global__ void __launch_bounds__(256) matmul_async(const float* A, const float* B, float* C, int M, int N,
                                                               int K) {
    __shared__ __align__(16) float a_tile[2][T][DEPTH];
    __shared__ __align__(16) float b_tile[2][DEPTH][T];
    const int t = threadIdx.x, row0 = blockIdx.y * T, column0 = blockIdx.x * T;
    const int y = t / 16, x = 4 * (t % 16);
    const int a_row = t / 4, a_k = 4 * (t % 4), b_k = t / 16, b_column = 4 * (t % 16);
    const auto fetch = [&](int pair, int k0) {
        cp_async16(&a_tile[pair][a_row][a_k], &A[(row0 + a_row) * K + k0 + a_k], true);
        cp_async16(&b_tile[pair][b_k][b_column], &B[(k0 + b_k) * N + column0 + b_column], true);
    };
    float sum[4][4] = {};
    fetch(0, 0);
    cp_async_commit();
    for (int k0 = 0, pair = 0; k0 < K; k0 += DEPTH, pair ^= 1) {
        if (k0 + DEPTH < K) fetch(pair ^ 1, k0 + DEPTH);
        cp_async_commit();   // at the end a group without copies, so that there are always two
        cp_async_wait<1>();  // all but the newest group are there: the thread's own copies,
        __syncthreads();     // and behind the barrier everybody's
#pragma unroll
        for (int k = 0; k < DEPTH; ++k) {
            const float4 b = *reinterpret_cast<const float4*>(&b_tile[pair][k][x]);
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float a = a_tile[pair][y + 16 * i][k];
                sum[i][0] += a * b.x, sum[i][1] += a * b.y, sum[i][2] += a * b.z, sum[i][3] += a * b.w;
            }
        }
        __syncthreads();  // this pair is read, before the next copies overwrite it
    }
    for (int i = 0; i < 4; ++i) {
        const float4 four = {sum[i][0], sum[i][1], sum[i][2], sum[i][3]};
        *reinterpret_cast<float4*>(&C[(row0 + y + 16 * i) * N + column0 + x]) = four;
    }
}
