// Convolution in float32, which conv2d.h explains, the bias's gradient, and the sum of what was computed in parts.
#include "conv2d.h"

extern "C" __global__ void __launch_bounds__(256) conv2d_forward(
    const float* x, const float* weight, const float* bias, float* y,
    int N, int C, int H, int W, int O, int kh, int kw, int oh, int ow, int stride_h, int stride_w,
    int padding_h, int padding_w, int dilation_h, int dilation_w, int groups) {
    const Geometry g = {N, C, H, W, O, kh, kw, oh, ow, stride_h, stride_w,
                        padding_h, padding_w, dilation_h, dilation_w, groups};
    forward<Float32>(x, weight, bias, y, g);
}

extern "C" __global__ void __launch_bounds__(256) conv2d_input_gradient(
    const float* dy, const float* weight, float* dx,
    int N, int C, int H, int W, int O, int kh, int kw, int oh, int ow, int stride_h, int stride_w,
    int padding_h, int padding_w, int dilation_h, int dilation_w, int groups) {
    const Geometry g = {N, C, H, W, O, kh, kw, oh, ow, stride_h, stride_w,
                        padding_h, padding_w, dilation_h, dilation_w, groups};
    input_gradient<Float32>(dy, weight, dx, g);
}

extern "C" __global__ void __launch_bounds__(256) conv2d_weight_gradient_parts(
    const float* dy, const float* x, float* partial, int pixels_per_part,
    int N, int C, int H, int W, int O, int kh, int kw, int oh, int ow, int stride_h, int stride_w,
    int padding_h, int padding_w, int dilation_h, int dilation_w, int groups) {
    const Geometry g = {N, C, H, W, O, kh, kw, oh, ow, stride_h, stride_w,
                        padding_h, padding_w, dilation_h, dilation_w, groups};
    weight_gradient_parts<Float32>(dy, x, partial, pixels_per_part, g);
}

// The gradient of the bias: dy (pixels, channels) summed over each part's pixels, to partial (parts, channels). A block
// serves 32 channels, so that a warp reads neighbours; its 8 warps share the pixels, and add up what they found in a
// fixed order. Grid: (blocks of 32 channels, parts).
extern "C" __global__ void __launch_bounds__(256) conv2d_bias_gradient_parts(const float* dy, float* partial,
                                                                           int pixels_per_part, int pixels,
                                                                           int channels) {
    __shared__ float of_warp[8][32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, channel = blockIdx.x * 32 + lane;
    const int begin = blockIdx.y * pixels_per_part, end = min(begin + pixels_per_part, pixels);
    float sum = 0.0f;
    if (channel < channels)
        for (int pixel = begin + warp; pixel < end; pixel += 8) sum += dy[(size_t)pixel * channels + channel];
    of_warp[warp][lane] = sum;
    __syncthreads();
    if (warp != 0 || channel >= channels) return;
    for (int other = 1; other < 8; ++other) sum += of_warp[other][lane];
    partial[(size_t)blockIdx.y * channels + channel] = sum;
}

// The second pass of gradients summed in parts: one thread a weight adds the parts, first to last.
extern "C" __global__ void __launch_bounds__(256) conv2d_sum_of_parts(const float* partial, float* sums, int parts,
                                                                    int size) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    float sum = 0.0f;
    for (int part = 0; part < parts; ++part) sum += partial[(size_t)part * size + i];
    sums[i] = sum;
}
