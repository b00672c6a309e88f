// Step 4 of lesson 08. A block of 256 threads computes T x T entries of C, a thread 4 x 4 of them, in registers. Of each
// step k it reads 4 + 4 numbers from shared memory for 16 multiply-adds.
// M and N are multiples of 64, K of 16. Launch: block (256), grid (N / 64, M / 64).
enum { T = 64, DEPTH = 16 };

extern "C" __global__ void __launch_bounds__(256) matmul_registers(const float* A, const float* B, float* C, int M, int N,
                                                                   int K) {
    __shared__ __align__(16) float a_tile[T][DEPTH];
    __shared__ __align__(16) float b_tile[DEPTH][T];
    const int t = threadIdx.x, row0 = blockIdx.y * T, column0 = blockIdx.x * T;
    const int y = t / 16, x = 4 * (t % 16);             // rows y, y + 16, y + 32, y + 48; columns x to x + 3
    const int a_row = t / 4, a_k = 4 * (t % 4);         // what the thread fetches: four neighbours of A,
    const int b_k = t / 16, b_column = 4 * (t % 16);    // and four of B
    float sum[4][4] = {};
    for (int k0 = 0; k0 < K; k0 += DEPTH) {
        const float4 a4 = *reinterpret_cast<const float4*>(&A[(row0 + a_row) * K + k0 + a_k]);
        const float4 b4 = *reinterpret_cast<const float4*>(&B[(k0 + b_k) * N + column0 + b_column]);
        *reinterpret_cast<float4*>(&a_tile[a_row][a_k]) = a4;
        *reinterpret_cast<float4*>(&b_tile[b_k][b_column]) = b4;
        __syncthreads();
#pragma unroll
        for (int k = 0; k < DEPTH; ++k) {
            const float4 b = *reinterpret_cast<const float4*>(&b_tile[k][x]);
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float a = a_tile[y + 16 * i][k];
                sum[i][0] += a * b.x, sum[i][1] += a * b.y, sum[i][2] += a * b.z, sum[i][3] += a * b.w;
            }
        }
        __syncthreads();
    }
    for (int i = 0; i < 4; ++i) {
        const float4 four = {sum[i][0], sum[i][1], sum[i][2], sum[i][3]};
        *reinterpret_cast<float4*>(&C[(row0 + y + 16 * i) * N + column0 + x]) = four;
    }
}
