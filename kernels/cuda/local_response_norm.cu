// Local response normalisation of rows of C channels: an image with its channels last in memory is N H W such rows, and
// a channel's neighbours are its neighbours in memory.
//
//     s_c = k + alpha / n sum over W(c) of x_j^2      y_c = x_c s_c^(-beta)
//     dx_c = dy_c s_c^(-beta) - 2 alpha beta / n x_c sum over j with c in W(j) of dy_j y_j / s_j
//
// One thread an element, which reads its whole window: all but one of those reads hit the cache. s is kept for the
// backward: it costs one pass to read, and a second window in the window to compute again.
#include "device.h"

// s^(-beta); for the usual beta = 3/4 by square roots, which are faster than a power.
__device__ __forceinline__ float inverse_power(float s, float beta) {
    return beta == 0.75f ? 1.0f / (sqrtf(s) * sqrtf(sqrtf(s))) : powf(s, -beta);
}

extern "C" __global__ void lrn_forward(const float* x, float* y, float* s, int size, int C, int before, int after,
                                       float weight, float beta, float k) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    int c = i % C, first = max(0, c - before), last = min(C - 1, c + after);
    const float* row = x + (i - c);
    float energy = 0.0f;
    for (int j = first; j <= last; ++j) energy += row[j] * row[j];
    float total = energy * weight + k;
    s[i] = total;
    y[i] = x[i] * inverse_power(total, beta);
}

// c lies in W(j) where j lies in the window of c with `before` and `after` exchanged.
extern "C" __global__ void lrn_backward(const float* dy, const float* x, const float* y, const float* s, float* dx,
                                        int size, int C, int before, int after, float weight, float beta) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    int c = i % C, first = max(0, c - after), last = min(C - 1, c + before), row = i - c;
    float through_neighbours = 0.0f;
    for (int j = row + first; j <= row + last; ++j) through_neighbours += dy[j] * y[j] / s[j];
    dx[i] = dy[i] * inverse_power(s[i], beta) - 2.0f * weight * beta * x[i] * through_neighbours;
}
