// Convolution as an implicit matrix product: the matrix of windows is never written; its entries are fetched from the
// image as the tiles in shared memory want them.
//
//                          rows            columns    depth, over which is summed      left             right
//   forward                (n, p, q)       o          (i, j, c)                        x, gathered      weight
//   input gradient         (n, h, v)       c          (i, j, o)                        dy, gathered     weight
//   weight gradient        (i, j, c)       o          (n, p, q)                        x, gathered      dy
//
// Images are channels-last in memory. Within its group the weight lies as the depth runs: forward (i, j, c, o), input
// gradient (i, j, o, c). A block of 256 threads computes 64 x 64 results of one group, a thread 16 of them; the
// depth goes by in steps of 16. Each thread fetches four numbers of the left and four of the right tile a step, in one
// load where they are aligned, and fetches them while the step before is multiplied.
//
// Every result is written by one thread, and every sum runs in a fixed order: no atomics, the same bits each time.
#pragma once
#include "device.h"

// Rows of a tile are padded so that the entries a warp of tensor cores reads lie in different banks.
enum { TILE = 64, DEPTH = 16, PADDED = TILE + 8 };

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
    __device__ const float* first() const { return x; }
    __device__ const float* at(Pixel out, int place) const { return at(out, place / g.kw, place % g.kw); }
    __device__ const float* at(Pixel out, int i, int j) const {
        int h = out.a * g.stride_h + i * g.dilation_h - g.padding_h;
        int v = out.b * g.stride_w + j * g.dilation_w - g.padding_w;
        bool inside = out.exists && i < g.kh && h >= 0 && h < g.H && v >= 0 && v < g.W;
        return inside ? x + (((size_t)out.n * g.H + h) * g.W + v) * g.C : nullptr;
    }
};

// The other way round: at input pixel (h, v) and place (i, j) the output pixel (p, q) with s p + d i - P = h, likewise
// q, if there is one. Gathering so, no two threads ever add to one place.
struct WindowsOfDy {
    const float* dy;
    Geometry g;
    __device__ const float* first() const { return dy; }
    __device__ const float* at(Pixel in, int place) const { return at(in, place / g.kw, place % g.kw); }
    __device__ const float* at(Pixel in, int i, int j) const {
        int h = in.a + g.padding_h - i * g.dilation_h;
        int v = in.b + g.padding_w - j * g.dilation_w;
        int p = g.stride_h == 1 ? h : h / g.stride_h, q = g.stride_w == 1 ? v : v / g.stride_w;
        bool inside = in.exists && i < g.kh && h >= 0 && v >= 0 && h == p * g.stride_h &&
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

// ---- the products of two tiles, on one of two kinds of units. Each of 256 threads holds 16 of the 64 x 64 results:
// `result[e]` stands at (row(e), column(e)) of the tile.

// Float32: a thread has 4 x 4 neighbours.
struct Float32 {
    static __device__ int row(int e) { return threadIdx.x / 16 * 4 + e / 4; }
    static __device__ int column(int e) { return threadIdx.x % 16 * 4 + e % 4; }
    static __device__ void multiply(float (*left)[PADDED], float (*right)[PADDED], float (&result)[16]) {
#pragma unroll
        for (int k = 0; k < DEPTH; ++k) {
            const float4 l = *reinterpret_cast<const float4*>(&left[k][row(0)]);
            const float4 r = *reinterpret_cast<const float4*>(&right[k][column(0)]);
            const float of_left[4] = {l.x, l.y, l.z, l.w}, of_right[4] = {r.x, r.y, r.z, r.w};
#pragma unroll
            for (int e = 0; e < 16; ++e) result[e] = fmaf(of_left[e / 4], of_right[e % 4], result[e]);
        }
    }
};

// Tensor cores: a warp has 16 x 32 results, as four of the unit's 16 x 8. Which entries a thread holds is the unit's
// choice (PTX ISA, "Matrix Fragments for mma.m16n8k8" and "mma.m16n8k16"): its group counts rows, and its lane within
// the group pairs of columns.
struct TensorCore {
    static __device__ int group() { return threadIdx.x % 32 / 4; }
    static __device__ int lane() { return threadIdx.x % 4; }
    static __device__ int row0() { return threadIdx.x / 32 % 4 * 16; }
    static __device__ int column0() { return threadIdx.x / 128 * 32; }
    static __device__ int row(int e) { return row0() + group() + e % 4 / 2 * 8; }
    static __device__ int column(int e) { return column0() + e / 4 * 8 + lane() * 2 + e % 2; }
};

// result = sum over k in [begin, end) of left[row, k] right[k, column], multiplied by `Unit`.
template <class Unit, class Left>
static __device__ void tile_product(const Left& left, const Matrix& right, int column0, int begin, int end,
                                    float (&result)[16]) {
    __shared__ __align__(16) float left_tile[DEPTH][PADDED];
    __shared__ __align__(16) float right_tile[DEPTH][PADDED];
    const int right_k = threadIdx.x / 16, right_column = threadIdx.x % 16 * 4;
    for (int e = 0; e < 16; ++e) result[e] = 0.0f;

    Four a = left.fetch(begin), b = right.at(begin + right_k, column0 + right_column);
    for (int k0 = begin; k0 < end; k0 += DEPTH) {
        left.store(left_tile, a);
        for (int e = 0; e < 4; ++e) right_tile[right_k][right_column + e] = b.v[e];
        __syncthreads();
        if (k0 + DEPTH < end) {
            a = left.fetch(k0 + DEPTH);
            b = right.at(k0 + DEPTH + right_k, column0 + right_column);
        }
        Unit::multiply(left_tile, right_tile, result);
        __syncthreads();  // before the next step overwrites the tiles
    }
}

// ---- the three convolutions, for a kernel to call.

// Grid: (tiles of pixels, tiles of a group's output channels, groups).
template <class Unit>
static __device__ void forward(const float* x, const float* weight, const float* bias, float* y, Geometry g) {
    const int channels = g.C / g.groups, outputs = g.O / g.groups, depth = g.kh * g.kw * channels, group = blockIdx.z;
    const int row0 = blockIdx.x * TILE, column0 = blockIdx.y * TILE;
    const PixelsByEntries<WindowsOfX> left({x + group * channels, g}, channels, row0, g.N, g.oh, g.ow);
    const Matrix right = {weight + (size_t)group * depth * outputs, depth, outputs, outputs};
    float result[16];
    tile_product<Unit>(left, right, column0, 0, depth, result);
    for (int e = 0; e < 16; ++e) {
        const int pixel = row0 + Unit::row(e), o = column0 + Unit::column(e);
        if (pixel < g.N * g.oh * g.ow && o < outputs) {
            const int channel = group * outputs + o;
            y[(size_t)pixel * g.O + channel] = result[e] + (bias ? bias[channel] : 0.0f);
        }
    }
}

// Grid: (tiles of input pixels, tiles of a group's input channels, groups).
template <class Unit>
static __device__ void input_gradient(const float* dy, const float* weight, float* dx, Geometry g) {
    const int channels = g.C / g.groups, outputs = g.O / g.groups, depth = g.kh * g.kw * outputs, group = blockIdx.z;
    const int row0 = blockIdx.x * TILE, column0 = blockIdx.y * TILE;
    const PixelsByEntries<WindowsOfDy> left({dy + group * outputs, g}, outputs, row0, g.N, g.H, g.W);
    const Matrix right = {weight + (size_t)group * depth * channels, depth, channels, channels};
    float result[16];
    tile_product<Unit>(left, right, column0, 0, depth, result);
    for (int e = 0; e < 16; ++e) {
        const int pixel = row0 + Unit::row(e), channel = column0 + Unit::column(e);
        if (pixel < g.N * g.H * g.W && channel < channels)
            dx[(size_t)pixel * g.C + group * channels + channel] = result[e];
    }
}

// Grid: (tiles of window entries, tiles of a group's output channels, groups x parts). There are few weights and many
// pixels, so the pixels are split into parts, each summed by other blocks: partial (parts, groups, i, j, c, o).
template <class Unit>
static __device__ void weight_gradient_parts(const float* dy, const float* x, float* partial, int pixels_per_part,
                                             Geometry g) {
    const int channels = g.C / g.groups, outputs = g.O / g.groups, entries = g.kh * g.kw * channels;
    const int group = blockIdx.z % g.groups, part = blockIdx.z / g.groups;
    const int row0 = blockIdx.x * TILE, column0 = blockIdx.y * TILE;
    const int begin = part * pixels_per_part, end = min(begin + pixels_per_part, g.N * g.oh * g.ow);
    const EntriesByPixels left = {{x + group * channels, g}, channels, row0, end};
    const Matrix right = {dy + group * outputs, end, outputs, g.O};
    float result[16];
    tile_product<Unit>(left, right, column0, begin, end, result);
    for (int e = 0; e < 16; ++e) {
        const int entry = row0 + Unit::row(e), o = column0 + Unit::column(e);
        if (entry < entries && o < outputs)
            partial[((size_t)blockIdx.z * entries + entry) * outputs + o] = result[e];
    }
}
