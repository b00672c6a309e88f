// The end of a residual block, max(x + residual, 0), in one pass: one thread an element. Both branches have the same
// gradient, dy where y > 0.
#include "device.h"

extern "C" __global__ void add_relu_forward(const float* x, const float* residual, float* y, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    float sum = x[i] + residual[i];
    y[i] = sum <= 0.0f ? 0.0f : sum;  // a NaN stays one
}

extern "C" __global__ void add_relu_backward(const float* y, const float* dy, float* dx, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) dx[i] = y[i] > 0.0f ? dy[i] : 0.0f;
}
