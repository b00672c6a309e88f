// Pooling of images with their channels last in memory: H W pixels of C neighbouring numbers. One thread a number of
// what is written, threads side by side on channels side by side, so that every access is of whole cache lines.
//
//     maximum:   y[p, q] = max over i, j of x[s p + d i - P, s q + d j - P];  place[p, q] = kw i + j where it lay
//     mean:      y[p, q] = share[p, q] * sum over the same elements (d = 1)
//     adaptive:  y[p, q] = mean of x over floor(p H / oh) <= h < ceil((p + 1) H / oh), columns alike
//
// Backward: each element of x gathers from the windows that hold it. To scatter from the windows would need atomic
// additions where they overlap, whose order, and so whose last bits, change from run to run.
#include "device.h"

// Where the number i of an image with `height` x `width` pixels lies.
struct Place {
    int n, row, column, c;
};

__device__ __forceinline__ Place place_of(int i, int height, int width, int C) {
    int pixel = i / C, line = pixel / width;
    return {line / height, line % height, pixel % width, i % C};
}

__device__ __forceinline__ int offset_of(int n, int row, int column, int c, int height, int width, int C) {
    return ((n * height + row) * width + column) * C + c;
}

// The window along one axis that has the element `at` at its place i, or -1 where there is none.
__device__ __forceinline__ int window_of(int at, int i, int stride, int padding, int dilation, int windows) {
    int start = at + padding - dilation * i;
    if (start < 0 || start % stride) return -1;
    return start / stride < windows ? start / stride : -1;
}

// Of equal values the first wins; a NaN wins against any number, and the first NaN against later ones.
extern "C" __global__ void max_forward(const float* x, float* y, unsigned char* winners, int size, int C, int H, int W,
                                       int oh, int ow, int kh, int kw, int sh, int sw, int ph, int pw, int dh, int dw) {
    int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= size) return;
    Place at = place_of(index, oh, ow, C);
    float best = -__int_as_float(0x7f800000);  // -infinity
    int winner = kh * kw - 1;
    bool found = false;
    for (int i = 0; i < kh; ++i) {
        int h = at.row * sh + i * dh - ph;
        if (h < 0 || h >= H) continue;
        for (int j = 0; j < kw; ++j) {
            int w = at.column * sw + j * dw - pw;
            if (w < 0 || w >= W) continue;
            float value = x[offset_of(at.n, h, w, at.c, H, W, C)];
            if (!found || value > best || (value != value && best == best)) {
                best = value;
                winner = i * kw + j;
                found = true;
            }
        }
    }
    y[index] = best;
    winners[index] = (unsigned char)winner;
}

extern "C" __global__ void max_backward(const float* dy, const unsigned char* winners, float* dx, int size, int C,
                                        int H, int W, int oh, int ow, int kh, int kw, int sh, int sw, int ph, int pw,
                                        int dh, int dw) {
    int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= size) return;
    Place at = place_of(index, H, W, C);
    float sum = 0.0f;
    for (int i = 0; i < kh; ++i) {
        int p = window_of(at.row, i, sh, ph, dh, oh);
        if (p < 0) continue;
        for (int j = 0; j < kw; ++j) {
            int q = window_of(at.column, j, sw, pw, dw, ow);
            if (q < 0) continue;
            int window = offset_of(at.n, p, q, at.c, oh, ow, C);
            if (winners[window] == i * kw + j) sum += dy[window];
        }
    }
    dx[index] = sum;
}

extern "C" __global__ void mean_forward(const float* x, const float* share, float* y, int size, int C, int H, int W,
                                        int oh, int ow, int kh, int kw, int sh, int sw, int ph, int pw) {
    int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= size) return;
    Place at = place_of(index, oh, ow, C);
    float sum = 0.0f;
    for (int i = 0; i < kh; ++i) {
        int h = at.row * sh + i - ph;
        if (h < 0 || h >= H) continue;
        for (int j = 0; j < kw; ++j) {
            int w = at.column * sw + j - pw;
            if (w >= 0 && w < W) sum += x[offset_of(at.n, h, w, at.c, H, W, C)];
        }
    }
    y[index] = sum * share[at.row * ow + at.column];
}

extern "C" __global__ void mean_backward(const float* dy, const float* share, float* dx, int size, int C, int H, int W,
                                         int oh, int ow, int kh, int kw, int sh, int sw, int ph, int pw) {
    int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= size) return;
    Place at = place_of(index, H, W, C);
    float sum = 0.0f;
    for (int i = 0; i < kh; ++i) {
        int p = window_of(at.row, i, sh, ph, 1, oh);
        if (p < 0) continue;
        for (int j = 0; j < kw; ++j) {
            int q = window_of(at.column, j, sw, pw, 1, ow);
            if (q >= 0) sum += dy[offset_of(at.n, p, q, at.c, oh, ow, C)] * share[p * ow + q];
        }
    }
    dx[index] = sum;
}

// Where the window p of `windows` even ones over `length` elements starts; it ends at `end_of`, and they may overlap.
__device__ __forceinline__ int start_of(int p, int length, int windows) {
    return (int)((long long)p * length / windows);
}

__device__ __forceinline__ int end_of(int p, int length, int windows) {
    return (int)(((long long)(p + 1) * length + windows - 1) / windows);
}

extern "C" __global__ void adaptive_forward(const float* x, float* y, int size, int C, int H, int W, int oh, int ow) {
    int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= size) return;
    Place at = place_of(index, oh, ow, C);
    int top = start_of(at.row, H, oh), bottom = end_of(at.row, H, oh);
    int left = start_of(at.column, W, ow), right = end_of(at.column, W, ow);
    float sum = 0.0f;
    for (int h = top; h < bottom; ++h) {
        float row = 0.0f;  // rows first: long sums in float lose digits
        for (int w = left; w < right; ++w) row += x[offset_of(at.n, h, w, at.c, H, W, C)];
        sum += row;
    }
    y[index] = sum / ((bottom - top) * (right - left));
}

// The windows that hold h: start_of(p) <= h is p H < (h + 1) oh, and h < end_of(p) is (p + 1) H > h oh.
extern "C" __global__ void adaptive_backward(const float* dy, float* dx, int size, int C, int H, int W, int oh,
                                             int ow) {
    int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= size) return;
    Place at = place_of(index, H, W, C);
    int first_p = (int)((long long)at.row * oh / H), last_p = (int)(((long long)(at.row + 1) * oh - 1) / H);
    int first_q = (int)((long long)at.column * ow / W), last_q = (int)(((long long)(at.column + 1) * ow - 1) / W);
    float sum = 0.0f;
    for (int p = first_p; p <= last_p; ++p) {
        int height = end_of(p, H, oh) - start_of(p, H, oh);
        for (int q = first_q; q <= last_q; ++q) {
            int width = end_of(q, W, ow) - start_of(q, W, ow);
            sum += dy[offset_of(at.n, p, q, at.c, oh, ow, C)] / (height * width);
        }
    }
    dx[index] = sum;
}
