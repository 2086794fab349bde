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
 * a channel, [channels][T / 2]. So a product has half as many terms, each of one word, and is the same loop. With
 * HALF = TILED it is done in tiles (tiles.h), in blocks of 32 outputs, and the packed filters' words of each 16 terms are
 * turned: [block][36][inputs / 32][32 outputs][16 words].
 */
#ifndef FEDSKEW_MINIMAL_H
#define FEDSKEW_MINIMAL_H

#include "convolution.h"
#include "points.h"
#include "tiles.h"
#include "turn.h"

#define BLOCK_OF(HALF) ((HALF) == TILED ? T : BLOCK)

/* made [36][MB] := points [36][IN] x the packed filters of one block of MB outputs: 36 matrix products. */
INLINE void multiply_points(const int HALF, const int MB, const float *points, const int64_t STRIDE, const float *packed,
                            float *made, const int IN) {
    const int TERMS = HALF ? IN / 2 : IN;
    for (int p = 0; p < POINTS; p++, points += STRIDE, packed += MB * TERMS, made += POINT(MB)) {
        if (HALF == TILED) {
            tile_products(0, packed, TILE_FLOATS, points, TILE_WORDS * T, made, TERMS / TILE_WORDS);
            continue;
        }
        for (int s = 0; s < T; s += STEP) {
            vf acc[MAX_BLOCK][NV];
            UNROLL for (int m = 0; m < MB; m++) UNROLL for (int v = 0; v < NV; v++) acc[m][v] = (vf){0};
            dot_run(MB, acc, points + s, packed, TERMS, HALF, 1024);
            UNROLL for (int m = 0; m < MB; m++) UNROLL for (int v = 0; v < NV; v++)
                store(made + m * T + s + v * LANES, acc[m][v]);
        }
    }
}

/* One tile; in, out, arg as in convolve (OH, OW after pooling); the points of its inputs are kept. pairs: scratch. */
INLINE void minimal_forward(const int HALF, const float *in, const float *packed, const float *bias, float *out, int32_t *arg,
                            float *kept, float *pairs, float *made, const int IC, const int H, const int W, const int IN_ROW,
                            const int OC, const int OH, const int OW, const int OUT_ROW, const int PH, const int PW,
                            const int POOL, const int RELU, const int ALL) {
    const int NB = (OC + BLOCK_OF(HALF) - 1) / BLOCK_OF(HALF), Q = OC / NB, R = OC % NB;
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
    const int NB = (IC + BLOCK_OF(HALF) - 1) / BLOCK_OF(HALF), Q = IC / NB, R = IC % NB;
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
    if (HALF == TILED) {
        tile_products(1, kept, IC * ROW(HALF), turned, ROW(HALF) * T, sums, windows);
        return;
    }
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
    const int NB = (IC + BLOCK_OF(HALF) - 1) / BLOCK_OF(HALF), Q = IC / NB, R = IC % NB;
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

/* 16 terms of 32 outputs -> 32 outputs of 16 terms. */
INLINE void turn_terms(float *words) {
    float turned[TILE_FLOATS] __attribute__((aligned(64)));
    for (int i = 0; i < TILE_WORDS; i += 8)
        for (int o = 0; o < T; o += 8) {
            const float *rows[8];
            UNROLL for (int r = 0; r < 8; r++) rows[r] = words + (i + r) * T + o;
            turn8(rows, turned + o * TILE_WORDS + i, TILE_WORDS);
        }
    memcpy(words, turned, sizeof turned);
}

/* Filters, STEP_OUT and STEP_IN floats apart -> packed [block of OUT][36][IN][output of the block], IN in words (HALF). */
INLINE void minimal_pack(const int HALF, const float *restrict weight, float *restrict packed, const int IN, const int OUT,
                         const int STEP_IN, const int STEP_OUT) {
    const int NB = (OUT + BLOCK_OF(HALF) - 1) / BLOCK_OF(HALF), Q = OUT / NB, R = OUT % NB, TERMS = HALF ? IN / 2 : IN;
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
        if (HALF == TILED)
            for (int64_t at = 0; at < (int64_t)POINTS * TERMS * size; at += TILE_FLOATS)
                turn_terms(packed + (int64_t)c * TERMS * POINTS + at);
    }
}

#endif
