/* Direct convolution, stride 1: forward and backward-data are one function; the weight gradient is in correlate.h.
 *
 * A map is [row][column][channel][T]; the run of channels of neighbouring columns is contiguous, so one row
 * of a filter is one long dot product over consecutive groups of T floats.
 *
 *   forward        out[y][x][o] = bias[o] + sum over (ky,kx,i) of w[o][i][ky][kx] * in[y+ky-PH][x+kx-PW][i]
 *   backward-data  the same sum with in := gradient of out, the filter turned by 180 degrees, i and o swapped,
 *                  PH := KH-1-PH. Taps outside the map are skipped, not multiplied by zero.
 *
 * A linear layer is a 1x1 convolution of a 1x1 map. Outputs are taken in blocks of at most BLOCK channels whose
 * sizes differ by at most one (16 = 6 + 5 + 5); packed weights are [block][ky][kx][i][channel of the block]. A call does
 * STEP of the T samples; in, out and arg point at the first of them.
 */
#ifndef FEDSKEW_CONVOLUTION_H
#define FEDSKEW_CONVOLUTION_H

#include "vector.h"

/* acc[m] += sum over k < n of w[k][m] * x[k]: MB x NV accumulators stay in registers. AHEAD: how many floats before their
 * use to ask for weights, 0 where they are in a near cache. HALF: x and w are words of two bfloat16. */
INLINE void dot_run(const int MB, vf acc[MAX_BLOCK][NV], const float *restrict x, const float *restrict w, int n,
                    const int HALF, const int AHEAD) {
    for (int k = 0; k < n; k++, x += T, w += MB) {
        if (AHEAD) __builtin_prefetch(w + AHEAD);
        vf xs[NV];
        UNROLL for (int v = 0; v < NV; v++) xs[v] = load(x + v * LANES);
        UNROLL for (int m = 0; m < MB; m++) {
            vf b = splat(w[m]);
            UNROLL for (int v = 0; v < NV; v++)
                acc[m][v] = HALF ? mad_pairs(b, xs[v], acc[m][v]) : mad(b, xs[v], acc[m][v]);
        }
    }
}

/* acc[m] += sum over s < n of rows[m][s] * x[s], rows ROW floats long: the other way to hold a product, where what was a
 * lane has been turned into a row. HALF as above; AHEAD: how many floats before their use to ask for units, or 0. */
INLINE void outer_run(const int MB, vf acc[MAX_BLOCK][NV], const float *restrict x, const float *restrict rows, const int ROW,
                      int n, const int HALF, const int AHEAD) {
    for (int s = 0; s < n; s++, x += T) {
        if (AHEAD)
            UNROLL for (int v = 0; v < NV; v++) __builtin_prefetch(x + AHEAD + v * LANES);
        vf xs[NV];
        UNROLL for (int v = 0; v < NV; v++) xs[v] = load(x + v * LANES);
        UNROLL for (int m = 0; m < MB; m++) {
            vf b = splat(rows[m * ROW + s]);
            UNROLL for (int v = 0; v < NV; v++)
                acc[m][v] = HALF ? mad_pairs(b, xs[v], acc[m][v]) : mad(b, xs[v], acc[m][v]);
        }
    }
}

/* One pixel of MB output channels, before bias-free epilogues; in points at pixel (0,0), rows are IN_ROW pixels. */
INLINE void convolve_pixel(const int MB, vf acc[MAX_BLOCK][NV], const float *in, const float *w, int y, int x, const int IC,
                           const int H, const int W, const int IN_ROW, const int KH, const int KW, const int PH,
                           const int PW) {
    int ky0 = max_int(0, PH - y), ky1 = min_int(KH, H + PH - y);
    int kx0 = max_int(0, PW - x), kx1 = min_int(KW, W + PW - x);
    for (int ky = ky0; ky < ky1; ky++)
        dot_run(MB, acc, in + ((int64_t)(y + ky - PH) * IN_ROW + (x + kx0 - PW)) * IC * T, w + (ky * KW + kx0) * IC * MB,
                (kx1 - kx0) * IC, 0, 0);
}

/* One (pooled) pixel of MB channels. With pooling, arg gets the place of the first maximum in the window
 * (row by row), or -1 where ReLU gives zero, so that the backward pass needs nothing else. */
INLINE void convolve_cell(const int MB, const float *in, const float *w, const float *bias, float *out, int32_t *arg,
                          int y, int x, const int IC, const int H, const int W, const int IN_ROW, const int KH,
                          const int KW, const int PH, const int PW, const int POOL_H, const int POOL_W, const int RELU) {
    vf best[MAX_BLOCK][NV];
    vi where[MAX_BLOCK][NV];
    for (int sub = 0; sub < POOL_H * POOL_W; sub++) {
        vf acc[MAX_BLOCK][NV];
        UNROLL for (int m = 0; m < MB; m++) UNROLL for (int v = 0; v < NV; v++) acc[m][v] = splat(bias ? bias[m] : 0.0f);
        convolve_pixel(MB, acc, in, w, y * POOL_H + sub / POOL_W, x * POOL_W + sub % POOL_W, IC, H, W, IN_ROW, KH, KW, PH,
                       PW);
        if (POOL_H * POOL_W == 1) {
            UNROLL for (int m = 0; m < MB; m++) UNROLL for (int v = 0; v < NV; v++)
                store(out + m * T + v * LANES, RELU ? relu_vf(acc[m][v]) : acc[m][v]);
            return;
        }
        UNROLL for (int m = 0; m < MB; m++) UNROLL for (int v = 0; v < NV; v++) {
            if (sub == 0) {
                best[m][v] = acc[m][v];
                where[m][v] = (vi){0};
            } else {
                vi stays = acc[m][v] <= best[m][v];
                best[m][v] = select_vf(stays, best[m][v], acc[m][v]);
                where[m][v] = (where[m][v] & stays) | ((sub - (vi){0}) & ~stays);
            }
        }
    }
    UNROLL for (int m = 0; m < MB; m++) {
        UNROLL for (int v = 0; v < NV; v++) {
            if (RELU) {
                where[m][v] |= best[m][v] <= (vf){0};
                best[m][v] = relu_vf(best[m][v]);
            }
            store(out + m * T + v * LANES, best[m][v]);
        }
        store_places(arg + m * PLACES, where[m]);
    }
}

/* One pixel of MB channels behind a 2x2 pooling, one vector of samples: the four sums of each channel stay in registers, and
 * each weight serves all four. The taps in the border, which is stored, are multiplied by its zeros. in points at the first
 * tap of the window's first pixel. */
#define QUAD 6
INLINE void convolve_quad(const int MB, const float *in, const float *w, const float *bias, float *out, vi places[QUAD],
                          const int IC, const int IN_ROW, const int KH, const int KW, const int RELU) {
    vf acc[QUAD][4];
    UNROLL for (int m = 0; m < MB; m++) UNROLL for (int q = 0; q < 4; q++) acc[m][q] = splat(bias ? bias[m] : 0.0f);
    for (int ky = 0; ky < KH; ky++) {
        const float *x = in + (int64_t)ky * IN_ROW * IC * T;
        for (int k = 0; k < KW * IC; k++, x += T, w += MB) {
            vf xs[4];
            UNROLL for (int q = 0; q < 4; q++) xs[q] = load(x + (q / 2 * IN_ROW + q % 2) * IC * T);
            UNROLL for (int m = 0; m < MB; m++) {
                vf b = splat(w[m]);
                UNROLL for (int q = 0; q < 4; q++) acc[m][q] = mad(b, xs[q], acc[m][q]);
            }
        }
    }
    UNROLL for (int m = 0; m < MB; m++) {
        vf best = acc[m][0];
        vi where = {0};
        UNROLL for (int q = 1; q < 4; q++) {
            vi stays = acc[m][q] <= best;
            best = select_vf(stays, best, acc[m][q]);
            where = (where & stays) | ((q - (vi){0}) & ~stays);
        }
        if (RELU) {
            where |= best <= (vf){0};
            best = relu_vf(best);
        }
        store(out + m * T, best);
        places[m] = where;
    }
}

/* convolve with a 2x2 pooling, for processors with 32 registers; weights are packed for blocks of QUAD. */
INLINE void convolve_quads(const float *in, const float *w, const float *bias, float *out, int32_t *arg, const int IC,
                           const int IN_ROW, const int OC, const int OH, const int OW, const int OUT_ROW, const int KH,
                           const int KW, const int PH, const int PW, const int RELU) {
    const int NB = (OC + QUAD - 1) / QUAD, Q = OC / NB, R = OC % NB, K = IC * KH * KW;
    for (int s = 0; s < T; s += STEP)
        for (int y = 0; y < OH; y++)
            for (int x = 0; x < OW; x++) {
                const float *first = in + ((int64_t)(2 * y - PH) * IN_ROW + 2 * x - PW) * IC * T + s;
                float *o = out + ((int64_t)y * OUT_ROW + x) * OC * T + s;
                int32_t *a = arg + ((int64_t)y * OW + x) * OC * PLACES + s / 2;
                for (int c = 0, size; c < OC; c += size) {
                    size = c < R * (Q + 1) ? Q + 1 : Q;
                    vi places[NV][QUAD];
                    for (int v = 0; v < NV; v++) {
                        const float *from = first + v * LANES, *weights = w + c * K, *b = bias ? bias + c : 0;
                        float *to = o + c * T + v * LANES;
                        if (size == Q)
                            convolve_quad(Q, from, weights, b, to, places[v], IC, IN_ROW, KH, KW, RELU);
                        else
                            convolve_quad(Q + 1, from, weights, b, to, places[v], IC, IN_ROW, KH, KW, RELU);
                    }
                    for (int m = 0; m < size; m++)
                        store_places(a + (c + m) * PLACES, (vi[NV]){places[0][m], places[1][m]});
                }
            }
}

/* A whole map: in [IN_ROW pixels per row] -> out [OH][OW] (after pooling) with rows of OUT_ROW pixels; arg [OH][OW][OC]
 * arg and bias may be NULL (no pooling; no bias). */
INLINE void convolve(const float *in, const float *w, const float *bias, float *out, int32_t *arg, const int IC, const int H,
                     const int W, const int IN_ROW, const int OC, const int OH, const int OW, const int OUT_ROW,
                     const int KH, const int KW, const int PH, const int PW, const int POOL_H, const int POOL_W,
                     const int RELU) {
    const int NB = (OC + BLOCK - 1) / BLOCK, Q = OC / NB, R = OC % NB, K = IC * KH * KW;
    for (int s = 0; s < T; s += STEP)
        for (int y = 0; y < OH; y++)
            for (int x = 0; x < OW; x++) {
                float *o = out + ((int64_t)y * OUT_ROW + x) * OC * T + s;
                int32_t *a = arg ? arg + ((int64_t)y * OW + x) * OC * PLACES + s / 2 : 0;
                for (int c = 0; c < R * (Q + 1); c += Q + 1)
                    convolve_cell(Q + 1, in + s, w + c * K, bias ? bias + c : 0, o + c * T, a ? a + c * PLACES : 0, y, x, IC, H,
                                  W, IN_ROW, KH, KW, PH, PW, POOL_H, POOL_W, RELU);
                for (int c = R * (Q + 1); c < OC; c += Q)
                    convolve_cell(Q, in + s, w + c * K, bias ? bias + c : 0, o + c * T, a ? a + c * PLACES : 0, y, x, IC, H, W,
                                  IN_ROW, KH, KW, PH, PW, POOL_H, POOL_W, RELU);
            }
}

/* torch's [OC][IC][KH][KW] -> [block][ky][kx][i][channel of the block], blocks of at most SIZE. */
INLINE void pack_forward(const float *restrict weight, float *restrict packed, const int SIZE, const int IC, const int OC,
                         const int KH, const int KW) {
    const int NB = (OC + SIZE - 1) / SIZE, Q = OC / NB, R = OC % NB, K = IC * KH * KW;
    for (int c = 0, size; c < OC; c += size) {
        size = c < R * (Q + 1) ? Q + 1 : Q;
        for (int i = 0; i < IC; i++)
            for (int k = 0; k < KH * KW; k++)
                for (int m = 0; m < size; m++)
                    packed[c * K + (k * IC + i) * size + m] = weight[((c + m) * IC + i) * KH * KW + k];
    }
}

/* The same weights for backward-data: outputs are the IC channels, the filter is turned by 180 degrees. */
INLINE void pack_backward(const float *restrict weight, float *restrict packed, const int IC, const int OC, const int KH,
                          const int KW) {
    const int NB = (IC + BLOCK - 1) / BLOCK, Q = IC / NB, R = IC % NB, K = OC * KH * KW;
    for (int c = 0, size; c < IC; c += size) {
        size = c < R * (Q + 1) ? Q + 1 : Q;
        for (int o = 0; o < OC; o++)
            for (int k = 0; k < KH * KW; k++)
                for (int m = 0; m < size; m++)
                    packed[c * K + (k * OC + o) * size + m] = weight[(o * IC + c + m) * KH * KW + (KH * KW - 1 - k)];
    }
}

#endif
