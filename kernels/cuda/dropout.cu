// Dropout's multiplication with its mask: y = x / (1 - p) where the mask keeps, else 0. One thread an element.
//
// The mask is drawn before, by the counter-based generator, so that a replay meets the same one. The gradient is the
// same map of dy.
#include "device.h"

extern "C" __global__ void scale_kept(const float* x, const bool* mask, float* y, float scale, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) y[i] = mask[i] ? x[i] * scale : 0.0f;
}
