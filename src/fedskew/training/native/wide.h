/* The weight gradient of a convolution with a multiple of T outputs: outputs as lanes instead of samples.
 *
 *   sums[ky][kx][i][T outputs] += over pixels and samples s of in[y+ky][x+kx][i][s] * g[y][x][s][T outputs]
 *
 * g is turned once, pixel by pixel; then no sum over lanes is ever needed, the inner loop is that of the forward pass
 * (6 x 2 accumulators, one float times one unit), and the sums stay as they are until the end of the batch.
 */
#ifndef FEDSKEW_WIDE_H
#define FEDSKEW_WIDE_H

#include "convolution.h"

#ifndef __has_builtin
#define __has_builtin(x) 0
#endif

/* to[s * T + o] = from[o * T + s] for T x T floats. */
#if LANES == 8 && __has_builtin(__builtin_shufflevector)
#define SHUFFLE __builtin_shufflevector
INLINE void turn8(const float *restrict from, float *restrict to) {
    vf t[8], u[8];
    UNROLL for (int i = 0; i < 8; i += 2) {
        vf a = load(from + i * T), b = load(from + (i + 1) * T);
        t[i] = SHUFFLE(a, b, 0, 8, 1, 9, 4, 12, 5, 13);
        t[i + 1] = SHUFFLE(a, b, 2, 10, 3, 11, 6, 14, 7, 15);
    }
    UNROLL for (int i = 0; i < 8; i += 4) {
        u[i] = SHUFFLE(t[i], t[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        u[i + 1] = SHUFFLE(t[i], t[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        u[i + 2] = SHUFFLE(t[i + 1], t[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
        u[i + 3] = SHUFFLE(t[i + 1], t[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
    }
    UNROLL for (int i = 0; i < 4; i++) {
        store(to + i * T, SHUFFLE(u[i], u[i + 4], 0, 1, 2, 3, 8, 9, 10, 11));
        store(to + (i + 4) * T, SHUFFLE(u[i], u[i + 4], 4, 5, 6, 7, 12, 13, 14, 15));
    }
}
INLINE void turn(const float *restrict from, float *restrict to) {
    for (int o = 0; o < T; o += 8)
        for (int s = 0; s < T; s += 8) turn8(from + o * T + s, to + s * T + o);
}
#else
INLINE void turn(const float *restrict from, float *restrict to) {
    for (int o = 0; o < T; o++)
        for (int s = 0; s < T; s++) to[s * T + o] = from[o * T + s];
}
#endif

/* sums[m][T] += over a strip of rows x columns pixels; turned is [pixel][s][T], MB neighbouring units of in per pixel. */
INLINE void wide_block(const int MB, const float *restrict turned, const float *restrict in, float *restrict sums, int rows,
                       int columns, const int IC, const int IN_ROW) {
    vf acc[BLOCK][NV];
    UNROLL for (int m = 0; m < MB; m++) UNROLL for (int v = 0; v < NV; v++) acc[m][v] = load(sums + m * T + v * LANES);
    for (int y = 0; y < rows; y++, in += (int64_t)IN_ROW * IC * T) {
        const float *ip = in;
        for (int x = 0; x < columns; x++, ip += IC * T)
            for (int s = 0; s < T; s++, turned += T) {
                vf gs[NV];
                UNROLL for (int v = 0; v < NV; v++) gs[v] = load(turned + v * LANES);
                UNROLL for (int m = 0; m < MB; m++) {
                    vf b = splat(ip[m * T + s]);
                    UNROLL for (int v = 0; v < NV; v++) acc[m][v] += b * gs[v];
                }
            }
    }
    UNROLL for (int m = 0; m < MB; m++) UNROLL for (int v = 0; v < NV; v++) store(sums + m * T + v * LANES, acc[m][v]);
}

/* One tile. sums is [OC/T][KH][KW][IC][T], turned scratch for ROWS x COLUMNS pixels, about half a first-level cache. */
INLINE void wide_gradient(const float *g, const float *in, float *turned, float *sums, const int ROWS, const int COLUMNS,
                          const int IC, const int IN_ROW, const int OC, const int OH, const int OW, const int KH,
                          const int KW) {
    const int RUN = KW * IC, NB = (RUN + BLOCK - 1) / BLOCK, Q = RUN / NB, R = RUN % NB;
    for (int o = 0; o < OC; o += T, sums += KH * RUN * T)
        for (int y = 0; y < OH; y += ROWS)
            for (int x = 0; x < OW; x += COLUMNS) {
                int rows = min_int(ROWS, OH - y), columns = min_int(COLUMNS, OW - x);
                for (int r = 0; r < rows; r++)
                    for (int c = 0; c < columns; c++)
                        turn(g + (((int64_t)(y + r) * OW + x + c) * OC + o) * T, turned + (r * columns + c) * T * T);
                for (int ky = 0; ky < KH; ky++) {
                    const float *ip = in + ((int64_t)(y + ky) * IN_ROW + x) * IC * T;
                    float *sp = sums + ky * RUN * T;
                    for (int c = 0; c < R * (Q + 1); c += Q + 1)
                        wide_block(Q + 1, turned, ip + c * T, sp + c * T, rows, columns, IC, IN_ROW);
                    for (int c = R * (Q + 1); c < RUN; c += Q)
                        wide_block(Q, turned, ip + c * T, sp + c * T, rows, columns, IC, IN_ROW);
                }
            }
}

/* At the end of the batch: torch's gradient[OC][IC][KH*KW] := the sums, which become zero for the next batch. */
INLINE void wide_finish(float *restrict sums, float *restrict gradient, const int IC, const int OC, const int TAPS) {
    for (int o = 0; o < OC; o++)
        for (int i = 0; i < IC; i++)
            for (int k = 0; k < TAPS; k++) {
                float *sum = sums + (((int64_t)(o / T) * TAPS + k) * IC + i) * T + o % T;
                gradient[((int64_t)o * IC + i) * TAPS + k] = *sum;
                *sum = 0.0f;
            }
}

#endif
