/* The weight gradient of a convolution of few outputs: sums over pixels and samples, samples as lanes.
 *
 *   gradient[o][i][ky][kx] += over the tile of g[y][x][o][s] * in[y+ky][x+kx][i][s]
 *
 * A block of sums stays in registers while pixels pass; a sum keeps its FOLD numbers until the end of the chunk.
 */
#ifndef FEDSKEW_CORRELATE_H
#define FEDSKEW_CORRELATE_H

#include "vector.h"

/* sums[m][j] += over rows y0..y1, columns and samples of g[y][x][m] * in[y][x][j]; MB x NB accumulators in registers.
 * A sum is FOLD numbers. */
INLINE void correlate_block(const int MB, const int NB, const float *restrict g, const float *restrict in,
                            float *restrict sums, int rows, const int G_ROW, const int G_PIXEL, const int IN_ROW,
                            const int IN_PIXEL, const int OW) {
    const int FEW = MB < NB ? MB : NB, MANY = MB < NB ? NB : MB; /* the fewer operands stay in registers */
    vf acc[24][FOLD / LANES];
    UNROLL for (int a = 0; a < MB * NB; a++) UNROLL for (int f = 0; f < FOLD / LANES; f++)
        acc[a][f] = load(sums + a * FOLD + f * LANES);
    for (int y = 0; y < rows; y++) {
        const float *gp = g + (int64_t)y * G_ROW, *ip = in + (int64_t)y * IN_ROW;
        for (int x = 0; x < OW; x++, gp += G_PIXEL, ip += IN_PIXEL)
            UNROLL for (int v = 0; v < PARTS; v++) {
                const float *few = (MB < NB ? gp : ip) + v * LANES, *many = (MB < NB ? ip : gp) + v * LANES;
                vf held[4];
                UNROLL for (int j = 0; j < FEW; j++) {
                    held[j] = load(few + j * T);
                    IN_REGISTER(held[j]);
                }
                UNROLL for (int m = 0; m < MANY; m++) {
                    vf one = load(many + m * T);
                    IN_REGISTER(one);
                    UNROLL for (int j = 0; j < FEW; j++) {
                        vf *sum = acc[MB < NB ? j * NB + m : m * NB + j] + v % (FOLD / LANES);
                        *sum = mad(one, held[j], *sum);
                    }
                }
            }
    }
    UNROLL for (int a = 0; a < MB * NB; a++) UNROLL for (int f = 0; f < FOLD / LANES; f++)
        store(sums + a * FOLD + f * LANES, acc[a][f]);
}

/* At the end of a chunk of tiles: gradient[o][i][ky][kx] += the sums of one block of MB outputs over all their taps, each
 * added over its numbers; the sums become zero. */
INLINE void scatter_sums(const int MB, const int NBMAX, float *sums, float *gradient, const int IC, const int KH,
                         const int KW) {
    const int RUN = KW * IC, BLOCKS = (RUN + NBMAX - 1) / NBMAX, Q = RUN / BLOCKS, R = RUN % BLOCKS;
    for (int ky = 0; ky < KH; ky++)
        for (int c = 0, size; c < RUN; c += size) {
            size = c < R * (Q + 1) ? Q + 1 : Q;
            for (int m = 0; m < MB; m++)
                for (int j = 0; j < size; j++) {
                    float *s = sums + ((ky * RUN + c) * MB + m * size + j) * FOLD;
                    float total = 0;
                    for (int l = 0; l < FOLD; l++) {
                        total += s[l];
                        s[l] = 0;
                    }
                    int kx = (c + j) / IC, i = (c + j) % IC;
                    gradient[((m * IC + i) * KH + ky) * KW + kx] += total;
                }
        }
}

/* The weight gradient of MB output channels: row strips of ROWS rows, so that g and the rows of in under it
 * stay in the first-level cache while every block of taps passes over them. */
INLINE void weight_gradient_block(const int MB, const int NBMAX, const float *g, const float *in, float *sums, const int ROWS,
                                  const int IC, const int IN_ROW, const int OC, const int OH, const int OW, const int KH,
                                  const int KW) {
    const int RUN = KW * IC, BLOCKS = (RUN + NBMAX - 1) / NBMAX, Q = RUN / BLOCKS, R = RUN % BLOCKS;
    for (int y = 0; y < OH; y += ROWS) {
        int rows = min_int(ROWS, OH - y);
        const float *gp = g + (int64_t)y * OW * OC * T;
        for (int ky = 0; ky < KH; ky++) {
            const float *ip = in + (int64_t)(y + ky) * IN_ROW * IC * T;
            float *sp = sums + ky * RUN * MB * FOLD;
            for (int c = 0; c < R * (Q + 1); c += Q + 1)
                correlate_block(MB, Q + 1, gp, ip + c * T, sp + c * MB * FOLD, rows, OW * OC * T, OC * T, IN_ROW * IC * T,
                                IC * T, OW);
            for (int c = R * (Q + 1); c < RUN; c += Q)
                correlate_block(MB, Q, gp, ip + c * T, sp + c * MB * FOLD, rows, OW * OC * T, OC * T, IN_ROW * IC * T, IC * T,
                                OW);
        }
    }
}

/* sums [OC][KH][KW][IC] += over the tile of g[y][x][o] * in[y+ky][x+kx][i]; in is stored with its zero border, rows of IN_ROW
 * pixels; g is dense. MBMAX x NBMAX: the register block, chosen in codegen.py. */
INLINE void weight_gradient(const int MBMAX, const int NBMAX, const float *g, const float *in, float *sums, const int ROWS,
                            const int IC, const int IN_ROW, const int OC, const int OH, const int OW, const int KH,
                            const int KW) {
    const int BLOCKS = (OC + MBMAX - 1) / MBMAX, Q = OC / BLOCKS, R = OC % BLOCKS, K = IC * KH * KW;
    for (int c = 0; c < R * (Q + 1); c += Q + 1)
        weight_gradient_block(Q + 1, NBMAX, g + c * T, in, sums + c * K * FOLD, ROWS, IC, IN_ROW, OC, OH, OW, KH, KW);
    for (int c = R * (Q + 1); c < OC; c += Q)
        weight_gradient_block(Q, NBMAX, g + c * T, in, sums + c * K * FOLD, ROWS, IC, IN_ROW, OC, OH, OW, KH, KW);
}

INLINE void weight_finish(const int MBMAX, const int NBMAX, float *sums, float *gradient, const int IC, const int OC,
                          const int KH, const int KW) {
    const int BLOCKS = (OC + MBMAX - 1) / MBMAX, Q = OC / BLOCKS, R = OC % BLOCKS, K = IC * KH * KW;
    for (int c = 0, size; c < OC; c += size) {
        size = c < R * (Q + 1) ? Q + 1 : Q;
        scatter_sums(size, NBMAX, sums + (int64_t)c * K * FOLD, gradient + (int64_t)c * K, IC, KH, KW);
    }
}

#endif
