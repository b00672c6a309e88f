// The optimisers' updates of one parameter, in place: one walk over parameter, gradient and state, where the formulas,
// written as operations on arrays, would walk once for each of their steps. One thread an element.
//
//     SGD   d = g + decay p;  v = momentum v + (1 - dampening) d  (d at first);  p = p - lr v, or lr (d + momentum v)
//     Adam  p = shrink p;  d = g + decay p;  m = b1 m + (1 - b1) d;  s = b2 s + (1 - b2) d^2;
//           p = p - rate m / (sqrt(s) correction + eps),  rate = lr / (1 - b1^t),  correction = 1 / sqrt(1 - b2^t)
#include "device.h"

extern "C" __global__ void sgd_update(float* p, const float* g, float* v, float lr, float momentum, float added,
                                      float decay, int nesterov, int first, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    float d = g[i] + decay * p[i];
    if (v) {  // null without momentum
        float velocity = first ? d : momentum * v[i] + added * d;
        v[i] = velocity;
        d = nesterov ? d + momentum * velocity : velocity;
    }
    p[i] -= lr * d;
}

extern "C" __global__ void adam_update(float* p, const float* g, float* m, float* s, float rate, float beta1,
                                       float added1, float beta2, float added2, float correction, float eps,
                                       float decay, float shrink, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    float value = p[i] * shrink;
    float d = g[i] + decay * value;
    float mean = beta1 * m[i] + added1 * d;
    float square = beta2 * s[i] + added2 * d * d;
    m[i] = mean;
    s[i] = square;
    p[i] = value - rate * mean / (sqrtf(square) * correction + eps);
}
