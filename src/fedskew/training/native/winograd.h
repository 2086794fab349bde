/* Minimal filtering F(4x4, 3x3) (Winograd 1980; Lavin and Gray 2016): a 3x3 convolution by 36 products instead of 144.
 *
 * The map of outputs is cut into windows of 4x4 pixels, each of which reads 6x6 pixels of the input. With the three
 * matrices of the method, for one window, one input channel i and one output channel o, elementwise products (.):
 *
 *   forward    y  = A' [ U . V ] A            V = B' d B      the 6x6 inputs, 36 points
 *   by input   d' = B  [ U . M ] B'           U = G  w G'     the 3x3 filter, 36 points
 *   by weights w' = G' [ V . M ] G            M = A  y' A'    the 4x4 gradients, 36 points
 *
 * Each line is the derivative of the one above, so all three take the same 36 points, whose sums over i, o and over
 * samples are matrix products, point by point. Samples are the lanes, so the transforms are plain vector code.
 *
 * This file has the six transforms of a row or column, and of a window of one channel of one vector of samples.
 */
#ifndef FEDSKEW_WINOGRAD_H
#define FEDSKEW_WINOGRAD_H

#include "vector.h"

#define WINDOW 4  /* outputs of a window, each way */
#define READS 6   /* inputs of a window, each way */
#define POINTS 36 /* READS * READS */

/* B' x: interpolation points 0, 1, -1, 2, -2, infinity. */
INLINE void to_points(const vf x[READS], vf v[READS]) {
    const vf four = splat(4), five = splat(5), two = splat(2);
    vf a = mad(-four, x[2], x[4]), b = mad(-four, x[1], x[3]), c = x[4] - x[2], d = x[3] - x[1];
    v[0] = mad(four, x[0], mad(-five, x[2], x[4]));
    v[1] = a + b;
    v[2] = a - b;
    v[3] = mad(two, d, c);
    v[4] = mad(-two, d, c);
    v[5] = mad(four, x[1], mad(-five, x[3], x[5]));
}

/* B x, its transpose. */
INLINE void from_points(const vf v[READS], vf x[READS]) {
    const vf four = splat(4), five = splat(5), two = splat(2);
    vf s = v[1] + v[2], d = v[1] - v[2], t = v[3] + v[4], u = v[3] - v[4];
    x[0] = four * v[0];
    x[1] = mad(four, v[5] - d, -two * u);
    x[2] = mad(-five, v[0], mad(-four, s, -t));
    x[3] = mad(-five, v[5], mad(two, u, d));
    x[4] = v[0] + (s + t);
    x[5] = v[5];
}

/* A' x. */
INLINE void to_outputs(const vf m[READS], vf y[WINDOW]) {
    const vf two = splat(2), four = splat(4), eight = splat(8);
    vf s = m[1] + m[2], d = m[1] - m[2], t = m[3] + m[4], u = m[3] - m[4];
    y[0] = m[0] + (s + t);
    y[1] = mad(two, u, d);
    y[2] = mad(four, t, s);
    y[3] = mad(eight, u, d) + m[5];
}

/* A x, its transpose. */
INLINE void from_outputs(const vf y[WINDOW], vf m[READS]) {
    const vf two = splat(2), four = splat(4);
    vf p = y[0] + y[2], q = y[1] + y[3], r = mad(four, y[2], y[0]), s = mad(four, y[3], y[1]);
    m[0] = y[0];
    m[1] = p + q;
    m[2] = p - q;
    m[3] = mad(two, s, r);
    m[4] = mad(-two, s, r);
    m[5] = y[3];
}

/* G x. */
INLINE void from_filter(const vf w[3], vf u[READS]) {
    const vf quarter = splat(0.25f), sixth = splat(-1.0f / 6), fine = splat(1.0f / 24), four = splat(4), two = splat(2);
    vf a = w[0] + w[2], b = mad(four, w[2], w[0]);
    u[0] = quarter * w[0];
    u[1] = sixth * (a + w[1]);
    u[2] = sixth * (a - w[1]);
    u[3] = fine * mad(two, w[1], b);
    u[4] = fine * mad(-two, w[1], b);
    u[5] = w[2];
}

/* G' x, its transpose. */
INLINE void to_filter(const vf u[READS], vf w[3]) {
    const vf quarter = splat(0.25f), sixth = splat(-1.0f / 6), twelfth = splat(1.0f / 12), fine = splat(1.0f / 24);
    vf s = u[1] + u[2], d = u[1] - u[2], t = u[3] + u[4], v = u[3] - u[4];
    w[0] = mad(quarter, u[0], mad(sixth, s, fine * t));
    w[1] = mad(sixth, d, twelfth * v);
    w[2] = mad(sixth, s - t, u[5]);
}

/* TO = transform of every column, then of every row, of FROM: [N][N] -> [M][M] vectors. */
#define BOTH_WAYS(transform, N, M, FROM, TO)                                             \
    do {                                                                                 \
        vf half_[M * N];                                                                 \
        UNROLL for (int c_ = 0; c_ < N; c_++) {                                          \
            vf column_[N], made_[M];                                                     \
            UNROLL for (int r_ = 0; r_ < N; r_++) column_[r_] = (FROM)[r_ * N + c_];     \
            transform(column_, made_);                                                   \
            UNROLL for (int r_ = 0; r_ < M; r_++) half_[r_ * N + c_] = made_[r_];        \
        }                                                                                \
        UNROLL for (int r_ = 0; r_ < M; r_++) transform(half_ + r_ * N, (TO) + r_ * M);  \
    } while (0)

#endif
