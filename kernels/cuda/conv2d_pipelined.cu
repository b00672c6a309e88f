// Convolution on tensor cores (sm_80 and later) where channels come in fours: tiles travel from memory to shared memory
// in the background (cp.async, 16 bytes a copy), two steps ahead of the products. conv2d.h says which matrices are
// multiplied, conv2d_tensor_core.cu what the rounding of factors costs; that file serves any number of channels.
//
// A block of 256 threads computes 128 x 64 results, each of its 8 warps 32 x 32 of them: of a step of 16 in depth a
// warp makes 16 (tf32) or 8 (bf16) products, and a thread copies three times. A thread knows its places in image
// and window and moves them on, so the loop divides by nothing but the stride of an input gradient.
//
// Shared memory is read and written without bank conflicts. A tile whose rows lie along the depth is swizzled: of its
// 16 numbers a row, four neighbours move together to a place that depends on the row. One whose rows lie across it is
// padded, so that the depths a warp reads together lie in different banks.
#include "conv2d.h"

enum { ROWS = 128, COLUMNS = 64, STEP = 16, STAGES = 3 };

// ---- the units: how a thread's numbers of two tiles become one product of 16 x 8 results, `DEEP` in depth.
// Which entries a thread holds is the unit's choice (PTX ISA, "Matrix Fragments for mma.m16n8k8", "mma.m16n8k16").

struct TF32 {
    enum { DEEP = 8, WORDS = 4, PAD = 8 };
    // Entries (lane) and (lane + 4) in depth.
    static __device__ __forceinline__ int depth(int word, int lane) { return word * 4 + lane; }
    template <class Tile>
    static __device__ __forceinline__ unsigned word(const Tile& tile, int line, int k) {
        return to_tf32(tile.at(line, k));
    }
    static __device__ __forceinline__ void multiply(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
        mma_tf32(d, a, b);
    }
};

struct BF16 {
    enum { DEEP = 16, WORDS = 2, PAD = 4 };
    // Entries 2 lane and 2 lane + 1 in depth, and eight further ones.
    static __device__ __forceinline__ int depth(int word, int lane) { return word * 8 + lane * 2; }
    template <class Tile>
    static __device__ __forceinline__ unsigned word(const Tile& tile, int line, int k) {
        const float2 two = tile.two(line, k);
        return to_bf16x2(two.x, two.y);
    }
    static __device__ __forceinline__ void multiply(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
        mma_bf16(d, a, b);
    }
};

// ---- tiles in shared memory.

// A line has its 16 depths side by side. The swizzle depends on line % 8 alone.
struct AlongDepth {
    enum { FLOATS = ROWS * STEP };
    float* first;
    static __device__ __forceinline__ int place(int line, int k) {
        return line * STEP + ((k / 4 ^ (line & 2) ^ (line >> 2 & 1)) * 4) + k % 4;
    }
    __device__ __forceinline__ float at(int line, int k) const { return first[place(line, k)]; }
    // Depths k and k + 1, k even: one load, whose 8 bytes a thread make a warp's request free of conflicts again.
    __device__ __forceinline__ float2 two(int line, int k) const {
        return *reinterpret_cast<const float2*>(first + place(line, k));
    }
};

// A depth has its `LINES` lines side by side.
template <int LINES, class Unit> struct AcrossDepth {
    enum { FLOATS = STEP * (LINES + Unit::PAD) };
    float* first;
    static __device__ __forceinline__ int place(int line, int k) { return k * (LINES + Unit::PAD) + line; }
    __device__ __forceinline__ float at(int line, int k) const { return first[place(line, k)]; }
    __device__ __forceinline__ float2 two(int line, int k) const { return {at(line, k), at(line, k + 1)}; }
};

// ---- the sources of tiles: `copy` starts the copies of the next step, and moves on.

// A row-major matrix, (depth, columns): a thread copies four columns of one depth.
template <class Unit> struct MatrixSource {
    typedef AcrossDepth<COLUMNS, Unit> Tile;
    const float *first, *from;
    long long jump;
    int k, end, column;
    bool exists;
    __device__ MatrixSource(const float* first, int column0, int columns, int pitch, int begin, int end)
        : first(first), jump((long long)STEP * pitch), k(begin + threadIdx.x / 16), end(end),
          column(threadIdx.x % 16 * 4) {
        exists = column0 + column < columns;
        from = first + (long long)k * pitch + column0 + column;
    }
    __device__ __forceinline__ void copy(float* tile) {
        const bool inside = exists && k < end;
        cp_async16(tile + Tile::place(column, threadIdx.x / 16), inside ? from : first, inside);
        k += STEP, from += jump;
    }
};

// Windows as rows, entries (i, j, channel) as depth: a thread copies four channels of the same entry for two pixels.
template <class Windows> struct PixelSource {
    typedef AlongDepth Tile;
    enum { COPIES = 2 };
    Windows windows;
    Pixel pixels[COPIES];
    const float* from[COPIES];
    int channels, channel, i, j;
    __device__ PixelSource(Windows windows, int channels, int row0, int images, int height, int width)
        : windows(windows),
          pixels{Pixel(row0 + threadIdx.x / 4, images, height, width),
                 Pixel(row0 + threadIdx.x / 4 + 64, images, height, width)},
          channels(channels), channel(threadIdx.x % 4 * 4), i(0), j(0) {
        settle();
    }
    // Carry the channel over to the next places of the window, and look up where those lie.
    __device__ __forceinline__ void settle() {
        for (; channel >= channels; channel -= channels)
            if (++j == windows.g.kw) j = 0, ++i;
#pragma unroll
        for (int e = 0; e < COPIES; ++e) from[e] = windows.at(pixels[e], i, j);
    }
    __device__ __forceinline__ void copy(float* tile) {
#pragma unroll
        for (int e = 0; e < COPIES; ++e) {
            const float* p = from[e];
            cp_async16(tile + Tile::place(threadIdx.x / 4 + e * 64, threadIdx.x % 4 * 4),
                       p ? p + channel : windows.first(), p != nullptr);
        }
        channel += STEP;
        if (channel >= channels) settle();
    }
};

// Entries of windows as rows, pixels as depth: a thread copies four channels of its entry for two pixels.
template <class Unit> struct EntrySource {
    typedef AcrossDepth<ROWS, Unit> Tile;
    enum { COPIES = 2 };
    WindowsOfX windows;
    Pixel pixels[COPIES];
    int k, end, i, j, channel;
    __device__ EntrySource(WindowsOfX windows, int channels, int row0, int begin, int end)
        : windows(windows),
          pixels{Pixel(begin + threadIdx.x / 32, windows.g.N, windows.g.oh, windows.g.ow),
                 Pixel(begin + threadIdx.x / 32 + 8, windows.g.N, windows.g.oh, windows.g.ow)},
          k(begin + threadIdx.x / 32), end(end) {
        const int entry = row0 + threadIdx.x % 32 * 4;
        const int place = entry / channels;
        i = place / windows.g.kw, j = place % windows.g.kw, channel = entry % channels;
    }
    __device__ __forceinline__ void copy(float* tile) {
#pragma unroll
        for (int e = 0; e < COPIES; ++e) {
            Pixel& out = pixels[e];
            out.exists = k + e * 8 < end;
            const float* p = windows.at(out, i, j);
            cp_async16(tile + Tile::place(threadIdx.x % 32 * 4, threadIdx.x / 32 + e * 8),
                       p ? p + channel : windows.first(), p != nullptr);
            for (out.b += STEP; out.b >= windows.g.ow; out.b -= windows.g.ow)
                if (++out.a == windows.g.oh) out.a = 0, ++out.n;
        }
        k += STEP;
    }
};

// ---- the product. A thread's results: `result[i][j]` are four of the 16 x 8 at (16 i, 8 j) of its warp's 32 x 32.

struct Place {
    int row, column;  // of result[i][j][2 e], whose right neighbour is result[i][j][2 e + 1]
    __device__ __forceinline__ Place(int i, int j, int e)
        : row(threadIdx.x / 64 * 32 + i * 16 + e * 8 + threadIdx.x % 32 / 4),
          column(threadIdx.x / 32 % 2 * 32 + j * 8 + threadIdx.x % 4 * 2) {}
};

// result = sum over `steps` steps of the left tile's rows by the right tile's columns.
template <class Unit, class Left>
static __device__ __forceinline__ void product(Left& left, MatrixSource<Unit>& right, int steps,
                                               float (&result)[2][4][4]) {
    typedef typename Left::Tile LeftTile;
    typedef typename MatrixSource<Unit>::Tile RightTile;
    __shared__ __align__(16) float left_tiles[STAGES][LeftTile::FLOATS];
    __shared__ __align__(16) float right_tiles[STAGES][RightTile::FLOATS];
    const int group = threadIdx.x % 32 / 4, lane = threadIdx.x % 4;
    const int row0 = threadIdx.x / 64 * 32 + group, column0 = threadIdx.x / 32 % 2 * 32 + group;
#pragma unroll
    for (int e = 0; e < 32; ++e) result[e / 16][e / 4 % 4][e % 4] = 0.0f;

#pragma unroll
    for (int stage = 0; stage < STAGES - 1; ++stage) {
        if (stage < steps) left.copy(left_tiles[stage]), right.copy(right_tiles[stage]);
        cp_async_commit();
    }
    int stage = 0, ahead = STAGES - 1;
    for (int step = 0; step < steps; ++step) {
        cp_async_wait<STAGES - 2>();
        __syncthreads();  // this step's tiles are there for all, and no one reads those of the step before any more
        if (step + STAGES - 1 < steps) left.copy(left_tiles[ahead]), right.copy(right_tiles[ahead]);
        cp_async_commit();
        const LeftTile rows = {left_tiles[stage]};
        const RightTile columns = {right_tiles[stage]};
#pragma unroll
        for (int k = 0; k < STEP; k += Unit::DEEP) {
            const int first = k + Unit::depth(0, lane), second = k + Unit::depth(1, lane);
            unsigned a[2][4];
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                const int row = row0 + i * 16;
                a[i][0] = Unit::word(rows, row, first), a[i][1] = Unit::word(rows, row + 8, first);
                a[i][2] = Unit::word(rows, row, second), a[i][3] = Unit::word(rows, row + 8, second);
            }
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const int column = column0 + j * 8;
                const unsigned b[2] = {Unit::word(columns, column, first), Unit::word(columns, column, second)};
#pragma unroll
                for (int i = 0; i < 2; ++i) Unit::multiply(result[i][j], a[i], b);
            }
        }
        stage = stage + 1 == STAGES ? 0 : stage + 1;
        ahead = ahead + 1 == STAGES ? 0 : ahead + 1;
    }
    cp_async_wait<0>();
}

// Writes the results of rows below `rows` and columns below `columns`, two neighbours at a time; `to` is where the
// block's first column of row 0 belongs.
static __device__ __forceinline__ void write(float* to, long long pitch, int row0, int rows, int column0, int columns,
                                             const float* bias, const float (&result)[2][4][4]) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
        const int column = column0 + Place(0, j, 0).column;
        if (column >= columns) continue;
        const float first = bias ? bias[column] : 0.0f, second = bias ? bias[column + 1] : 0.0f;
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            const int row = row0 + Place(e / 2, j, e % 2).row;
            if (row >= rows) continue;
            const float2 two = {result[e / 2][j][e % 2 * 2] + first, result[e / 2][j][e % 2 * 2 + 1] + second};
            *reinterpret_cast<float2*>(to + row * pitch + column) = two;
        }
    }
}

// Grid: (tiles of pixels, tiles of a group's output channels, groups).
template <class Unit>
static __device__ void staged_forward(const float* x, const float* weight, const float* bias, float* y, Geometry g) {
    const int channels = g.C / g.groups, outputs = g.O / g.groups, depth = g.kh * g.kw * channels, group = blockIdx.z;
    const int row0 = blockIdx.x * ROWS, column0 = blockIdx.y * COLUMNS;
    PixelSource<WindowsOfX> left({x + group * channels, g}, channels, row0, g.N, g.oh, g.ow);
    MatrixSource<Unit> right(weight + (size_t)group * depth * outputs, column0, outputs, outputs, 0, depth);
    float result[2][4][4];
    product<Unit>(left, right, (depth + STEP - 1) / STEP, result);
    write(y + group * outputs, g.O, row0, g.N * g.oh * g.ow, column0, outputs, bias ? bias + group * outputs : nullptr,
          result);
}

// Grid: (tiles of input pixels, tiles of a group's input channels, groups).
template <class Unit>
static __device__ void staged_input_gradient(const float* dy, const float* weight, float* dx, Geometry g) {
    const int channels = g.C / g.groups, outputs = g.O / g.groups, depth = g.kh * g.kw * outputs, group = blockIdx.z;
    const int row0 = blockIdx.x * ROWS, column0 = blockIdx.y * COLUMNS;
    PixelSource<WindowsOfDy> left({dy + group * outputs, g}, outputs, row0, g.N, g.H, g.W);
    MatrixSource<Unit> right(weight + (size_t)group * depth * channels, column0, channels, channels, 0, depth);
    float result[2][4][4];
    product<Unit>(left, right, (depth + STEP - 1) / STEP, result);
    write(dx + group * channels, g.C, row0, g.N * g.H * g.W, column0, channels, nullptr, result);
}

// Grid: (tiles of window entries, tiles of a group's output channels, groups x parts).
template <class Unit>
static __device__ void staged_weight_gradient(const float* dy, const float* x, float* partial, int pixels_per_part,
                                              Geometry g) {
    const int channels = g.C / g.groups, outputs = g.O / g.groups, entries = g.kh * g.kw * channels;
    const int group = blockIdx.z % g.groups, part = blockIdx.z / g.groups;
    const int row0 = blockIdx.x * ROWS, column0 = blockIdx.y * COLUMNS;
    const int begin = part * pixels_per_part, end = min(begin + pixels_per_part, g.N * g.oh * g.ow);
    EntrySource<Unit> left({x + group * channels, g}, channels, row0, begin, end);
    MatrixSource<Unit> right(dy + group * outputs, column0, outputs, g.O, begin, end);
    float result[2][4][4];
    product<Unit>(left, right, (end - begin + STEP - 1) / STEP, result);
    write(partial + (size_t)blockIdx.z * entries * outputs, outputs, row0, entries, column0, outputs, nullptr, result);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv2d_forward_tf32(
    const float* x, const float* weight, const float* bias, float* y,
    int N, int C, int H, int W, int O, int kh, int kw, int oh, int ow, int stride_h, int stride_w,
    int padding_h, int padding_w, int dilation_h, int dilation_w, int groups) {
    const Geometry g = {N, C, H, W, O, kh, kw, oh, ow, stride_h, stride_w,
                        padding_h, padding_w, dilation_h, dilation_w, groups};
    staged_forward<TF32>(x, weight, bias, y, g);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv2d_input_gradient_tf32(
    const float* dy, const float* weight, float* dx,
    int N, int C, int H, int W, int O, int kh, int kw, int oh, int ow, int stride_h, int stride_w,
    int padding_h, int padding_w, int dilation_h, int dilation_w, int groups) {
    const Geometry g = {N, C, H, W, O, kh, kw, oh, ow, stride_h, stride_w,
                        padding_h, padding_w, dilation_h, dilation_w, groups};
    staged_input_gradient<TF32>(dy, weight, dx, g);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv2d_weight_gradient_parts_tf32(
    const float* dy, const float* x, float* partial, int pixels_per_part,
    int N, int C, int H, int W, int O, int kh, int kw, int oh, int ow, int stride_h, int stride_w,
    int padding_h, int padding_w, int dilation_h, int dilation_w, int groups) {
    const Geometry g = {N, C, H, W, O, kh, kw, oh, ow, stride_h, stride_w,
                        padding_h, padding_w, dilation_h, dilation_w, groups};
    staged_weight_gradient<TF32>(dy, x, partial, pixels_per_part, g);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv2d_forward_bf16(
    const float* x, const float* weight, const float* bias, float* y,
    int N, int C, int H, int W, int O, int kh, int kw, int oh, int ow, int stride_h, int stride_w,
    int padding_h, int padding_w, int dilation_h, int dilation_w, int groups) {
    const Geometry g = {N, C, H, W, O, kh, kw, oh, ow, stride_h, stride_w,
                        padding_h, padding_w, dilation_h, dilation_w, groups};
    staged_forward<BF16>(x, weight, bias, y, g);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv2d_input_gradient_bf16(
    const float* dy, const float* weight, float* dx,
    int N, int C, int H, int W, int O, int kh, int kw, int oh, int ow, int stride_h, int stride_w,
    int padding_h, int padding_w, int dilation_h, int dilation_w, int groups) {
    const Geometry g = {N, C, H, W, O, kh, kw, oh, ow, stride_h, stride_w,
                        padding_h, padding_w, dilation_h, dilation_w, groups};
    staged_input_gradient<BF16>(dy, weight, dx, g);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv2d_weight_gradient_parts_bf16(
    const float* dy, const float* x, float* partial, int pixels_per_part,
    int N, int C, int H, int W, int O, int kh, int kw, int oh, int ow, int stride_h, int stride_w,
    int padding_h, int padding_w, int dilation_h, int dilation_w, int groups) {
    const Geometry g = {N, C, H, W, O, kh, kw, oh, ow, stride_h, stride_w,
                        padding_h, padding_w, dilation_h, dilation_w, groups};
    staged_weight_gradient<BF16>(dy, x, partial, pixels_per_part, g);
}
