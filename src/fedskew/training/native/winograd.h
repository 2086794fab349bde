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

/* Which points: 0, P, -P, Q, -Q and infinity. 1 and 2 need the fewest operations and are used in float32. 3/4 and 3/2
 * magnify rounding errors to a third (tests/training/test_minimal.py) and are used with factors rounded to bfloat16. */
#define P_OF(HALF) ((HALF) ? 0.75f : 1.0f)
#define Q_OF(HALF) ((HALF) ? 1.5f : 2.0f)

/* B' x. */
INLINE void to_points(const float P, const float Q, const vf x[READS], vf v[READS]) {
    const vf p = splat(P), q = splat(Q), p2 = splat(P * P), q2 = splat(Q * Q), both = splat(P * P * Q * Q), sum = p2 + q2;
    vf a = mad(-q2, x[2], x[4]), b = mad(-q2, x[1], x[3]), c = mad(-p2, x[2], x[4]), d = mad(-p2, x[1], x[3]);
    v[0] = mad(both, x[0], mad(-sum, x[2], x[4]));
    v[1] = mad(p, b, a);
    v[2] = mad(-p, b, a);
    v[3] = mad(q, d, c);
    v[4] = mad(-q, d, c);
    v[5] = mad(both, x[1], mad(-sum, x[3], x[5]));
}

/* B x, its transpose. */
INLINE void from_points(const float P, const float Q, const vf v[READS], vf x[READS]) {
    const vf p = splat(P), q = splat(Q), p2 = splat(P * P), q2 = splat(Q * Q), both = splat(P * P * Q * Q), sum = p2 + q2;
    vf s = v[1] + v[2], d = p * (v[1] - v[2]), t = v[3] + v[4], u = q * (v[3] - v[4]);
    x[0] = both * v[0];
    x[1] = mad(q2, mad(p2, v[5], -d), -p2 * u);
    x[2] = mad(-sum, v[0], mad(-q2, s, -p2 * t));
    x[3] = mad(-sum, v[5], u + d);
    x[4] = v[0] + (s + t);
    x[5] = v[5];
}

/* A' x. */
INLINE void to_outputs(const float P, const float Q, const vf m[READS], vf y[WINDOW]) {
    const vf p = splat(P), q = splat(Q), p2 = splat(P * P), q2 = splat(Q * Q), p3 = splat(P * P * P), q3 = splat(Q * Q * Q);
    vf s = m[1] + m[2], d = m[1] - m[2], t = m[3] + m[4], u = m[3] - m[4];
    y[0] = m[0] + (s + t);
    y[1] = mad(q, u, p * d);
    y[2] = mad(q2, t, p2 * s);
    y[3] = mad(q3, u, p3 * d) + m[5];
}

/* A x, its transpose. */
INLINE void from_outputs(const float P, const float Q, const vf y[WINDOW], vf m[READS]) {
    const vf p = splat(P), q = splat(Q), p2 = splat(P * P), q2 = splat(Q * Q);
    vf a = mad(p2, y[2], y[0]), b = mad(p2, y[3], y[1]), c = mad(q2, y[2], y[0]), d = mad(q2, y[3], y[1]);
    m[0] = y[0];
    m[1] = mad(p, b, a);
    m[2] = mad(-p, b, a);
    m[3] = mad(q, d, c);
    m[4] = mad(-q, d, c);
    m[5] = y[3];
}

/* What the rows of G are divided by. */
#define G_ZERO (1 / (P * P * Q * Q))
#define G_P (1 / (2 * P * P * (P * P - Q * Q)))
#define G_Q (1 / (2 * Q * Q * (Q * Q - P * P)))

/* G x. */
INLINE void from_filter(const float P, const float Q, const vf w[3], vf u[READS]) {
    const vf p = splat(P), q = splat(Q), p2 = splat(P * P), q2 = splat(Q * Q);
    vf a = mad(p2, w[2], w[0]), b = mad(q2, w[2], w[0]);
    u[0] = splat(G_ZERO) * w[0];
    u[1] = splat(G_P) * mad(p, w[1], a);
    u[2] = splat(G_P) * mad(-p, w[1], a);
    u[3] = splat(G_Q) * mad(q, w[1], b);
    u[4] = splat(G_Q) * mad(-q, w[1], b);
    u[5] = w[2];
}

/* G' x, its transpose. */
INLINE void to_filter(const float P, const float Q, const vf u[READS], vf w[3]) {
    vf s = u[1] + u[2], d = u[1] - u[2], t = u[3] + u[4], v = u[3] - u[4];
    w[0] = mad(splat(G_ZERO), u[0], mad(splat(G_P), s, splat(G_Q) * t));
    w[1] = mad(splat(G_P * P), d, splat(G_Q * Q) * v);
    w[2] = mad(splat(G_P * P * P), s - t, u[5]);
}

/* TO = transform of every column, then of every row, of FROM: [N][N] -> [M][M] vectors. */
#define BOTH_WAYS(transform, HALF, N, M, FROM, TO)                                            \
    do {                                                                                 \
        vf half_[M * N];                                                                 \
        UNROLL for (int c_ = 0; c_ < N; c_++) {                                          \
            vf column_[N], made_[M];                                                     \
            UNROLL for (int r_ = 0; r_ < N; r_++) column_[r_] = (FROM)[r_ * N + c_];     \
            transform(P_OF(HALF), Q_OF(HALF), column_, made_);                                          \
            UNROLL for (int r_ = 0; r_ < M; r_++) half_[r_ * N + c_] = made_[r_];        \
        }                                                                                \
        UNROLL for (int r_ = 0; r_ < M; r_++) transform(P_OF(HALF), Q_OF(HALF), half_ + r_ * N, (TO) + r_ * M); \
    } while (0)

#endif
