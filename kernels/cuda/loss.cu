// Cross-entropy of logits, element by element: y = max(x, 0) - t x + ln(1 + e^-|x|), in which nothing overflows, and
// dx = (sigmoid(x) - t) dy scale. One thread an element; `single` says that all of them have one dy (a mean or a sum).
#include "device.h"

extern "C" __global__ void logit_losses(const float* x, const float* target, float* y, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    float v = x[i], high = v > 0.0f ? v : 0.0f;
    y[i] = (high - target[i] * v) + log1pf(expf(-fabsf(v)));
}

extern "C" __global__ void logit_loss_gradients(const float* x, const float* target, const float* dy, float* dx,
                                                int single, float scale, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    float s = 1.0f / (1.0f + expf(-x[i]));
    dx[i] = (s - target[i]) * dy[single ? 0 : i] * scale;
}
