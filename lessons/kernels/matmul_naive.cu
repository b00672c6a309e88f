// Step 1 of lesson 08. C (M x N) = A (M x K) B (K x N), row-major; one thread for each entry of C.
// The threads of a warp, x = 0, 1, 2, ..., stand in neighbouring ROWS: what they read of A lies K floats apart.
// Launch: block (32, 8), grid (M / 32, N / 8), rounded up.
extern "C" __global__ void matmul_naive(const float* A, const float* B, float* C, int M, int N, int K) {
    const int row = blockIdx.x * blockDim.x + threadIdx.x;
    const int column = blockIdx.y * blockDim.y + threadIdx.y;
    if (row >= M || column >= N) return;
    float sum = 0.0f;
    for (int k = 0; k < K; ++k) {
        const float a = A[row * K + k];
        const float b = B[k * N + column];
        sum += a * b;
    }
    C[row * N + column] = sum;
}
