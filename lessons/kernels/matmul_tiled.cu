// Step 3 of lesson 08. A block computes a tile of T x T entries of C. It fetches a tile of A and a tile of B into shared
// memory, where each number is read T times, and goes on to the next tiles along k. What lies outside of a matrix is 0.
// Launch: block (32, 32), grid (N / 32, M / 32), rounded up.
enum { T = 32 };

extern "C" __global__ void __launch_bounds__(1024) matmul_tiled(const float* A, const float* B, float* C, int M, int N,
                                                                int K) {
    __shared__ float a_tile[T][T];
    __shared__ float b_tile[T][T];
    const int y = threadIdx.y, x = threadIdx.x;
    const int row = blockIdx.y * T + y, column = blockIdx.x * T + x;
    float sum = 0.0f;
    for (int k0 = 0; k0 < K; k0 += T) {
        a_tile[y][x] = row < M && k0 + x < K ? A[row * K + k0 + x] : 0.0f;
        b_tile[y][x] = k0 + y < K && column < N ? B[(k0 + y) * N + column] : 0.0f;
        __syncthreads();  // the tiles are there
        for (int k = 0; k < T; ++k) sum += a_tile[y][k] * b_tile[k][x];
        __syncthreads();  // and are read, before the next ones overwrite them
    }
    if (row < M && column < N) C[row * N + column] = sum;
}
