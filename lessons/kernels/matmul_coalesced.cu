// Step 2 of lesson 08. As step 1, but x counts columns: a warp reads 32 neighbours of B, and one number of A.
// Launch: block (32, 8), grid (N / 32, M / 8), rounded up.
extern "C" __global__ void matmul_coalesced(const float* A, const float* B, float* C, int M, int N, int K) {
    const int row = blockIdx.y * blockDim.y + threadIdx.y;
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= M || column >= N) return;
    float sum = 0.0f;
    for (int k = 0; k < K; ++k) {
        const float a = A[row * K + k];
        const float b = B[k * N + column];
        sum += a * b;
    }
    C[row * N + column] = sum;
}
