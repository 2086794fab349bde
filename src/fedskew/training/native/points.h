/* The transforms of minimal filtering for one window: inputs, gradients and filters to their 36 points and back. */
#ifndef FEDSKEW_POINTS_H
#define FEDSKEW_POINTS_H

#include "vector.h"
#include "winograd.h"

/* From one point to the next; a unit more than there is, so that points do not fall on one set of the cache. */
#define POINT(C) (((int64_t)(C) + 1) * T)
#define ROW(HALF) ((HALF) ? T / 2 : T) /* words of a row of samples */

/* The points of one channel of one window of inputs; in points at its first pixel, rows and columns beyond ROWS and COLUMNS
 * are zero. */
INLINE void input_points(const int HALF, const float *in, float *points, const int64_t STRIDE, const int ROWS,
                         const int COLUMNS, const int C, const int IN_ROW) {
    for (int s = 0; s < T; s += LANES) {
        vf d[POINTS], v[POINTS];
        UNROLL for (int y = 0; y < READS; y++) UNROLL for (int x = 0; x < READS; x++)
            d[y * READS + x] = y < ROWS && x < COLUMNS ? load(in + ((int64_t)y * IN_ROW + x) * C * T + s) : (vf){0};
        BOTH_WAYS(to_points, HALF, READS, READS, d, v);
        UNROLL for (int p = 0; p < POINTS; p++) store(points + p * STRIDE + s, v[p]);
    }
}

/* gin += the gradient by the inputs of one window, whose points are given; pixels beyond rows, columns or before top, left
 * (in the padding) are not there. */
INLINE void add_input_gradient(const int HALF, const int MB, const float *points, float *gin, int top, int left, int rows,
                               int columns, const int C, const int GIN_ROW) {
    for (int c = 0; c < MB; c++)
        for (int s = 0; s < T; s += LANES) {
            vf v[POINTS], d[POINTS];
            UNROLL for (int p = 0; p < POINTS; p++) v[p] = load(points + p * POINT(MB) + c * T + s);
            BOTH_WAYS(from_points, HALF, READS, READS, v, d);
            for (int y = top; y < rows; y++)
                for (int x = left; x < columns; x++) {
                    float *to = gin + (((int64_t)y * GIN_ROW + x) * C + c) * T + s;
                    store(to, load(to) + d[y * READS + x]);
                }
        }
}

/* One window of MB channels of outputs from its points: bias, pooling (2x2 or none) and ReLU as in convolve_cell. out and
 * arg point at the window's first (pooled) pixel; rows, columns: how many of its outputs are there, before pooling. */
INLINE void window_outputs(const int HALF, const int MB, const float *points, const float *bias, float *out, int32_t *arg,
                           int rows, int columns, const int OC, const int OW, const int OUT_ROW, const int POOL,
                           const int RELU) {
    for (int c = 0; c < MB; c++)
        for (int s = 0; s < T; s += STEP) {
            vf y[NV][WINDOW * WINDOW];
            UNROLL for (int v = 0; v < NV; v++) {
                vf m[POINTS];
                UNROLL for (int p = 0; p < POINTS; p++) m[p] = load(points + p * POINT(MB) + c * T + s + v * LANES);
                BOTH_WAYS(to_outputs, HALF, READS, WINDOW, m, y[v]);
            }
            const vf b = splat(bias ? bias[c] : 0.0f);
            UNROLL for (int r = 0; r < WINDOW; r += POOL) UNROLL for (int x = 0; x < WINDOW; x += POOL) {
                if (r >= rows || x >= columns) continue;
                const int64_t row = r / POOL, column = x / POOL;
                vi where[NV];
                UNROLL for (int v = 0; v < NV; v++) {
                    vf best = y[v][r * WINDOW + x];
                    where[v] = (vi){0};
                    UNROLL for (int sub = 1; sub < POOL * POOL; sub++) {
                        vf value = y[v][(r + sub / POOL) * WINDOW + x + sub % POOL];
                        vi stays = value <= best;
                        best = select_vf(stays, best, value);
                        where[v] = (where[v] & stays) | ((sub - (vi){0}) & ~stays);
                    }
                    best += b;
                    if (RELU) {
                        where[v] |= best <= (vf){0};
                        best = relu_vf(best);
                    }
                    store(out + ((row * OUT_ROW + column) * OC + c) * T + s + v * LANES, best);
                }
                if (POOL > 1) store_places(arg + ((row * OW + column) * OC + c) * PLACES + s / 2, where);
            }
        }
}

/* The points of one channel of one window of gradients; g (dense) and arg point at its first (pooled) pixel. */
INLINE void gradient_points(const int HALF, const float *g, const int32_t *arg, float *points, const int64_t STRIDE, int rows,
                            int columns, const int OC, const int OW, const int POOL) {
    for (int s = 0; s < T; s += LANES) {
        vf y[WINDOW * WINDOW], m[POINTS];
        UNROLL for (int r = 0; r < WINDOW; r += POOL) UNROLL for (int x = 0; x < WINDOW; x += POOL) {
            const int here = r < rows && x < columns;
            const int64_t unit = ((int64_t)(r / POOL) * OW + x / POOL) * OC;
            vf value = here ? load(g + unit * T + s) : (vf){0};
            vi where = POOL > 1 && here ? load_places(arg + unit * PLACES, s / LANES) : (vi){0};
            UNROLL for (int sub = 0; sub < POOL * POOL; sub++)
                y[(r + sub / POOL) * WINDOW + x + sub % POOL] = POOL > 1 ? (vf)((vi)value & (where == sub)) : value;
        }
        BOTH_WAYS(from_outputs, HALF, WINDOW, READS, y, m);
        UNROLL for (int p = 0; p < POINTS; p++) store(points + p * STRIDE + s, m[p]);
    }
}

/* The points of two channels, [36][2][T] floats, as words of two channels [36][T] and as rows of words of two samples
 * [36][2][T / 2]. */
INLINE void halve_points(const float *two, float *pairs, const int64_t PAIRS, float *rows, const int64_t ROWS) {
    for (int p = 0; p < POINTS; p++, two += 2 * T, pairs += PAIRS, rows += ROWS)
        for (int s = 0; s < T; s += LANES) {
            vf first = load(two + s), second = load(two + T + s);
            store(pairs + s, pair_words(first, second));
            *(vh *)((uint16_t *)rows + s) = round_half(first);
            *(vh *)((uint16_t *)rows + T + s) = round_half(second);
        }
}

/* The points of count <= LANES filters of 9 floats, which lie STEP_OUT floats apart. */
INLINE void filter_points(const int HALF, const float *weight, int count, const int STEP_OUT, vf u[POINTS]) {
    float filters[9 * LANES] __attribute__((aligned(64))) = {0};
    for (int m = 0; m < count; m++)
        for (int k = 0; k < 9; k++) filters[k * LANES + m] = weight[m * STEP_OUT + k];
    vf w[9];
    UNROLL for (int k = 0; k < 9; k++) w[k] = load(filters + k * LANES);
    BOTH_WAYS(from_filter, HALF, 3, READS, w, u);
}

#endif
