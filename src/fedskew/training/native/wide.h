/* The weight gradient of a convolution with a multiple of T outputs: outputs as lanes instead of samples.
 *
 *   sums[ky][kx][i][T outputs] += over pixels and samples s of in[y+ky][x+kx][i][s] * g[y][x][s][T outputs]
 *
 * g is turned once, pixel by pixel; then no sum over lanes is ever needed, the inner loop is that of the forward pass
 * (BLOCK x 2 accumulators, one float times one unit), and the sums stay as they are until the end of the chunk.
 */
#ifndef FEDSKEW_WIDE_H
#define FEDSKEW_WIDE_H

#include "convolution.h"
#include "turn.h"

/* sums[m][T] += over a strip of rows x columns pixels; turned is [pixel][s][T], MB neighbouring units of in per pixel. */
INLINE void wide_block(const int MB, const float *restrict turned, const float *restrict in, float *restrict sums, int rows,
                       int columns, const int IC, const int IN_ROW) {
    for (int part = 0; part < T; part += STEP) {
        const float *gp = turned + part, *row = in;
        float *sum = sums + part;
        vf acc[MAX_BLOCK][NV];
        UNROLL for (int m = 0; m < MB; m++) UNROLL for (int v = 0; v < NV; v++) acc[m][v] = load(sum + m * T + v * LANES);
        for (int y = 0; y < rows; y++, row += (int64_t)IN_ROW * IC * T) {
            const float *ip = row;
            for (int x = 0; x < columns; x++, ip += IC * T, gp += T * T) outer_run(MB, acc, gp, ip, T, T, 0, 0);
        }
        UNROLL for (int m = 0; m < MB; m++) UNROLL for (int v = 0; v < NV; v++) store(sum + m * T + v * LANES, acc[m][v]);
    }
}

/* One pixel of g for T outputs, turned. With arg, g and arg are those of the pooled map [.][OW/POOL_W][OC] and are sent
 * back through the pooling on the way, so that the first layer never writes its large gradient to memory. */
INLINE void turn_pixel(const float *g, const int32_t *arg, float *to, int y, int x, int o, const int OC, const int OW,
                       const int POOL_H, const int POOL_W) {
    if (!arg) {
        turn(g + (((int64_t)y * OW + x) * OC + o) * T, to);
        return;
    }
    float spread[T * T] __attribute__((aligned(64)));
    int64_t unit = ((int64_t)(y / POOL_H) * (OW / POOL_W) + x / POOL_W) * OC + o;
    int sub = y % POOL_H * POOL_W + x % POOL_W;
    for (int m = 0; m < T; m++, unit++)
        UNROLL for (int v = 0; v < PARTS; v++) {
            vi here = load_places(arg + unit * PLACES, v) == sub;
            store(spread + m * T + v * LANES, (vf)((vi)load(g + unit * T + v * LANES) & here));
        }
    turn(spread, to);
}

/* One tile. sums is [OC/T][KH][KW][IC][T], turned scratch for ROWS x COLUMNS pixels, about half a first-level cache. */
INLINE void wide_gradient(const float *g, const int32_t *arg, const int POOL_H, const int POOL_W, const float *in,
                          float *turned, float *sums, const int ROWS, const int COLUMNS, const int IC, const int IN_ROW,
                          const int OC, const int OH, const int OW, const int KH, const int KW) {
    const int RUN = KW * IC, NB = (RUN + BLOCK - 1) / BLOCK, Q = RUN / NB, R = RUN % NB;
    for (int o = 0; o < OC; o += T, sums += KH * RUN * T)
        for (int y = 0; y < OH; y += ROWS)
            for (int x = 0; x < OW; x += COLUMNS) {
                int rows = min_int(ROWS, OH - y), columns = min_int(COLUMNS, OW - x);
                for (int r = 0; r < rows; r++)
                    for (int c = 0; c < columns; c++)
                        turn_pixel(g, arg, turned + (r * columns + c) * T * T, y + r, x + c, o, OC, OW, POOL_H, POOL_W);
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

/* At the end of a chunk of tiles: torch's gradient[OC][IC][KH*KW] += the sums, which become zero for the next chunk. */
INLINE void wide_finish(float *restrict sums, float *restrict gradient, const int IC, const int OC, const int TAPS) {
    for (int o = 0; o < OC; o++)
        for (int i = 0; i < IC; i++)
            for (int k = 0; k < TAPS; k++) {
                float *sum = sums + (((int64_t)(o / T) * TAPS + k) * IC + i) * T + o % T;
                gradient[((int64_t)o * IC + i) * TAPS + k] += *sum;
                *sum = 0.0f;
            }
}

#endif
