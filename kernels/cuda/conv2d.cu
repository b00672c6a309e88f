// Convolution in float32, and the sum of the parts of the weight gradient. conv2d.h says how it is computed.
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

// The second pass: one thread a weight adds the parts, first to last.
extern "C" __global__ void __launch_bounds__(256) conv2d_weight_gradient_sum(const float* partial, float* dw, int parts,
                                                                           int size) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    float sum = 0.0f;
    for (int part = 0; part < parts; ++part) sum += partial[(size_t)part * size + i];
    dw[i] = sum;
}
