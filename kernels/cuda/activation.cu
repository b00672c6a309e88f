// Activations and sums, element by element: one thread an element, neighbours reading neighbours.
//
// Nothing is saved but what is there already: the rectifier's mask is y > 0, sigmoid's and tanh's derivatives are
// functions of y, silu's sigmoid is computed again from x. So each way reads and writes what it must and no more.
//
//     sigmoid  y = 1 / (1 + e^-x)      dx = dy y (1 - y)
//     tanh     y = tanh x              dx = dy (1 - y^2)
//     silu     y = x s, s = sigmoid x  dx = dy s (1 + x (1 - s))
//
// e^-x may overflow to infinity for large negative x; then 1 / (1 + e^-x) is 0, as it should be.
#include "device.h"

extern "C" __global__ void relu_forward(const float* x, float* y, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) y[i] = x[i] <= 0.0f ? 0.0f : x[i];  // a NaN stays one
}

extern "C" __global__ void relu_backward(const float* y, const float* dy, float* dx, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) dx[i] = y[i] > 0.0f ? dy[i] : 0.0f;
}

extern "C" __global__ void leaky_relu_forward(const float* x, float* y, float slope, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) y[i] = x[i] > 0.0f ? x[i] : slope * x[i];
}

extern "C" __global__ void leaky_relu_backward(const float* x, const float* dy, float* dx, float slope, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) dx[i] = x[i] > 0.0f ? dy[i] : slope * dy[i];
}

extern "C" __global__ void sigmoid_forward(const float* x, float* y, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) y[i] = 1.0f / (1.0f + expf(-x[i]));
}

extern "C" __global__ void sigmoid_backward(const float* y, const float* dy, float* dx, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) dx[i] = dy[i] * (y[i] * (1.0f - y[i]));
}

extern "C" __global__ void tanh_forward(const float* x, float* y, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) y[i] = tanhf(x[i]);
}

extern "C" __global__ void tanh_backward(const float* y, const float* dy, float* dx, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) dx[i] = dy[i] * (1.0f - y[i] * y[i]);
}

extern "C" __global__ void silu_forward(const float* x, float* y, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) y[i] = x[i] * (1.0f / (1.0f + expf(-x[i])));
}

extern "C" __global__ void silu_backward(const float* x, const float* dy, float* dx, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    float s = 1.0f / (1.0f + expf(-x[i]));
    dx[i] = dy[i] * (s * (1.0f + x[i] * (1.0f - s)));
}

extern "C" __global__ void add_forward(const float* a, const float* b, float* y, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) y[i] = a[i] + b[i];
}
