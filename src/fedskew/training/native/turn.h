/* Turning T x T floats, so that what was a lane becomes a row. */
#ifndef FEDSKEW_TURN_H
#define FEDSKEW_TURN_H

#include "vector.h"

#ifndef __has_builtin
#define __has_builtin(x) 0
#endif

/* to[s * TO + o] = from[o][s] for 8 rows o and s < 8. */
INLINE void turn8(const float *const from[8], float *restrict to, const int TO) {
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLE __builtin_shufflevector
    typedef float eight __attribute__((vector_size(32), may_alias));
    eight t[8], u[8];
    UNROLL for (int i = 0; i < 8; i += 2) {
        eight a = *(const eight *)from[i], b = *(const eight *)from[i + 1];
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
        *(eight *)(to + i * TO) = SHUFFLE(u[i], u[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        *(eight *)(to + (i + 4) * TO) = SHUFFLE(u[i], u[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
#else
    for (int o = 0; o < 8; o++)
        for (int s = 0; s < 8; s++) to[s * TO + o] = from[o][s];
#endif
}

/* to[s * T + o] = from[o * ROW + s] for T rows of ROW floats. */
INLINE void turn_rows(const int ROW, const float *restrict from, float *restrict to) {
    for (int o = 0; o < T; o += 8)
        for (int s = 0; s < ROW; s += 8) {
            const float *rows[8];
            UNROLL for (int i = 0; i < 8; i++) rows[i] = from + (o + i) * ROW + s;
            turn8(rows, to + s * T + o, T);
        }
}
INLINE void turn(const float *restrict from, float *restrict to) { turn_rows(T, from, to); }

#endif
