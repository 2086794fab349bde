/* Linear layers: packing for the 1x1 convolution that computes them, and their weight gradient.
 *
 * A weight gets only T products per tile, too few to pay for adding over lanes.
 * So inputs are kept, turned to [panel of T features][sample][T], for up to CHUNK tiles, and the weight gradient
 * is one matrix product over all their samples, with features as lanes.
 */
#ifndef FEDSKEW_LINEAR_H
#define FEDSKEW_LINEAR_H

#include "convolution.h"
#include "turn.h"

#define CHUNK 8 /* tiles; 8 x 32 = 256 samples */

/* torch's [OUT][IN] -> [block][in, in storage order][output of the block]. */
INLINE void pack_linear_forward(const float *restrict weight, float *restrict packed, const int C, const int PIXELS,
                                const int OUT) {
    const int IN = C * PIXELS, NB = (OUT + BLOCK - 1) / BLOCK, Q = OUT / NB, R = OUT % NB;
    for (int o = 0, size; o < OUT; o += size) {
        size = o < R * (Q + 1) ? Q + 1 : Q;
        for (int c = 0; c < C; c++)
            for (int p = 0; p < PIXELS; p++)
                for (int m = 0; m < size; m++)
                    packed[o * IN + (p * C + c) * size + m] = weight[(o + m) * IN + c * PIXELS + p];
    }
}

/* torch's [OUT][IN] -> [block of inputs, in storage order][out][input of the block]. */
INLINE void pack_linear_backward(const float *restrict weight, float *restrict packed, const int C, const int PIXELS,
                                 const int OUT) {
    const int IN = C * PIXELS, NB = (IN + BLOCK - 1) / BLOCK, Q = IN / NB, R = IN % NB;
    for (int i = 0, size; i < IN; i += size) {
        size = i < R * (Q + 1) ? Q + 1 : Q;
        for (int o = 0; o < OUT; o++)
            for (int m = 0; m < size; m++)
                packed[i * OUT + o * size + m] = weight[o * IN + ((i + m) % C) * PIXELS + (i + m) / C];
    }
}

/* Tile number tile of the chunk: x [y][x][c][T] -> panels [feature/T][CHUNK*T samples][T], features in torch's order. */
INLINE void keep_inputs(const float *restrict x, float *restrict panels, int tile, const int C, const int PIXELS) {
    for (int f = 0; f < C * PIXELS; f += 8) {
        const float *rows[8];
        for (int i = 0; i < 8; i++) {
            const int at = min_int(f + i, C * PIXELS - 1); /* what is beyond the last feature is not read */
            rows[i] = x + ((int64_t)(at % PIXELS) * C + at / PIXELS) * T;
        }
        float *to = panels + ((int64_t)(f / T) * CHUNK + tile) * T * T + f % T;
        for (int s = 0; s < T; s += 8) {
            turn8(rows, to + s * T, T);
            UNROLL for (int i = 0; i < 8; i++) rows[i] += 8;
        }
    }
}

/* gradient[o..o+MB][T features of one panel] += sum over tiles and samples of g[tile][o][s] * panel[tile][s][f]. */
INLINE void outer_block(const int MB, const float *restrict g, const float *restrict panel, float *restrict gradient,
                        int tiles, const int OUT, const int IN, int features) {
    for (int part = 0; part < T && part < features; part += STEP) {
        const float *gp = g, *x = panel + part;
        float *to = gradient + part;
        vf acc[MAX_BLOCK][NV];
        UNROLL for (int m = 0; m < MB; m++) UNROLL for (int v = 0; v < NV; v++) acc[m][v] = (vf){0};
        for (int tile = 0; tile < tiles; tile++, gp += OUT * T, x += T * T) outer_run(MB, acc, x, gp, T, T, 0, 0);
        if (features - part >= STEP) {
            UNROLL for (int m = 0; m < MB; m++) UNROLL for (int v = 0; v < NV; v++)
                *(vf_any *)(to + m * IN + v * LANES) += acc[m][v];
        } else {
            for (int m = 0; m < MB; m++)
                for (int f = 0; f < features - part; f++) to[m * IN + f] += acc[m][f / LANES][f % LANES];
        }
    }
}

/* The weight gradient of up to CHUNK tiles; g is [tile][OUT][T]. */
INLINE void linear_gradient(const float *g, const float *panels, float *gradient, int tiles, const int OUT, const int IN) {
    const int NB = (OUT + BLOCK - 1) / BLOCK, Q = OUT / NB, R = OUT % NB;
    for (int f = 0; f < IN; f += T) {
        const float *panel = panels + (int64_t)f * CHUNK * T;
        for (int o = 0; o < R * (Q + 1); o += Q + 1)
            outer_block(Q + 1, g + o * T, panel, gradient + (int64_t)o * IN + f, tiles, OUT, IN, IN - f);
        for (int o = R * (Q + 1); o < OUT; o += Q)
            outer_block(Q, g + o * T, panel, gradient + (int64_t)o * IN + f, tiles, OUT, IN, IN - f);
    }
}

#endif
