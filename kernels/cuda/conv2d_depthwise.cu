// Convolution whose groups have few channels (depthwise: one), in float32: a tile of a matrix product would be nearly
// empty, so each thread sums one result by itself. Neighbouring threads have neighbouring channels, and so read
// neighbouring numbers of image and weight. Grid: blocks of 256 results.
#include "conv2d.h"

// weight (i, j, channel of the group, o).
extern "C" __global__ void __launch_bounds__(256) conv2d_depthwise_forward(
    const float* x, const float* weight, const float* bias, float* y,
    int N, int C, int H, int W, int O, int kh, int kw, int oh, int ow, int stride_h, int stride_w,
    int padding_h, int padding_w, int dilation_h, int dilation_w, int groups) {
    const Geometry g = {N, C, H, W, O, kh, kw, oh, ow, stride_h, stride_w,
                        padding_h, padding_w, dilation_h, dilation_w, groups};
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (long long)N * oh * ow * O) return;
    const int o = i % O, channels = C / groups;
    const Pixel out(i / O, N, oh, ow);
    const WindowsOfX windows = {x + o / (O / groups) * channels, g};
    float sum = bias ? bias[o] : 0.0f;
    for (int place = 0; place < kh * kw; ++place) {
        const float* p = windows.at(out, place);
        if (!p) continue;
        for (int c = 0; c < channels; ++c) sum = fmaf(p[c], weight[((size_t)place * channels + c) * O + o], sum);
    }
    y[i] = sum;
}

// weight (i, j, output of the group, c).
extern "C" __global__ void __launch_bounds__(256) conv2d_depthwise_input_gradient(
    const float* dy, const float* weight, float* dx,
    int N, int C, int H, int W, int O, int kh, int kw, int oh, int ow, int stride_h, int stride_w,
    int padding_h, int padding_w, int dilation_h, int dilation_w, int groups) {
    const Geometry g = {N, C, H, W, O, kh, kw, oh, ow, stride_h, stride_w,
                        padding_h, padding_w, dilation_h, dilation_w, groups};
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (long long)N * H * W * C) return;
    const int c = i % C, outputs = O / groups;
    const Pixel in(i / C, N, H, W);
    const WindowsOfDy windows = {dy + c / (C / groups) * outputs, g};
    float sum = 0.0f;
    for (int place = 0; place < kh * kw; ++place) {
        const float* p = windows.at(in, place);
        if (!p) continue;
        for (int o = 0; o < outputs; ++o) sum = fmaf(p[o], weight[((size_t)place * outputs + o) * C + c], sum);
    }
    dx[i] = sum;
}

// partial (parts, i, j, channel of the group, o): a thread sums one weight over the pixels of one part.
// Grid: (blocks of 256 weights, parts).
extern "C" __global__ void __launch_bounds__(256) conv2d_depthwise_weight_gradient_parts(
    const float* dy, const float* x, float* partial, int pixels_per_part,
    int N, int C, int H, int W, int O, int kh, int kw, int oh, int ow, int stride_h, int stride_w,
    int padding_h, int padding_w, int dilation_h, int dilation_w, int groups) {
    const Geometry g = {N, C, H, W, O, kh, kw, oh, ow, stride_h, stride_w,
                        padding_h, padding_w, dilation_h, dilation_w, groups};
    const int channels = C / groups, weights = kh * kw * channels * O;
    const int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= weights) return;
    const int o = index % O, c = index / O % channels, place = index / O / channels, i = place / kw, j = place % kw;
    const int begin = blockIdx.y * pixels_per_part, end = min(begin + pixels_per_part, N * oh * ow);
    const WindowsOfX windows = {x + o / (O / groups) * channels + c, g};
    Pixel out(begin, N, oh, ow);
    float sum = 0.0f;
    for (int pixel = begin; pixel < end; ++pixel) {
        const float* p = windows.at(out, i, j);
        if (p) sum = fmaf(*p, dy[(size_t)pixel * O + o], sum);
        if (++out.b == ow) {
            out.b = 0;
            if (++out.a == oh) out.a = 0, ++out.n;
        }
    }
    partial[(size_t)blockIdx.y * weights + index] = sum;
}
