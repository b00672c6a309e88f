// y (columns x rows) = the transpose of x (rows x columns). A tile is read by rows and written by rows; the turn happens
// in shared memory, whose rows are one float longer, so that a column lies in 32 banks.
// Launch: block (32, 8), grid (columns / 32, rows / 32).
extern "C" __global__ void __launch_bounds__(256) transpose(const float* x, float* y, int rows, int columns) {
    __shared__ float tile[32][33];
    const int row0 = blockIdx.y * 32, column0 = blockIdx.x * 32, t = threadIdx.x;
    for (int i = threadIdx.y; i < 32; i += 8) tile[i][t] = x[(row0 + i) * columns + column0 + t];
    __syncthreads();
    for (int i = threadIdx.y; i < 32; i += 8) y[(column0 + i) * rows + row0 + t] = tile[t][i];
}
