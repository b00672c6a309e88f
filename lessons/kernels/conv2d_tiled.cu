// Lesson 08. The convolution of conv2d_naive.cu as the product of step 3: rows are pixels (n, p, q), columns are output
// channels, and the depth k = (i, j, c) runs through the window. The matrix of windows is never written: `window` says
// where its entry lies in the image. All else is matmul_tiled.cu, line by line.
// Launch: block (32, 32), grid (O / 32, images * H * W / 32), rounded up.
enum { T = 32 };

// The entry (pixel, k) of the matrix of windows; 0 in the padding and outside of the matrix.
static __device__ float window(const float* x, int pixel, int k, int images, int H, int W, int C) {
    const int n = pixel / (H * W), i = k / (3 * C), j = k / C % 3, c = k % C;
    const int h = pixel / W % H + i - 1, v = pixel % W + j - 1;
    const bool inside = n < images && i < 3 && h >= 0 && h < H && v >= 0 && v < W;
    return inside ? x[((n * H + h) * W + v) * C + c] : 0.0f;
}

extern "C" __global__ void __launch_bounds__(1024) conv2d_tiled(const float* x, const float* w, float* y, int images,
                                                                int H, int W, int C, int O) {
    __shared__ float a_tile[T][T];
    __shared__ float b_tile[T][T];
    const int ty = threadIdx.y, tx = threadIdx.x, K = 9 * C;
    const int pixel = blockIdx.y * T + ty, o = blockIdx.x * T + tx;
    float sum = 0.0f;
    for (int k0 = 0; k0 < K; k0 += T) {
        a_tile[ty][tx] = window(x, pixel, k0 + tx, images, H, W, C);
        b_tile[ty][tx] = k0 + ty < K && o < O ? w[(k0 + ty) * O + o] : 0.0f;
        __syncthreads();
        for (int k = 0; k < T; ++k) sum += a_tile[ty][k] * b_tile[k][tx];
        __syncthreads();
    }
    if (pixel < images * H * W && o < O) y[pixel * O + o] = sum;
}
