// The optimisers' updates of all parameters in one launch, in place: one walk over parameter, gradient and state, where
// the formulas, written as operations on arrays, would walk once for each of their steps.
//
//     SGD   d = g + decay p;  v = momentum v + (1 - dampening) d  (d at first);  p = p - lr v, or lr (d + momentum v)
//     Adam  p = shrink p;  d = g + decay p;  m = b1 m + (1 - b1) d;  s = b2 s + (1 - b2) d^2;
//           p = p - rate m / (sqrt(s) correction + eps),  rate = lr / (1 - b1^t),  correction = 1 / sqrt(1 - b2^t)
//
// A network has hundreds of small arrays beside its large ones, so they are cut into pieces of equal length, a block
// each: pieces (blocks, 3) says of which array, from where, and up to where. addresses (kinds, arrays) tells where the
// arrays begin, first all parameters, then all gradients, then the states.
#include "device.h"

static __device__ __forceinline__ float* array(const long long* addresses, int kind, int arrays, int which) {
    return reinterpret_cast<float*>(addresses[kind * arrays + which]);
}

extern "C" __global__ void __launch_bounds__(256) sgd_update(
    const long long* addresses, const int* pieces, int arrays, float lr, float momentum, float added, float decay,
    int nesterov, int first, int has_velocity) {
    const int *piece = pieces + 3 * blockIdx.x, which = piece[0];
    float* p = array(addresses, 0, arrays, which);
    const float* g = array(addresses, 1, arrays, which);
    float* v = has_velocity ? array(addresses, 2, arrays, which) : nullptr;
    for (int i = piece[1] + threadIdx.x; i < piece[2]; i += blockDim.x) {
        float d = g[i] + decay * p[i];
        if (v) {
            float velocity = first ? d : momentum * v[i] + added * d;
            v[i] = velocity;
            d = nesterov ? d + momentum * velocity : velocity;
        }
        p[i] -= lr * d;
    }
}

extern "C" __global__ void __launch_bounds__(256) adam_update(
    const long long* addresses, const int* pieces, int arrays, float rate, float beta1, float added1, float beta2,
    float added2, float correction, float eps, float decay, float shrink) {
    const int *piece = pieces + 3 * blockIdx.x, which = piece[0];
    float* p = array(addresses, 0, arrays, which);
    const float* g = array(addresses, 1, arrays, which);
    float *m = array(addresses, 2, arrays, which), *s = array(addresses, 3, arrays, which);
    for (int i = piece[1] + threadIdx.x; i < piece[2]; i += blockDim.x) {
        float value = p[i] * shrink;
        float d = g[i] + decay * value;
        float mean = beta1 * m[i] + added1 * d;
        float square = beta2 * s[i] + added2 * d * d;
        m[i] = mean;
        s[i] = square;
        p[i] = value - rate * mean / (sqrtf(square) * correction + eps);
    }
}
