// Convolution on tensor cores (sm_80 and later): float32 in memory, sums in float32, factors rounded to tf32 or bf16
// when they leave shared memory. conv2d.h says how the rest is computed. For any number of channels; where they come in
// fours, conv2d_pipelined.cu serves.
//
// A factor's relative error is at most 2^-11 in tf32 and 2^-8 in bf16; so a result differs from the exact one by at
// most 2^-10, or 2^-7, of the sum of its terms' sizes (and what sums in float32 add).
#include "conv2d.h"

struct TF32 : TensorCore {
    static __device__ void multiply(float (*left)[PADDED], float (*right)[PADDED], float (&result)[16]) {
#pragma unroll
        for (int k = 0; k < DEPTH; k += 8) {
            const int r = row0() + group();
            const unsigned a[4] = {to_tf32(left[k + lane()][r]), to_tf32(left[k + lane()][r + 8]),
                                   to_tf32(left[k + lane() + 4][r]), to_tf32(left[k + lane() + 4][r + 8])};
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const int c = column0() + j * 8 + group();
                const unsigned b[2] = {to_tf32(right[k + lane()][c]), to_tf32(right[k + lane() + 4][c])};
                mma_tf32(reinterpret_cast<float(&)[4]>(result[4 * j]), a, b);
            }
        }
    }
};

struct BF16 : TensorCore {
    // Entries k and k + 1 of a row or column in one word, the first in its lower half.
    static __device__ unsigned two(float (*tile)[PADDED], int k, int i) {
        return to_bf16x2(tile[k][i], tile[k + 1][i]);
    }
    static __device__ void multiply(float (*left)[PADDED], float (*right)[PADDED], float (&result)[16]) {
        const int k = 2 * lane(), r = row0() + group();
        const unsigned a[4] = {two(left, k, r), two(left, k, r + 8), two(left, k + 8, r), two(left, k + 8, r + 8)};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const int c = column0() + j * 8 + group();
            const unsigned b[2] = {two(right, k, c), two(right, k + 8, c)};
            mma_bf16(reinterpret_cast<float(&)[4]>(result[4 * j]), a, b);
        }
    }
};

extern "C" __global__ void __launch_bounds__(256) conv2d_forward_tf32(
    const float* x, const float* weight, const float* bias, float* y,
    int N, int C, int H, int W, int O, int kh, int kw, int oh, int ow, int stride_h, int stride_w,
    int padding_h, int padding_w, int dilation_h, int dilation_w, int groups) {
    const Geometry g = {N, C, H, W, O, kh, kw, oh, ow, stride_h, stride_w,
                        padding_h, padding_w, dilation_h, dilation_w, groups};
    forward<TF32>(x, weight, bias, y, g);
}

extern "C" __global__ void __launch_bounds__(256) conv2d_input_gradient_tf32(
    const float* dy, const float* weight, float* dx,
    int N, int C, int H, int W, int O, int kh, int kw, int oh, int ow, int stride_h, int stride_w,
    int padding_h, int padding_w, int dilation_h, int dilation_w, int groups) {
    const Geometry g = {N, C, H, W, O, kh, kw, oh, ow, stride_h, stride_w,
                        padding_h, padding_w, dilation_h, dilation_w, groups};
    input_gradient<TF32>(dy, weight, dx, g);
}

extern "C" __global__ void __launch_bounds__(256) conv2d_weight_gradient_parts_tf32(
    const float* dy, const float* x, float* partial, int pixels_per_part,
    int N, int C, int H, int W, int O, int kh, int kw, int oh, int ow, int stride_h, int stride_w,
    int padding_h, int padding_w, int dilation_h, int dilation_w, int groups) {
    const Geometry g = {N, C, H, W, O, kh, kw, oh, ow, stride_h, stride_w,
                        padding_h, padding_w, dilation_h, dilation_w, groups};
    weight_gradient_parts<TF32>(dy, x, partial, pixels_per_part, g);
}

extern "C" __global__ void __launch_bounds__(256) conv2d_forward_bf16(
    const float* x, const float* weight, const float* bias, float* y,
    int N, int C, int H, int W, int O, int kh, int kw, int oh, int ow, int stride_h, int stride_w,
    int padding_h, int padding_w, int dilation_h, int dilation_w, int groups) {
    const Geometry g = {N, C, H, W, O, kh, kw, oh, ow, stride_h, stride_w,
                        padding_h, padding_w, dilation_h, dilation_w, groups};
    forward<BF16>(x, weight, bias, y, g);
}

extern "C" __global__ void __launch_bounds__(256) conv2d_input_gradient_bf16(
    const float* dy, const float* weight, float* dx,
    int N, int C, int H, int W, int O, int kh, int kw, int oh, int ow, int stride_h, int stride_w,
    int padding_h, int padding_w, int dilation_h, int dilation_w, int groups) {
    const Geometry g = {N, C, H, W, O, kh, kw, oh, ow, stride_h, stride_w,
                        padding_h, padding_w, dilation_h, dilation_w, groups};
    input_gradient<BF16>(dy, weight, dx, g);
}

extern "C" __global__ void __launch_bounds__(256) conv2d_weight_gradient_parts_bf16(
    const float* dy, const float* x, float* partial, int pixels_per_part,
    int N, int C, int H, int W, int O, int kh, int kw, int oh, int ow, int stride_h, int stride_w,
    int padding_h, int padding_w, int dilation_h, int dilation_w, int groups) {
    const Geometry g = {N, C, H, W, O, kh, kw, oh, ow, stride_h, stride_w,
                        padding_h, padding_w, dilation_h, dilation_w, groups};
    weight_gradient_parts<BF16>(dy, x, partial, pixels_per_part, g);
}
