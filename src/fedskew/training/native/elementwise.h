/* Everything that touches each unit once: loading images, ReLU, pooling, dropout, bias gradients. */
#ifndef FEDSKEW_ELEMENTWISE_H
#define FEDSKEW_ELEMENTWISE_H

#include "vector.h"

/* uint8 images [.][C][H][W] of one tile -> in [H+2PH][W+2PW][C][T]; table[c][byte] is (byte/255 - mean)/std, so that
 * the values equal those of torch bit for bit. Lanes beyond count repeat sample 0; their gradient is zero. */
INLINE void load_images(const uint8_t *images, const int64_t *indices, int64_t first, int count, const float *table,
                        float *in, const int C, const int H, const int W, const int PH, const int PW) {
    const uint8_t *image[T];
    for (int lane = 0; lane < T; lane++) {
        int64_t position = first + (lane < count ? lane : 0);
        image[lane] = images + (indices ? indices[position] : position) * (C * H * W);
    }
    for (int c = 0; c < C; c++)
        for (int y = 0; y < H; y++) {
            float *row = in + (((int64_t)(y + PH) * (W + 2 * PW) + PW) * C + c) * T;
            for (int x = 0; x < W; x++) {
                const int at = (c * H + y) * W + x;
                UNROLL for (int lane = 0; lane < T; lane++) row[(int64_t)x * C * T + lane] = table[c * 256 + image[lane][at]];
            }
        }
}

/* In place on a map stored with a border. */
INLINE void relu_forward(float *a, const int C, const int H, const int W, const int PH, const int PW) {
    for (int y = 0; y < H; y++) {
        float *row = a + ((int64_t)(y + PH) * (W + 2 * PW) + PW) * C * T;
        for (int i = 0; i < W * C * T; i += LANES) store(row + i, relu_vf(load(row + i)));
    }
}

/* g (dense) := 0 where the output a (stored with a border) is not positive. */
INLINE void relu_backward(const float *a, float *g, const int C, const int H, const int W, const int PH, const int PW) {
    for (int y = 0; y < H; y++) {
        const float *row = a + ((int64_t)(y + PH) * (W + 2 * PW) + PW) * C * T;
        float *to = g + (int64_t)y * W * C * T;
        for (int i = 0; i < W * C * T; i += LANES)
            store(to + i, (vf)((vi)load(to + i) & (load(row + i) > (vf){0})));
    }
}

/* Max pooling that no convolution could take into itself; arg as in convolve_cell. */
INLINE void pool_forward(const float *in, float *out, int32_t *arg, const int C, const int IN_ROW, const int OH,
                         const int OW, const int OUT_ROW, const int POOL_H, const int POOL_W) {
    for (int y = 0; y < OH; y++)
        for (int x = 0; x < OW; x++)
            for (int c = 0; c < C; c++) {
                for (int part = 0; part < T; part += STEP) {
                    vi where[NV];
                    for (int v = 0; v < NV; v++) {
                        vf best = {0};
                        where[v] = (vi){0};
                        for (int sub = 0; sub < POOL_H * POOL_W; sub++) {
                            int row = y * POOL_H + sub / POOL_W, column = x * POOL_W + sub % POOL_W;
                            vf value = load(in + (((int64_t)row * IN_ROW + column) * C + c) * T + part + v * LANES);
                            vi stays = sub ? (vi)(value <= best) : (vi){0};
                            best = select_vf(stays, best, value);
                            where[v] = (where[v] & stays) | ((sub - (vi){0}) & ~stays);
                        }
                        store(out + (((int64_t)y * OUT_ROW + x) * C + c) * T + part + v * LANES, best);
                    }
                    store_places(arg + (((int64_t)y * OW + x) * C + c) * PLACES + part / 2, where);
                }
            }
}

/* Sends the gradient of each pooled unit (dense) back to the unit that was the maximum; the rest of gin
 * [OH*POOL_H rows of GIN_ROW pixels] under the windows becomes zero. */
INLINE void pool_backward(const float *gout, const int32_t *arg, float *gin, const int C, const int GIN_ROW, const int OH,
                          const int OW, const int POOL_H, const int POOL_W) {
    for (int y = 0; y < OH; y++)
        for (int x = 0; x < OW; x++)
            for (int c = 0; c < C; c++)
                UNROLL for (int v = 0; v < PARTS; v++) {
                    int64_t unit = ((int64_t)y * OW + x) * C + c;
                    vi g = (vi)load(gout + unit * T + v * LANES), where = load_places(arg + unit * PLACES, v);
                    UNROLL for (int sub = 0; sub < POOL_H * POOL_W; sub++) {
                        int row = y * POOL_H + sub / POOL_W, column = x * POOL_W + sub % POOL_W;
                        store(gin + (((int64_t)row * GIN_ROW + column) * C + c) * T + v * LANES, (vf)(g & (where == sub)));
                    }
                }
}

/* gradient[c] += sum over pixels and samples of g (dense [PIXELS][C][T]); with arg (not NULL, [PIXELS][C], of the pooling
 * that g has not yet passed), only where a unit was a maximum. A sum is FOLD numbers. */
INLINE void bias_gradient(const float *g, const int32_t *arg, float *gradient, const int PIXELS, const int C) {
    for (int c = 0; c < C; c += 16) { /* sixteen channels at a time, to read memory in order */
        const int count = min_int(16, C - c);
        float sums[16 * FOLD] __attribute__((aligned(64))) = {0};
        for (int p = 0; p < PIXELS; p++)
            for (int k = 0; k < count; k++) {
                int64_t unit = (int64_t)p * C + c + k;
                UNROLL for (int v = 0; v < PARTS; v++) {
                    vf value = load(g + unit * T + v * LANES);
                    if (arg) value = (vf)((vi)value & (load_places(arg + unit * PLACES, v) >= 0));
                    float *sum = sums + k * FOLD + v * LANES % FOLD;
                    store(sum, load(sum) + value);
                }
            }
        for (int k = 0; k < count; k++) {
            float total = 0;
            for (int l = 0; l < FOLD; l++) total += sums[k * FOLD + l];
            gradient[c + k] += total;
        }
    }
}

/* A 32-bit finaliser with low bias (C. Wellons, "Prospecting for hash functions", lowbias32). */
#define MIX32(h)                \
    do {                        \
        h ^= h >> 16;           \
        h *= 0x7feb352du;       \
        h ^= h >> 15;           \
        h *= 0x846ca68bu;       \
        h ^= h >> 16;           \
    } while (0)

/* The random key of one sample for one dropout layer: a function of these numbers alone. */
INLINE uint32_t dropout_key(uint64_t seed, uint32_t layer, uint64_t position) {
    const uint32_t words[5] = {(uint32_t)seed, (uint32_t)(seed >> 32), layer, (uint32_t)position, (uint32_t)(position >> 32)};
    uint32_t h = 0x9e3779b9u;
    for (int i = 0; i < 5; i++) {
        h += words[i];
        MIX32(h);
        h += 0x9e3779b9u;
    }
    return h;
}

INLINE void dropout_keys(uint32_t keys[T], uint64_t seed, uint32_t layer, uint64_t first) {
    for (int lane = 0; lane < T; lane++) keys[lane] = dropout_key(seed, layer, first + lane);
}

/* a := a * mask / (1-p) in place (a map with a border, or a dense gradient): unit u (torch's order c,y,x) of a
 * sample is dropped when the upper 24 bits of its hash lie below THRESHOLD = p * 2^24. */
INLINE void dropout(float *a, const uint32_t keys[T], const int32_t THRESHOLD, const float SCALE, const int C, const int H,
                    const int W, const int PH, const int PW) {
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int c = 0; c < C; c++)
                for (int v = 0; v < PARTS; v++) {
                    float *unit = a + (((int64_t)(y + PH) * (W + 2 * PW) + PW + x) * C + c) * T + v * LANES;
                    vu h = *(const vu *)(keys + v * LANES) ^ ((uint32_t)((c * H + y) * W + x) * 0x9e3779b1u);
                    MIX32(h);
                    MIX32(h);
                    vi keep = (vi)(h >> 8) >= THRESHOLD;
                    store(unit, (vf)((vi)(load(unit) * SCALE) & keep));
                }
}

/* The mask that dropout applies to one sample, unit by unit in torch's order: 0 or SCALE. For tests. */
INLINE void dropout_mask(uint64_t seed, uint32_t layer, uint64_t position, float *mask, const int32_t THRESHOLD,
                         const float SCALE, const int UNITS) {
    uint32_t key = dropout_key(seed, layer, position);
    for (int u = 0; u < UNITS; u++) {
        uint32_t h = key ^ ((uint32_t)u * 0x9e3779b1u);
        MIX32(h);
        MIX32(h);
        mask[u] = (int32_t)(h >> 8) >= THRESHOLD ? SCALE : 0.0f;
    }
}

#endif
