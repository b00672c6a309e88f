// Rectifier and its kin: one thread an element.
#include "device.h"

extern "C" __global__ void relu_forward(const float* x, float* y, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}

extern "C" __global__ void relu_backward(const float* y, const float* dy, float* dx, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) dx[i] = y[i] > 0.0f ? dy[i] : 0.0f;
}
