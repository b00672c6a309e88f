// Softmax and softmax cross-entropy over rows in memory: one warp a row, four rows a block of 128 threads.
//
// Lane l walks the elements l, l + 32, l + 64, ... of its row, so that a warp reads 128 bytes at a time. A row's maximum
// and its sums are then combined in five shuffles (over 16, 8, 4, 2, 1 lanes), after which every lane has them: no
// shared memory, no barrier. All 32 lanes of a warp have the same row, so that all of them reach every shuffle.
//
//     softmax        p = e^(x - m) / sum e^(x - m), m = max x     dx = p (dy - sum dy p)
//     cross-entropy  y = -sum q ln p, 0 ln 0 = 0                  dx = (p sum q - q) dy
#include "device.h"

__device__ __forceinline__ float warp_sum(float value) {
    for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(0xffffffffu, value, distance);
    return value;
}

__device__ __forceinline__ float warp_max(float value) {
    for (int distance = 16; distance > 0; distance /= 2) {
        float other = __shfl_xor_sync(0xffffffffu, value, distance);
        value = other > value ? other : value;
    }
    return value;
}

__device__ __forceinline__ float row_max(const float* row, int width, int lane) {
    float high = row[0];
    for (int c = lane; c < width; c += 32) high = row[c] > high ? row[c] : high;
    return warp_max(high);
}

extern "C" __global__ void softmax_forward(const float* x, float* y, int rows, int width) {
    int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;  // the whole warp
    x += (long long)row * width;
    y += (long long)row * width;
    float high = row_max(x, width, lane), total = 0.0f;
    for (int c = lane; c < width; c += 32) {
        float e = expf(x[c] - high);
        y[c] = e;
        total += e;
    }
    total = warp_sum(total);
    for (int c = lane; c < width; c += 32) y[c] /= total;  // each lane what it wrote itself
}

extern "C" __global__ void softmax_backward(const float* y, const float* dy, float* dx, int rows, int width) {
    int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    y += (long long)row * width;
    dy += (long long)row * width;
    dx += (long long)row * width;
    float product = 0.0f;
    for (int c = lane; c < width; c += 32) product += dy[c] * y[c];
    product = warp_sum(product);
    for (int c = lane; c < width; c += 32) dx[c] = y[c] * (dy[c] - product);
}

extern "C" __global__ void cross_entropy_forward(const float* x, const float* q, float* log_p, float* y, int rows,
                                                 int width) {
    int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    x += (long long)row * width;
    q += (long long)row * width;
    log_p += (long long)row * width;
    float high = row_max(x, width, lane), total = 0.0f, loss = 0.0f;
    for (int c = lane; c < width; c += 32) total += expf(x[c] - high);
    float log_total = logf(warp_sum(total));
    for (int c = lane; c < width; c += 32) {
        float value = (x[c] - high) - log_total;
        log_p[c] = value;
        if (q[c] != 0.0f) loss -= q[c] * value;
    }
    loss = warp_sum(loss);
    if (lane == 0) y[row] = loss;
}

extern "C" __global__ void cross_entropy_backward(const float* log_p, const float* q, const float* dy, float* dx,
                                                  int rows, int width) {
    int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    log_p += (long long)row * width;
    q += (long long)row * width;
    dx += (long long)row * width;
    float weight = 0.0f;
    for (int c = lane; c < width; c += 32) weight += q[c];
    weight = warp_sum(weight);
    for (int c = lane; c < width; c += 32) dx[c] = (expf(log_p[c]) * weight - q[c]) * dy[row];
}
