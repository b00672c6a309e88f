// Batch normalisation, with a residual and a rectifier in the same passes, for rows of C channels: an image
// (N, C, H, W) with its channels last in memory is N H W such rows.
//
//     mean = 1/m sum x    var = 1/m sum (x - mean)^2    r = (var + eps)^(-1/2)    s = w r
//     y = s (x - mean) + b,  or  max(y, 0),  or  max(y + residual, 0)
//     g = dy, or dy where the rectified y > 0    db = sum g    dw = r sum g (x - mean)
//     dx = s (g - 1/m db - (x - mean) r 1/m dw)
//
// The layer reads and writes much and computes little, so passes over memory are what counts: one that sums and one
// that writes, forward as backward. Neither xhat nor the mask is kept: both are computed again from x.
//
// Sums over a channel take two stages, without atomics, so that equal input gives equal bits. First, block (c, p) takes
// the channels c blockDim.x .. and the rows of part p: threads side by side read channels side by side, threads above
// each other read rows, and their sums meet in shared memory. Then one thread a channel adds up the parts. A thread
// sums few numbers in float; those totals are added in double.
//
// Variance: the squares are of x - shift, where shift is the mean of the channel's first rows. The variance is then no
// difference of two large, almost equal numbers, where the mean is far from zero.
#include "device.h"

// The most threads of a block that sums.
#define SUM_THREADS 256
// From so many rows a channel's shift is taken.
#define SHIFT_ROWS 16
// What g is: dy; dy where y > 0, with y computed again from x; or that with y read, since a residual is in it.
#define PLAIN 0
#define RECTIFIED 1
#define RESIDUAL 2

// One expression for both ways, so that the mask of the backward is that of the forward to the last bit.
__device__ __forceinline__ float normalised(float x, float mean, float scale, const float* bias, int c) {
    return fmaf(x - mean, scale, bias ? bias[c] : 0.0f);
}

// The two sums of a block's threads above each other, into partial[part][2][C]. Every thread of the block comes here.
__device__ __forceinline__ void write_totals(double first, double second, double* partial, int C) {
    __shared__ double firsts[SUM_THREADS];
    __shared__ double seconds[SUM_THREADS];
    int own = threadIdx.y * blockDim.x + threadIdx.x, c = blockIdx.x * blockDim.x + threadIdx.x;
    firsts[own] = first;
    seconds[own] = second;
    __syncthreads();
    if (threadIdx.y != 0 || c >= C) return;
    for (int above = 1; above < blockDim.y; ++above) {
        first += firsts[above * blockDim.x + threadIdx.x];
        second += seconds[above * blockDim.x + threadIdx.x];
    }
    partial[2LL * blockIdx.y * C + c] = first;
    partial[(2LL * blockIdx.y + 1) * C + c] = second;
}

// What is subtracted before the squares are summed: the mean of the first rows. One thread a channel.
extern "C" __global__ void first_guess(const float* x, float* shift, int rows, int C) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= C) return;
    int count = rows < SHIFT_ROWS ? rows : SHIFT_ROWS;
    float sum = 0.0f;
    for (int row = 0; row < count; ++row) sum += x[(long long)row * C + c];
    shift[c] = sum / count;
}

// First stage: sums of x - shift and of its square.
extern "C" __global__ void __launch_bounds__(256)
    sum_powers(const float* x, const float* shift, double* partial, int rows, int C, int rows_of_part) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    int first = blockIdx.y * rows_of_part, end = min(rows, first + rows_of_part);
    float sum = 0.0f, squares = 0.0f;
    if (c < C) {
        float guess = shift[c];
        for (int row = first + threadIdx.y; row < end; row += blockDim.y) {
            float d = x[(long long)row * C + c] - guess;
            sum += d;
            squares += d * d;
        }
    }
    write_totals(sum, squares, partial, C);
}

// Second stage: a channel's mean, biased variance and r, and s = w r. One thread a channel.
extern "C" __global__ void finish_statistics(const double* partial, const float* shift, const float* weight,
                                             float* mean, float* var, float* r, float* scale, int rows, int C,
                                             int parts, double eps) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= C) return;
    double sum = 0.0, squares = 0.0;
    for (int part = 0; part < parts; ++part) {
        sum += partial[2LL * part * C + c];
        squares += partial[(2LL * part + 1) * C + c];
    }
    double from_shift = sum / rows, variance = squares / rows - from_shift * from_shift;
    if (variance < 0.0) variance = 0.0;
    double inverse = 1.0 / sqrt(variance + eps);
    mean[c] = (float)(shift[c] + from_shift);
    var[c] = (float)variance;
    r[c] = (float)inverse;
    scale[c] = (float)(weight ? weight[c] * inverse : inverse);
}

// y, with a residual unless it is null, and rectified where wanted. One thread an element.
extern "C" __global__ void scale_rows(const float* x, const float* mean, const float* scale, const float* bias,
                                      const float* residual, float* y, int size, int C, int rectified) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    int c = i % C;
    float value = normalised(x[i], mean[c], scale[c], bias, c);
    if (residual) value += residual[i];
    y[i] = rectified && value <= 0.0f ? 0.0f : value;  // a NaN stays one
}

// First stage of the backward: sums of g and of g (x - mean). With a residual g is its gradient, and is written down.
extern "C" __global__ void __launch_bounds__(256)
    sum_gradients(const float* dy, const float* y, const float* x, const float* mean, const float* scale,
                  const float* bias, float* passed, double* partial, int rows, int C, int rows_of_part, int mask) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    int first = blockIdx.y * rows_of_part, end = min(rows, first + rows_of_part);
    float sum = 0.0f, products = 0.0f;
    if (c < C) {
        for (int row = first + threadIdx.y; row < end; row += blockDim.y) {
            long long i = (long long)row * C + c;
            float g = dy[i], here = x[i];
            if (mask == RECTIFIED && !(normalised(here, mean[c], scale[c], bias, c) > 0.0f)) g = 0.0f;
            if (mask == RESIDUAL) {
                if (!(y[i] > 0.0f)) g = 0.0f;
                passed[i] = g;
            }
            sum += g;
            products += g * (here - mean[c]);
        }
    }
    write_totals(sum, products, partial, C);
}

// Second stage: db and dw, and what `spread_gradients` subtracts: db / m and r dw / m. One thread a channel.
extern "C" __global__ void finish_gradients(const double* partial, const float* r, float* db, float* dw, float* offset,
                                            float* slope, int rows, int C, int parts) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= C) return;
    double sum = 0.0, products = 0.0;
    for (int part = 0; part < parts; ++part) {
        sum += partial[2LL * part * C + c];
        products += partial[(2LL * part + 1) * C + c];
    }
    double inverse = r[c];
    db[c] = (float)sum;
    dw[c] = (float)(products * inverse);
    offset[c] = (float)(sum / rows);
    slope[c] = (float)(products * inverse * inverse / rows);
}

// dx; without offset and slope (null) that of given statistics, s g. One thread an element.
extern "C" __global__ void spread_gradients(const float* dy, const float* x, const float* mean, const float* scale,
                                            const float* bias, const float* offset, const float* slope, float* dx,
                                            int size, int C, int rectified) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    int c = i % C;
    float g = dy[i], here = x[i];
    if (rectified && !(normalised(here, mean[c], scale[c], bias, c) > 0.0f)) g = 0.0f;
    if (offset) g -= offset[c] + (here - mean[c]) * slope[c];
    dx[i] = scale[c] * g;
}
