// Group normalisation of images with their channels last in memory: N images of `pixels` rows of C channels, K = C / G
// of which make a group.
//
//     over the m = pixels K numbers of a group of an image:  mean = 1/m sum x    var = 1/m sum (x - mean)^2
//     r = (var + eps)^(-1/2)    xhat = (x - mean) r    y = w_c xhat + b_c
//     dx = r (w_c dy - 1/m sum w dy - xhat 1/m sum w dy xhat)    dw_c = sum dy xhat    db_c = sum dy
//
// Forward: one block a group of an image. It goes through its numbers three times, for the mean, for the variance about
// that mean, and to write y; they are few enough to be in a cache after the first time.
//
// Backward: all sums that are wanted are sums of dy and dy xhat over the pixels of one channel of one image. One kernel
// takes them; from them come the sums over a group, weighted by w, and those over the batch, dw and db. No atomics, so
// equal input gives equal bits.
#include "device.h"

#define THREADS 256

// The sum over a block of THREADS threads, for each of them; of_warp is shared memory for a number a warp.
__device__ __forceinline__ float block_sum(float value, float* of_warp) {
    for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(0xffffffffu, value, distance);
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
    __syncthreads();
    float sum = 0.0f;
    for (int warp = 0; warp < THREADS / 32; ++warp) sum += of_warp[warp];
    __syncthreads();  // before the next sum writes there
    return sum;
}

extern "C" __global__ void __launch_bounds__(256)
    group_forward(const float* x, const float* weight, const float* bias, float* y, float* mean, float* r, int pixels,
                  int C, int K, float eps) {
    __shared__ float of_warp[THREADS / 32];
    int groups = C / K, n = blockIdx.x / groups, first_channel = blockIdx.x % groups * K, m = pixels * K;
    long long image = (long long)n * pixels * C + first_channel;
    float sum = 0.0f;
    for (int i = threadIdx.x; i < m; i += THREADS) sum += x[image + (long long)(i / K) * C + i % K];
    float center = block_sum(sum, of_warp) / m, squares = 0.0f;
    for (int i = threadIdx.x; i < m; i += THREADS) {
        float d = x[image + (long long)(i / K) * C + i % K] - center;
        squares += d * d;
    }
    float inverse = 1.0f / sqrtf(block_sum(squares, of_warp) / m + eps);
    for (int i = threadIdx.x; i < m; i += THREADS) {
        long long at = image + (long long)(i / K) * C + i % K;
        int c = first_channel + i % K;
        float xhat = (x[at] - center) * inverse;
        y[at] = (weight ? weight[c] * xhat : xhat) + (bias ? bias[c] : 0.0f);
    }
    if (threadIdx.x == 0) {
        mean[blockIdx.x] = center;
        r[blockIdx.x] = inverse;
    }
}

// Sums of dy and dy xhat over the pixels of one channel of one image, into sums[n][2][C]. Block (c, n): threads side by
// side take channels side by side, threads above each other take pixels.
extern "C" __global__ void __launch_bounds__(256)
    sum_over_pixels(const float* dy, const float* x, const float* mean, const float* r, float* sums, int pixels, int C,
                    int K) {
    __shared__ float firsts[THREADS];
    __shared__ float seconds[THREADS];
    int c = blockIdx.x * blockDim.x + threadIdx.x, n = blockIdx.y, own = threadIdx.y * blockDim.x + threadIdx.x;
    float sum = 0.0f, products = 0.0f;
    if (c < C) {
        int group = n * (C / K) + c / K;
        for (int pixel = threadIdx.y; pixel < pixels; pixel += blockDim.y) {
            long long at = ((long long)n * pixels + pixel) * C + c;
            sum += dy[at];
            products += dy[at] * ((x[at] - mean[group]) * r[group]);
        }
    }
    firsts[own] = sum;
    seconds[own] = products;
    __syncthreads();
    if (threadIdx.y != 0 || c >= C) return;
    for (int above = 1; above < blockDim.y; ++above) {
        sum += firsts[above * blockDim.x + threadIdx.x];
        products += seconds[above * blockDim.x + threadIdx.x];
    }
    sums[2 * n * C + c] = sum;
    sums[(2 * n + 1) * C + c] = products;
}

// 1/m sum w dy and 1/m sum w dy xhat. One thread a group of an image.
extern "C" __global__ void means_of_groups(const float* sums, const float* weight, float* means, int groups_of_all,
                                           int pixels, int C, int K) {
    int group = blockIdx.x * blockDim.x + threadIdx.x;
    if (group >= groups_of_all) return;
    int groups = C / K, n = group / groups, first_channel = group % groups * K;
    float sum = 0.0f, products = 0.0f;
    for (int c = first_channel; c < first_channel + K; ++c) {
        float w = weight ? weight[c] : 1.0f;
        sum += w * sums[2 * n * C + c];
        products += w * sums[(2 * n + 1) * C + c];
    }
    means[2 * group] = sum / ((float)pixels * K);
    means[2 * group + 1] = products / ((float)pixels * K);
}

// db and dw: the sums over the batch. One thread a channel.
extern "C" __global__ void sum_over_batch(const float* sums, float* db, float* dw, int N, int C) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= C) return;
    double sum = 0.0, products = 0.0;
    for (int n = 0; n < N; ++n) {
        sum += sums[2 * n * C + c];
        products += sums[(2 * n + 1) * C + c];
    }
    db[c] = (float)sum;
    dw[c] = (float)products;
}

// dx. One thread an element.
extern "C" __global__ void group_backward(const float* dy, const float* x, const float* weight, const float* mean,
                                          const float* r, const float* means, float* dx, int size, int pixels, int C,
                                          int K) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    int c = i % C, group = i / C / pixels * (C / K) + c / K;
    float xhat = (x[i] - mean[group]) * r[group], g = weight ? weight[c] * dy[i] : dy[i];
    dx[i] = r[group] * (g - means[2 * group] - xhat * means[2 * group + 1]);
}
