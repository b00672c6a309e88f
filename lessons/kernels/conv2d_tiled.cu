// Lesson 08. The convolution of conv2d_naive.cu as the product of step 3: rows are pixels (n, p, q), columns are output
// channels, and the depth k = (i, j, c) runs through the window. The matrix of windows is never written: `window` says
// where its entry lies in the image. All else is matmul_tiled.cu, line by line.
// Launch: block (32, 32), grid (N / 32, images * height * width / 32), rounded up.
enum { T = 32 };

// The entry (row, k) of the matrix of windows; 0 in the padding and outside of the matrix.
static __device__ float window(const float* image, int row, int k, int images, int height, int width, int channels) {
    const int n = row / (height * width), p = row / width % height, q = row % width;
    const int i = k / (3 * channels), j = k / channels % 3, c = k % channels;
    const int h = p + i - 1, v = q + j - 1;
    const bool inside = n < images && i < 3 && h >= 0 && h < height && v >= 0 && v < width;
    return inside ? image[((n * height + h) * width + v) * channels + c] : 0.0f;
}

extern "C" __global__ void __launch_bounds__(1024) conv2d_tiled(const float* image, const float* B, float* C, int images,
                                                                int height, int width, int channels, int N) {
    const int M = images * height * width, K = 9 * channels;
    __shared__ float a_tile[T][T];
    __shared__ float b_tile[T][T];
    const int y = threadIdx.y, x = threadIdx.x;
    const int row = blockIdx.y * T + y, column = blockIdx.x * T + x;
    float sum = 0.0f;
    for (int k0 = 0; k0 < K; k0 += T) {
        a_tile[y][x] = window(image, row, k0 + x, images, height, width, channels);
        b_tile[y][x] = k0 + y < K && column < N ? B[(k0 + y) * N + column] : 0.0f;
        __syncthreads();  // the tiles are there
        for (int k = 0; k < T; ++k) sum += a_tile[y][k] * b_tile[k][x];
        __syncthreads();  // and are read, before the next ones overwrite them
    }
    if (row < M && column < N) C[row * N + column] = sum;
}
