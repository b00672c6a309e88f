// Convolution in float32 as an implicit matrix product: the matrix of windows is never written; its entries are
// fetched from the image as the tiles in shared memory want them.
//
//                          rows            columns    depth, over which is summed      left             right
//   forward                (n, p, q)       o          (i, j, c)                        x, gathered      weight
//   input gradient         (n, h, v)       c          (i, j, o)                        dy, gathered     weight
//   weight gradient        (i, j, c)       o          (n, p, q)                        x, gathered      dy
//
// Images are channels-last in memory. Within its group the weight lies as the depth runs: forward (i, j, c, o), input
// gradient (i, j, o, c). A block of 256 threads computes 64 x 64 results of one group, a thread 4 x 4 of them; the
// depth goes by in steps of 16. Each thread fetches four numbers of the left and four of the right tile a step, in one
// load where they are aligned, and fetches them while the step before is multiplied.
//
// Every result is written by one thread, and every sum runs in a fixed order: no atomics, the same bits each time.
#include "device.h"

enum { THREADS = 256, TILE = 64, DEPTH = 16, PADDED = TILE + 4 };

struct Geometry {
    int N, C, H, W, O, kh, kw, oh, ow, stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w, groups;
};

struct Four {
    float v[4];
};

// Four neighbours, of which only the first `count` exist; the others are 0.
static __device__ __forceinline__ Four load_four(const float* p, int count) {
    Four f;
    if (count >= 4 && ((size_t)p & 15) == 0) {
        float4 q = *reinterpret_cast<const float4*>(p);
        f.v[0] = q.x, f.v[1] = q.y, f.v[2] = q.z, f.v[3] = q.w;
    } else {
        for (int e = 0; e < 4; ++e) f.v[e] = e < count ? p[e] : 0.0f;
    }
    return f;
}

// Where a row (n, a, b) of an image of height x width lies.
struct Pixel {
    int n, a, b;
    bool exists;
    __device__ Pixel(int index, int images, int height, int width) {
        b = index % width, a = index / width % height, n = index / (width * height);
        exists = n < images;
    }
};

// A row-major matrix (depth, columns): the weight, or dy with `pitch` channels a pixel.
struct Matrix {
    const float* first;
    int depth, columns, pitch;
    __device__ Four at(int k, int column) const {
        bool inside = k < depth && column < columns;
        return load_four(inside ? first + (size_t)k * pitch + column : first, inside ? columns - column : 0);
    }
};

// The windows of x: at output pixel (p, q) and place (i, j) the input pixel (s p + d i - P, s q + d j - P).
struct WindowsOfX {
    const float* x;  // the first channel of the group
    Geometry g;
    __device__ const float* at(Pixel out, int place) const {
        int h = out.a * g.stride_h + place / g.kw * g.dilation_h - g.padding_h;
        int v = out.b * g.stride_w + place % g.kw * g.dilation_w - g.padding_w;
        bool inside = out.exists && place < g.kh * g.kw && h >= 0 && h < g.H && v >= 0 && v < g.W;
        return inside ? x + (((size_t)out.n * g.H + h) * g.W + v) * g.C : nullptr;
    }
};

// The other way round: at input pixel (h, v) and place (i, j) the output pixel (p, q) with s p + d i - P = h, likewise
// q, if there is one. Gathering so, no two threads ever add to one place.
struct WindowsOfDy {
    const float* dy;
    Geometry g;
    __device__ const float* at(Pixel in, int place) const {
        int h = in.a + g.padding_h - place / g.kw * g.dilation_h;
        int v = in.b + g.padding_w - place % g.kw * g.dilation_w;
        int p = h / g.stride_h, q = v / g.stride_w;
        bool inside = in.exists && place < g.kh * g.kw && h >= 0 && v >= 0 && h == p * g.stride_h &&
                      v == q * g.stride_w && p < g.oh && q < g.ow;
        return inside ? dy + (((size_t)in.n * g.oh + p) * g.ow + q) * g.O : nullptr;
    }
};

// Four numbers of a row of windows, from entry `k` = (place, channel) on. They may reach over several places.
template <class Windows>
static __device__ Four four_of_row(const Windows& windows, Pixel pixel, int k, int channels) {
    if (channels % 4 == 0) {
        const float* p = windows.at(pixel, k / channels);
        return load_four(p ? p + k % channels : nullptr, p ? 4 : 0);
    }
    Four f;
    for (int e = 0; e < 4; ++e) {
        const float* p = windows.at(pixel, (k + e) / channels);
        f.v[e] = p ? p[(k + e) % channels] : 0.0f;
    }
    return f;
}

// The left matrix with its pixels as rows: a thread stays in its row, and steps along it.
template <class Windows> struct PixelsByEntries {
    Windows windows;
    int channels;
    Pixel pixel;
    __device__ PixelsByEntries(Windows windows, int channels, int row0, int images, int height, int width)
        : windows(windows), channels(channels), pixel(row0 + threadIdx.x / 4, images, height, width) {}
    __device__ Four fetch(int k0) const { return four_of_row(windows, pixel, k0 + threadIdx.x % 4 * 4, channels); }
    __device__ void store(float (*tile)[PADDED], const Four& f) const {
        for (int e = 0; e < 4; ++e) tile[threadIdx.x % 4 * 4 + e][threadIdx.x / 4] = f.v[e];
    }
};

// The left matrix with its pixels as depth (up to `end`): a thread stays at its entry of the window.
struct EntriesByPixels {
    WindowsOfX windows;
    int channels, row0, end;
    __device__ Four fetch(int k0) const {
        Pixel out(k0 + threadIdx.x / 16, windows.g.N, windows.g.oh, windows.g.ow);
        out.exists = k0 + (int)threadIdx.x / 16 < end;
        return four_of_row(windows, out, row0 + threadIdx.x % 16 * 4, channels);
    }
    __device__ void store(float (*tile)[PADDED], const Four& f) const {
        for (int e = 0; e < 4; ++e) tile[threadIdx.x / 16][threadIdx.x % 16 * 4 + e] = f.v[e];
    }
};

// result[r][c] = sum over k in [begin, end) of left[4 (thread / 16) + r, k] right[k, 4 (thread % 16) + c], with rows and
// columns counted from the block's first.
template <class Left>
static __device__ void tile_product(const Left& left, const Matrix& right, int column0, int begin, int end,
                                    float (&result)[4][4]) {
    __shared__ __align__(16) float left_tile[DEPTH][PADDED];
    __shared__ __align__(16) float right_tile[DEPTH][PADDED];
    const int row = threadIdx.x / 16 * 4, column = threadIdx.x % 16 * 4;
    const int right_k = threadIdx.x / 16, right_column = threadIdx.x % 16 * 4;
    for (int r = 0; r < 4; ++r)
        for (int c = 0; c < 4; ++c) result[r][c] = 0.0f;

    Four a = left.fetch(begin), b = right.at(begin + right_k, column0 + right_column);
    for (int k0 = begin; k0 < end; k0 += DEPTH) {
        left.store(left_tile, a);
        for (int e = 0; e < 4; ++e) right_tile[right_k][right_column + e] = b.v[e];
        __syncthreads();
        if (k0 + DEPTH < end) {
            a = left.fetch(k0 + DEPTH);
            b = right.at(k0 + DEPTH + right_k, column0 + right_column);
        }
#pragma unroll
        for (int k = 0; k < DEPTH; ++k) {
            const float4 l = *reinterpret_cast<const float4*>(&left_tile[k][row]);
            const float4 r = *reinterpret_cast<const float4*>(&right_tile[k][column]);
            const float of_left[4] = {l.x, l.y, l.z, l.w}, of_right[4] = {r.x, r.y, r.z, r.w};
#pragma unroll
            for (int i = 0; i < 4; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j) result[i][j] = fmaf(of_left[i], of_right[j], result[i][j]);
        }
        __syncthreads();  // before the next step overwrites the tiles
    }
}

// Grid: (tiles of pixels, tiles of a group's output channels, groups).
extern "C" __global__ void __launch_bounds__(256) conv2d_forward(
    const float* x, const float* weight, const float* bias, float* y, int N, int C, int H, int W, int O, int kh, int kw,
    int oh, int ow, int stride_h, int stride_w, int padding_h, int padding_w, int dilation_h, int dilation_w,
    int groups) {
    const Geometry g = {N,        C,        H,         W,         O,          kh,         kw,    oh, ow,
                        stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w, groups};
    const int channels = C / groups, outputs = O / groups, depth = kh * kw * channels, group = blockIdx.z;
    const int row0 = blockIdx.x * TILE, column0 = blockIdx.y * TILE;
    const PixelsByEntries<WindowsOfX> left({x + group * channels, g}, channels, row0, N, oh, ow);
    const Matrix right = {weight + (size_t)group * depth * outputs, depth, outputs, outputs};
    float result[4][4];
    tile_product(left, right, column0, 0, depth, result);
    for (int r = 0; r < 4; ++r)
        for (int c = 0; c < 4; ++c) {
            const int pixel = row0 + threadIdx.x / 16 * 4 + r, o = column0 + threadIdx.x % 16 * 4 + c;
            if (pixel < N * oh * ow && o < outputs) {
                const int channel = group * outputs + o;
                y[(size_t)pixel * O + channel] = result[r][c] + (bias ? bias[channel] : 0.0f);
            }
        }
}

// Grid: (tiles of input pixels, tiles of a group's input channels, groups).
extern "C" __global__ void __launch_bounds__(256) conv2d_input_gradient(
    const float* dy, const float* weight, float* dx, int N, int C, int H, int W, int O, int kh, int kw, int oh, int ow,
    int stride_h, int stride_w, int padding_h, int padding_w, int dilation_h, int dilation_w, int groups) {
    const Geometry g = {N,        C,        H,         W,         O,          kh,         kw,    oh, ow,
                        stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w, groups};
    const int channels = C / groups, outputs = O / groups, depth = kh * kw * outputs, group = blockIdx.z;
    const int row0 = blockIdx.x * TILE, column0 = blockIdx.y * TILE;
    const PixelsByEntries<WindowsOfDy> left({dy + group * outputs, g}, outputs, row0, N, H, W);
    const Matrix right = {weight + (size_t)group * depth * channels, depth, channels, channels};
    float result[4][4];
    tile_product(left, right, column0, 0, depth, result);
    for (int r = 0; r < 4; ++r)
        for (int c = 0; c < 4; ++c) {
            const int pixel = row0 + threadIdx.x / 16 * 4 + r, channel = column0 + threadIdx.x % 16 * 4 + c;
            if (pixel < N * H * W && channel < channels)
                dx[(size_t)pixel * C + group * channels + channel] = result[r][c];
        }
}

// Grid: (tiles of window entries, tiles of a group's output channels, groups x parts). There are few weights and many
// pixels, so the pixels are split into parts, each summed by other blocks: partial (parts, groups, i, j, c, o).
extern "C" __global__ void __launch_bounds__(256) conv2d_weight_gradient_parts(
    const float* dy, const float* x, float* partial, int pixels_per_part, int N, int C, int H, int W, int O, int kh,
    int kw, int oh, int ow, int stride_h, int stride_w, int padding_h, int padding_w, int dilation_h, int dilation_w,
    int groups) {
    const Geometry g = {N,        C,        H,         W,         O,          kh,         kw,    oh, ow,
                        stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w, groups};
    const int channels = C / groups, outputs = O / groups, entries = kh * kw * channels;
    const int group = blockIdx.z % groups, part = blockIdx.z / groups;
    const int row0 = blockIdx.x * TILE, column0 = blockIdx.y * TILE;
    const int begin = part * pixels_per_part, end = min(begin + pixels_per_part, N * oh * ow);
    const EntriesByPixels left = {{x + group * channels, g}, channels, row0, end};
    const Matrix right = {dy + group * outputs, end, outputs, O};
    float result[4][4];
    tile_product(left, right, column0, begin, end, result);
    for (int r = 0; r < 4; ++r)
        for (int c = 0; c < 4; ++c) {
            const int entry = row0 + threadIdx.x / 16 * 4 + r, o = column0 + threadIdx.x % 16 * 4 + c;
            if (entry < entries && o < outputs)
                partial[((size_t)blockIdx.z * entries + entry) * outputs + o] = result[r][c];
        }
}

// The second pass: one thread a weight adds the parts, first to last.
extern "C" __global__ void __launch_bounds__(256) conv2d_weight_gradient_sum(const float* partial, float* dw, int parts,
                                                                           int size) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    float sum = 0.0f;
    for (int part = 0; part < parts; ++part) sum += partial[(size_t)part * size + i];
    dw[i] = sum;
}
