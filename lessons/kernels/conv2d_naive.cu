// Lesson 08. y[n][p][q][o] = sum of x[n][p + i - 1][q + j - 1][c] w[i][j][c][o] over i, j in 0..2 and c: a convolution of
// 3 x 3 with padding 1, images channels-last. One thread for each entry of y; those of a warp are neighbours in o.
// Launch: block (32, 8), grid (O / 32, images * H * W / 8), rounded up.
extern "C" __global__ void conv2d_naive(const float* x, const float* w, float* y, int images, int H, int W, int C, int O) {
    const int o = blockIdx.x * blockDim.x + threadIdx.x, pixel = blockIdx.y * blockDim.y + threadIdx.y;
    if (pixel >= images * H * W || o >= O) return;
    const int n = pixel / (H * W), p = pixel / W % H, q = pixel % W;
    float sum = 0.0f;
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) {
            const int h = p + i - 1, v = q + j - 1;
            if (h < 0 || h >= H || v < 0 || v >= W) continue;
            for (int c = 0; c < C; ++c) {
                const float a = x[((n * H + h) * W + v) * C + c];
                const float b = w[((i * 3 + j) * C + c) * O + o];
                sum += a * b;
            }
        }
    y[pixel * O + o] = sum;
}
