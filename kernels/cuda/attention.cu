// Attention without its matrix of probabilities in memory: tiles of keys stream past tiles of queries.
//
//     S = a q k^T + mask    P = softmax(S)    A = keep P / (1 - p)    y = A v
//     D_i = sum over j of P_ij dP_ij = dy_i . y_i    dS = P (keep dA / (1 - p) - D),  dA = dy v^T
//     dv = A^T dy    dq = a dS k    dk = a dS^T q
//
// Online softmax: a query keeps the largest score so far, m, and the sum l of exp(S - m) so far. When a tile brings a
// larger m', what has been added up is multiplied by exp(m - m'). At the end y is divided by l, and the log-sum-exp
// m + log l is kept, from which the backward computes any tile of P again: P = exp(S - lse).
//
// A block has 8 warps and TILE = 32 rows (queries; for dk and dv keys), 4 to a warp, and meets 32 columns at a time,
// one to a lane: so what a row needs of a tile is a reduction over a warp. Of the wide results (y, dq, dk, dv) it adds
// up WIDE = 64 columns, two to a lane; blocks along z do the others, and compute the tiles of P again. Depth goes
// through shared memory in pieces of 32. Any sizes are right; those that fill the tiles waste no thread.
//
// Two kernels for the backward, one by queries (dq) and one by keys (dk, dv): each block owns what it adds to, so there
// are no atomics, and equal input gives equal bits.
#include "device.h"

#define TILE 32
#define OWN 4
#define WIDE 64
#define EVERY_LANE 0xffffffffu
#define MINUS_INFINITY __int_as_float(0xff800000)

// What is shared by the threads of a block.
struct Tiles {
    float rows[TILE][TILE + 1];     // a piece of the rows, [row][depth]; the column more avoids bank conflicts
    float columns[TILE][TILE + 1];  // a piece of the columns, [column][depth]
    float weights[TILE][TILE + 1];  // [row][column]
    float source[TILE][WIDE];       // [column][wide]
};

// Which scores count, and what is added to them; a pointer is null where there is no such mask.
struct Masks {
    const bool* visible;   // [heads or 1][queries][keys]
    const float* added;    // alike
    const bool* keep;      // [heads][queries][keys], of the dropout
    long long mask_start;  // where a head's mask starts
    long long keep_start;
    float kept_scale;
};

__device__ __forceinline__ float warp_max(float value) {
    for (int distance = 16; distance > 0; distance /= 2) {
        value = fmaxf(value, __shfl_xor_sync(EVERY_LANE, value, distance));
    }
    return value;
}

__device__ __forceinline__ float warp_sum(float value) {
    for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(EVERY_LANE, value, distance);
    return value;
}

// The score of a query and a key from their product; -infinity where the query may not see the key.
__device__ __forceinline__ float score(float product, float scale, const Masks& masks, int query, int key, int queries,
                                       int keys) {
    if (query >= queries || key >= keys) return MINUS_INFINITY;
    long long at = masks.mask_start + (long long)query * keys + key;
    if (masks.visible && !masks.visible[at]) return MINUS_INFINITY;
    return product * scale + (masks.added ? masks.added[at] : 0.0f);
}

// A probability, or its gradient, after the dropout.
__device__ __forceinline__ float dropped(float value, const Masks& masks, int query, int key, int queries, int keys) {
    if (!masks.keep) return value;
    if (query >= queries || key >= keys) return 0.0f;
    return masks.keep[masks.keep_start + (long long)query * keys + key] ? value * masks.kept_scale : 0.0f;
}

// out[i] = the product over `depth` of row OWN warp + i and of the lane's column. The whole block comes here.
__device__ __forceinline__ void multiply(Tiles& tiles, const float* rows, int first_row, int row_count,
                                         const float* columns, int first_column, int column_count, int depth,
                                         float (&out)[OWN]) {
    int lane = threadIdx.x, warp = threadIdx.y;
    for (int i = 0; i < OWN; ++i) out[i] = 0.0f;
    for (int start = 0; start < depth; start += TILE) {
        for (int i = 0; i < OWN; ++i) {
            int at = warp * OWN + i, row = first_row + at, column = first_column + at, d = start + lane;
            bool row_inside = row < row_count && d < depth, column_inside = column < column_count && d < depth;
            tiles.rows[at][lane] = row_inside ? rows[(long long)row * depth + d] : 0.0f;
            tiles.columns[at][lane] = column_inside ? columns[(long long)column * depth + d] : 0.0f;
        }
        __syncthreads();
        for (int d = 0; d < TILE; ++d) {
            float column = tiles.columns[lane][d];
            for (int i = 0; i < OWN; ++i) out[i] += tiles.rows[warp * OWN + i][d] * column;
        }
        __syncthreads();
    }
}

// total[i][j] += sum over the tile's columns of weights[i] source[column][first_wide + lane + 32 j]. The whole block
// comes here; a thread's weights are those of its column.
__device__ __forceinline__ void add_weighted(Tiles& tiles, const float (&weights)[OWN], const float* source,
                                             int first_column, int column_count, int width, int first_wide,
                                             float (&total)[OWN][2]) {
    int lane = threadIdx.x, warp = threadIdx.y;
    for (int i = 0; i < OWN; ++i) {
        int at = warp * OWN + i, column = first_column + at;
        tiles.weights[at][lane] = weights[i];
        for (int j = 0; j < 2; ++j) {
            int wide = first_wide + lane + 32 * j;
            bool inside = column < column_count && wide < width;
            tiles.source[at][lane + 32 * j] = inside ? source[(long long)column * width + wide] : 0.0f;
        }
    }
    __syncthreads();
    for (int column = 0; column < TILE; ++column) {
        float first = tiles.source[column][lane], second = tiles.source[column][lane + 32];
        for (int i = 0; i < OWN; ++i) {
            float weight = tiles.weights[warp * OWN + i][column];
            total[i][0] += weight * first;
            total[i][1] += weight * second;
        }
    }
    __syncthreads();
}

// Write factor[i] total[i] to the rows of the thread.
__device__ __forceinline__ void write_rows(float* to, const float (&total)[OWN][2], const float (&factor)[OWN],
                                           int first_row, int row_count, int width, int first_wide) {
    for (int i = 0; i < OWN; ++i) {
        int row = first_row + threadIdx.y * OWN + i;
        for (int j = 0; j < 2; ++j) {
            int wide = first_wide + threadIdx.x + 32 * j;
            if (row < row_count && wide < width) to[(long long)row * width + wide] = factor[i] * total[i][j];
        }
    }
}

__device__ __forceinline__ Masks masks_of(const bool* visible, const float* added, const bool* keep, int mask_heads,
                                          int queries, int keys, float kept_scale) {
    long long head = blockIdx.y, scores = (long long)queries * keys;
    return {visible, added, keep, mask_heads > 1 ? head * scores : 0, head * scores, kept_scale};
}

// y and the log-sum-exp. Block (tile of queries, head, piece of y's columns).
extern "C" __global__ void __launch_bounds__(256)
    attention_forward(const float* query, const float* key, const float* value, const bool* visible, const float* added,
                      const bool* keep, float* y, float* lse, int queries, int keys, int E, int V, int mask_heads,
                      float scale, float kept_scale) {
    __shared__ Tiles tiles;
    Masks masks = masks_of(visible, added, keep, mask_heads, queries, keys, kept_scale);
    long long head = blockIdx.y;
    int first_query = blockIdx.x * TILE, first_wide = blockIdx.z * WIDE;
    const float *q = query + head * queries * E, *k = key + head * keys * E, *v = value + head * keys * V;
    float highest[OWN], sum[OWN], total[OWN][2];
    for (int i = 0; i < OWN; ++i) {
        highest[i] = MINUS_INFINITY;
        sum[i] = total[i][0] = total[i][1] = 0.0f;
    }
    for (int first_key = 0; first_key < keys; first_key += TILE) {
        float weights[OWN];
        multiply(tiles, q, first_query, queries, k, first_key, keys, E, weights);
        for (int i = 0; i < OWN; ++i) {
            int own_query = first_query + threadIdx.y * OWN + i, own_key = first_key + threadIdx.x;
            float s = score(weights[i], scale, masks, own_query, own_key, queries, keys);
            float higher = fmaxf(highest[i], warp_max(s));
            bool sees_none = higher == MINUS_INFINITY;  // so far; infinity - infinity would be no number
            float p = sees_none ? 0.0f : expf(s - higher), shrink = sees_none ? 1.0f : expf(highest[i] - higher);
            highest[i] = higher;
            sum[i] = sum[i] * shrink + warp_sum(p);
            total[i][0] *= shrink;
            total[i][1] *= shrink;
            weights[i] = dropped(p, masks, own_query, own_key, queries, keys);
        }
        add_weighted(tiles, weights, v, first_key, keys, V, first_wide, total);
    }
    float factor[OWN];
    for (int i = 0; i < OWN; ++i) {
        int own_query = first_query + threadIdx.y * OWN + i;
        factor[i] = sum[i] > 0.0f ? 1.0f / sum[i] : 0.0f;
        // of a query that sees no key any finite number will do: exp(-infinity - lse) is 0, as its P has to be
        if (blockIdx.z == 0 && threadIdx.x == 0 && own_query < queries) {
            lse[head * queries + own_query] = sum[i] > 0.0f ? highest[i] + logf(sum[i]) : 0.0f;
        }
    }
    write_rows(y + head * queries * V, total, factor, first_query, queries, V, first_wide);
}

// D = dy . y of each query. One warp a query.
extern "C" __global__ void row_products(const float* dy, const float* y, float* D, int rows, int V) {
    int row = blockIdx.x * blockDim.y + threadIdx.y;
    float sum = 0.0f;
    if (row < rows) {
        for (int v = threadIdx.x; v < V; v += 32) sum += dy[(long long)row * V + v] * y[(long long)row * V + v];
    }
    sum = warp_sum(sum);
    if (row < rows && threadIdx.x == 0) D[row] = sum;
}

// dq, and dS unless it is null. Block (tile of queries, head, piece of dq's columns).
extern "C" __global__ void __launch_bounds__(256)
    attention_query_gradient(const float* query, const float* key, const float* value, const bool* visible,
                             const float* added, const bool* keep, const float* dy, const float* lse, const float* D,
                             float* dq, float* dscores, int queries, int keys, int E, int V, int mask_heads,
                             float scale, float kept_scale) {
    __shared__ Tiles tiles;
    Masks masks = masks_of(visible, added, keep, mask_heads, queries, keys, kept_scale);
    long long head = blockIdx.y;
    int first_query = blockIdx.x * TILE, first_wide = blockIdx.z * WIDE;
    const float *q = query + head * queries * E, *k = key + head * keys * E, *v = value + head * keys * V;
    float total[OWN][2] = {}, factor[OWN];
    for (int first_key = 0; first_key < keys; first_key += TILE) {
        float weights[OWN], dp[OWN];
        multiply(tiles, q, first_query, queries, k, first_key, keys, E, weights);
        multiply(tiles, dy + head * queries * V, first_query, queries, v, first_key, keys, V, dp);
        for (int i = 0; i < OWN; ++i) {
            int own_query = first_query + threadIdx.y * OWN + i, own_key = first_key + threadIdx.x;
            bool inside = own_query < queries && own_key < keys;
            long long row = head * queries + own_query;
            float s = score(weights[i], scale, masks, own_query, own_key, queries, keys);
            float kept = dropped(dp[i], masks, own_query, own_key, queries, keys);
            weights[i] = inside ? expf(s - lse[row]) * (kept - D[row]) : 0.0f;
            if (inside && dscores && blockIdx.z == 0) dscores[row * keys + own_key] = weights[i];
        }
        add_weighted(tiles, weights, k, first_key, keys, E, first_wide, total);
    }
    for (int i = 0; i < OWN; ++i) factor[i] = scale;
    write_rows(dq + head * queries * E, total, factor, first_query, queries, E, first_wide);
}

// dk and dv. Block (tile of keys, head, piece of dk's columns and, after those, of dv's).
extern "C" __global__ void __launch_bounds__(256)
    attention_key_gradient(const float* query, const float* key, const float* value, const bool* visible,
                           const float* added, const bool* keep, const float* dy, const float* lse, const float* D,
                           float* dk, float* dv, int queries, int keys, int E, int V, int mask_heads, float scale,
                           float kept_scale) {
    __shared__ Tiles tiles;
    Masks masks = masks_of(visible, added, keep, mask_heads, queries, keys, kept_scale);
    long long head = blockIdx.y;
    int pieces_of_dk = (E + WIDE - 1) / WIDE, first_key = blockIdx.x * TILE;
    bool of_value = blockIdx.z >= pieces_of_dk;
    int width = of_value ? V : E, first_wide = (blockIdx.z - (of_value ? pieces_of_dk : 0)) * WIDE;
    const float *q = query + head * queries * E, *k = key + head * keys * E, *v = value + head * keys * V;
    const float* upstream = dy + head * queries * V;
    float total[OWN][2] = {}, factor[OWN];
    for (int first_query = 0; first_query < queries; first_query += TILE) {
        float weights[OWN], dp[OWN] = {};
        multiply(tiles, k, first_key, keys, q, first_query, queries, E, weights);
        if (!of_value) multiply(tiles, v, first_key, keys, upstream, first_query, queries, V, dp);
        for (int i = 0; i < OWN; ++i) {
            int own_key = first_key + threadIdx.y * OWN + i, own_query = first_query + threadIdx.x;
            bool inside = own_query < queries && own_key < keys;
            long long row = head * queries + own_query;
            float s = score(weights[i], scale, masks, own_query, own_key, queries, keys);
            float p = inside ? expf(s - lse[row]) : 0.0f;
            float kept = dropped(of_value ? p : dp[i], masks, own_query, own_key, queries, keys);
            weights[i] = of_value ? kept : inside ? p * (kept - D[row]) : 0.0f;
        }
        add_weighted(tiles, weights, of_value ? upstream : q, first_query, queries, width, first_wide, total);
    }
    for (int i = 0; i < OWN; ++i) factor[i] = of_value ? 1.0f : scale;
    write_rows((of_value ? dv : dk) + head * keys * width, total, factor, first_key, keys, width, first_wide);
}
