/* A 3x3 convolution by minimal filtering (winograd.h): forward, by input and by weights, one tile of samples at a time.
 *
 *   points of a window   [36][channels][T]; the products with the filters take one channel (HALF: two) after another
 *   packed filters       [block of outputs][36][inputs][output of the block]; a block is done for all 36 points, then
 *                        transformed back while it is in the cache
 *   kept for the weights, for several tiles: the points of the inputs [36][window of a tile][channel][T], and those of the
 *                        gradients turned, [36][OC / T][window of a tile][sample][T outputs], so that their product has
 *                        outputs as lanes
 *
 * HALF: both factors of these products are rounded to bfloat16, two to a word; sums and all else stay float32. Where the
 * sum is over channels, a word has two channels of a sample, [channels / 2][T]; where it is over samples, two samples of
 * a channel, [channels][T / 2]. So a product has half as many terms, each of one word, and is the same loop.
 */
#ifndef FEDSKEW_MINIMAL_H
#define FEDSKEW_MINIMAL_H

#include "convolution.h"
#include "turn.h"
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

/* made [36][MB] := points [36][IN] x the packed filters of one block of MB outputs: 36 matrix products. */
INLINE void multiply_points(const int HALF, const int MB, const float *points, const int64_t STRIDE, const float *packed,
                            float *made, const int IN) {
    const int TERMS = HALF ? IN / 2 : IN;
    for (int p = 0; p < POINTS; p++, points += STRIDE, packed += MB * TERMS, made += POINT(MB))
        for (int s = 0; s < T; s += STEP) {
            vf acc[MAX_BLOCK][NV];
            UNROLL for (int m = 0; m < MB; m++) UNROLL for (int v = 0; v < NV; v++) acc[m][v] = (vf){0};
            dot_run(MB, acc, points + s, packed, TERMS, HALF, 1024);
            UNROLL for (int m = 0; m < MB; m++) UNROLL for (int v = 0; v < NV; v++)
                store(made + m * T + s + v * LANES, acc[m][v]);
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

/* One tile; in, out, arg as in convolve (OH, OW after pooling); the points of its inputs are kept. pairs: scratch. */
INLINE void minimal_forward(const int HALF, const float *in, const float *packed, const float *bias, float *out, int32_t *arg,
                            float *kept, float *pairs, float *made, const int IC, const int H, const int W, const int IN_ROW,
                            const int OC, const int OH, const int OW, const int OUT_ROW, const int PH, const int PW,
                            const int POOL, const int RELU, const int ALL) {
    const int NB = (OC + BLOCK - 1) / BLOCK, Q = OC / NB, R = OC % NB;
    const int64_t KEPT = POINT(IC * ALL), PAIRS = POINT(IC / 2);
    for (int y = 0; y < OH * POOL; y += WINDOW)
        for (int x = 0; x < OW * POOL; x += WINDOW, kept += IC * ROW(HALF)) {
            const float *first = in + ((int64_t)(y - PH) * IN_ROW + x - PW) * IC * T;
            const int rows = H + 2 * PH - y, columns = W + 2 * PW - x, out_rows = OH * POOL - y, out_columns = OW * POOL - x;
            const int whole = rows >= READS && columns >= READS;
            for (int c = 0; c < IC; c++) {
                float two[POINTS * 2 * T] __attribute__((aligned(64)));
                float *to = HALF ? two + c % 2 * T : kept + c * T;
                const int64_t STRIDE = HALF ? 2 * T : KEPT;
                if (whole)
                    input_points(HALF, first + c * T, to, STRIDE, READS, READS, IC, IN_ROW);
                else
                    input_points(HALF, first + c * T, to, STRIDE, rows, columns, IC, IN_ROW);
                if (!HALF || c % 2 == 0) continue;
                halve_points(two, pairs + c / 2 * T, PAIRS, kept + (c - 1) * ROW(HALF), KEPT);
            }
            const float *points = HALF ? pairs : kept;
            const int64_t STRIDE = HALF ? PAIRS : KEPT;
            float *o = out + ((int64_t)y / POOL * OUT_ROW + x / POOL) * OC * T;
            int32_t *a = arg ? arg + ((int64_t)y / POOL * OW + x / POOL) * OC * PLACES : 0;
            for (int c = 0, size; c < OC; c += size) {
                size = c < R * (Q + 1) ? Q + 1 : Q;
                const float *w = packed + (int64_t)c * (HALF ? IC / 2 : IC) * POINTS, *b = bias ? bias + c : 0;
                if (size == Q) {
                    multiply_points(HALF, Q, points, STRIDE, w, made, IC);
                    window_outputs(HALF, Q, made, b, o + c * T, a ? a + c * PLACES : 0, out_rows, out_columns, OC, OW, OUT_ROW,
                                   POOL, RELU);
                } else {
                    multiply_points(HALF, Q + 1, points, STRIDE, w, made, IC);
                    window_outputs(HALF, Q + 1, made, b, o + c * T, a ? a + c * PLACES : 0, out_rows, out_columns, OC, OW,
                                   OUT_ROW, POOL, RELU);
                }
            }
        }
}

/* One tile: the points of the gradients, which are turned and kept, and, with gin given, the gradient by the inputs
 * (dense; must be zero). g and arg are those of the pooled map; points, pairs and made are scratch. */
INLINE void minimal_backward(const int HALF, const float *g, const int32_t *arg, const float *packed, float *points, float *pairs,
                             float *made, float *turned, float *gin, const int IC, const int H, const int W, const int OC,
                             const int OH, const int OW, const int PH, const int PW, const int POOL, const int ALL) {
    const int NB = (IC + BLOCK - 1) / BLOCK, Q = IC / NB, R = IC % NB;
    const int64_t POINT_STRIDE = POINT(OC), PAIRS = POINT(OC / 2);
    for (int y = 0; y < OH * POOL; y += WINDOW)
        for (int x = 0; x < OW * POOL; x += WINDOW, turned += ROW(HALF) * T) {
            const int64_t unit = ((int64_t)y / POOL * OW + x / POOL) * OC;
            for (int c = 0; c < OC; c++) {
                float two[POINTS * 2 * T] __attribute__((aligned(64)));
                gradient_points(HALF, g + (unit + c) * T, arg ? arg + (unit + c) * PLACES : 0,
                                HALF ? two + c % 2 * T : points + c * T, HALF ? 2 * T : POINT_STRIDE, OH * POOL - y, OW * POOL - x,
                                OC, OW, POOL);
                if (HALF && c % 2) halve_points(two, pairs + c / 2 * T, PAIRS, points + (c - 1) * ROW(HALF), POINT_STRIDE);
            }
            for (int p = 0; p < POINTS; p++)
                for (int o = 0; o < OC; o += T)
                    turn_rows(ROW(HALF), points + p * POINT_STRIDE + o * ROW(HALF),
                              turned + ((int64_t)p * OC + o) * ROW(HALF) * ALL);
            if (!gin) continue;
            float *to = gin + ((int64_t)(y - PH) * W + x - PW) * IC * T;
            const int top = max_int(0, PH - y), left = max_int(0, PW - x);
            const int rows = min_int(READS, H + PH - y), columns = min_int(READS, W + PW - x);
            const float *from = HALF ? pairs : points;
            const int64_t STRIDE = HALF ? PAIRS : POINT_STRIDE;
            for (int c = 0, size; c < IC; c += size) {
                size = c < R * (Q + 1) ? Q + 1 : Q;
                const float *w = packed + (int64_t)c * (HALF ? OC / 2 : OC) * POINTS;
                if (size == Q) {
                    multiply_points(HALF, Q, from, STRIDE, w, made, OC);
                    add_input_gradient(HALF, Q, made, to + c * T, top, left, rows, columns, IC, W);
                } else {
                    multiply_points(HALF, Q + 1, from, STRIDE, w, made, OC);
                    add_input_gradient(HALF, Q + 1, made, to + c * T, top, left, rows, columns, IC, W);
                }
            }
        }
}

/* sums[m][T outputs] += over windows and samples of kept[window][m][s] * turned[window][s][T outputs], at one point. */
INLINE void point_block(const int HALF, const int MB, const float *restrict turned, const float *restrict kept,
                        float *restrict sums, int windows, const int IC) {
    for (int part = 0; part < T; part += STEP) {
        vf acc[MAX_BLOCK][NV];
        UNROLL for (int m = 0; m < MB; m++) UNROLL for (int v = 0; v < NV; v++) acc[m][v] = load(sums + m * T + part + v * LANES);
        const float *gp = turned + part, *ip = kept;
        for (int w = 0; w < windows; w++, ip += IC * ROW(HALF), gp += ROW(HALF) * T) /* asks for the next window */
            outer_run(MB, acc, gp, ip, ROW(HALF), ROW(HALF), HALF, ROW(HALF) * T);
        UNROLL for (int m = 0; m < MB; m++) UNROLL for (int v = 0; v < NV; v++) store(sums + m * T + part + v * LANES, acc[m][v]);
    }
}

/* sums [36][OC / T][IC][T] += over the first windows of those that are kept, ALL at most. */
INLINE void minimal_gradient(const int HALF, const float *turned, const float *kept, float *sums, int windows, const int IC,
                             const int OC, const int ALL) {
    const int NB = (IC + BLOCK - 1) / BLOCK, Q = IC / NB, R = IC % NB;
    for (int p = 0; p < POINTS; p++)
        for (int o = 0; o < OC; o += T, sums += (int64_t)IC * T) {
            const float *gp = turned + ((int64_t)p * OC + o) * ROW(HALF) * ALL, *ip = kept + p * POINT(IC * ALL);
            for (int c = 0; c < R * (Q + 1); c += Q + 1)
                point_block(HALF, Q + 1, gp, ip + c * ROW(HALF), sums + c * T, windows, IC);
            for (int c = R * (Q + 1); c < IC; c += Q) point_block(HALF, Q, gp, ip + c * ROW(HALF), sums + c * T, windows, IC);
        }
}

/* At the end of a chunk of tiles: torch's gradient [OC][IC][3][3] += the sums' filters; the sums become zero. */
INLINE void minimal_finish(const int HALF, float *restrict sums, float *restrict gradient, const int IC, const int OC) {
    for (int o = 0; o < OC; o += T)
        for (int i = 0; i < IC; i++)
            for (int s = 0; s < T; s += LANES) {
                vf u[POINTS], w[9];
                UNROLL for (int p = 0; p < POINTS; p++) {
                    float *sum = sums + (((int64_t)p * (OC / T) + o / T) * IC + i) * T + s;
                    u[p] = load(sum);
                    store(sum, (vf){0});
                }
                BOTH_WAYS(to_filter, HALF, READS, 3, u, w);
                for (int k = 0; k < 9; k++)
                    for (int l = 0; l < LANES; l++) gradient[((int64_t)(o + s + l) * IC + i) * 9 + k] += w[k][l];
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

/* Filters, STEP_OUT and STEP_IN floats apart -> packed [block of OUT][36][IN][output of the block], IN in words (HALF). */
INLINE void minimal_pack(const int HALF, const float *restrict weight, float *restrict packed, const int IN, const int OUT,
                         const int STEP_IN, const int STEP_OUT) {
    const int NB = (OUT + BLOCK - 1) / BLOCK, Q = OUT / NB, R = OUT % NB, TERMS = HALF ? IN / 2 : IN;
    for (int c = 0, size; c < OUT; c += size) {
        size = c < R * (Q + 1) ? Q + 1 : Q;
        for (int i = 0; i < TERMS; i++)
            for (int l = 0; l < size; l += LANES) {
                const int count = min_int(LANES, size - l);
                const float *from = weight + (c + l) * STEP_OUT + (HALF ? 2 * i : i) * STEP_IN;
                vf u[POINTS], second[POINTS];
                filter_points(HALF, from, count, STEP_OUT, u);
                if (HALF) {
                    filter_points(HALF, from + STEP_IN, count, STEP_OUT, second);
                    UNROLL for (int p = 0; p < POINTS; p++) u[p] = pair_words(u[p], second[p]);
                }
                float *to = packed + (int64_t)c * TERMS * POINTS + i * size + l;
                if (i + 1 < TERMS) { /* what is too much is overwritten by the next row */
                    UNROLL for (int p = 0; p < POINTS; p++) *(vf_any *)(to + (int64_t)p * TERMS * size) = u[p];
                } else {
                    for (int p = 0; p < POINTS; p++) memcpy(to + (int64_t)p * TERMS * size, u + p, sizeof(float) * count);
                }
            }
    }
}

#endif
