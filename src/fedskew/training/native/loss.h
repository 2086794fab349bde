/* Cross-entropy of logits [C][T]: per-sample loss, the predicted class, and the gradient of the mean loss. */
#ifndef FEDSKEW_LOSS_H
#define FEDSKEW_LOSS_H

#include "vector.h"

/* exp(x) for x <= 0 to 1 unit in the last place, 0 below -87.3; not libm's, which differ in the last bit. The polynomial is
 * Cephes' (S. Moshier, expf). */
INLINE vf exp_vf(vf x) {
    const vf round = splat(0x1.8p23f); /* adding it rounds to a whole number */
    vf n = mad(x, splat(0x1.715476p+0f), round) - round;
    vf r = mad(n, splat(-0x1.62e430p-1f), x);
    r = mad(n, splat(0x1.05c610p-29f), r);
    vf p = splat(1.9875691500e-4f);
    p = mad(p, r, splat(1.3981999507e-3f));
    p = mad(p, r, splat(8.3334519073e-3f));
    p = mad(p, r, splat(4.1665795894e-2f));
    p = mad(p, r, splat(1.6666665459e-1f));
    p = mad(p, r, splat(5.0000001201e-1f));
    p = mad(p, r * r, r) + splat(1);
    vi tiny = x < splat(-87.3f);
    vi whole = __builtin_convertvector(select_vf(tiny, (vf){0}, n), vi);
    return select_vf(tiny, (vf){0}, p * (vf)((whole + 127) << 23));
}

/* log(x) for 1 <= x < 2^127 (Cephes, logf); a NaN stays one. */
INLINE vf log_vf(vf x) {
    vi bits = (vi)x, exponent = (bits >> 23) - 127;
    vf m = (vf)((bits & 0x7fffff) | 0x3f800000);
    vi large = m > splat(0x1.6a09e6p+0f);
    m = select_vf(large, m * splat(0.5f), m) - splat(1);
    vf e = __builtin_convertvector(exponent - large, vf);
    vf p = splat(7.0376836292e-2f);
    p = mad(p, m, splat(-1.1514610310e-1f));
    p = mad(p, m, splat(1.1676998740e-1f));
    p = mad(p, m, splat(-1.2420140846e-1f));
    p = mad(p, m, splat(1.4249322787e-1f));
    p = mad(p, m, splat(-1.6668057665e-1f));
    p = mad(p, m, splat(2.0000714765e-1f));
    p = mad(p, m, splat(-2.4999993993e-1f));
    p = mad(p, m, splat(3.3333331174e-1f));
    vf square = m * m;
    vf y = mad(e, splat(-2.12194440e-4f), m * square * p);
    y = mad(square, splat(-0.5f), y) + m;
    return select_vf(x == x, mad(e, splat(0.693359375f), y), x);
}

/* For lane < count: losses[lane], predictions[lane] (first maximum; a NaN wins, as in torch). With g given, g [C][T] :=
 * (softmax - one-hot) * scale, and zero in lanes beyond count. */
INLINE void cross_entropy(const float *logits, const int64_t *labels, int count, float scale, float *losses,
                          int64_t *predictions, float *g, const int C) {
    for (int part = 0; part < T && part < count; part += LANES) {
        const float *z = logits + part;
        vf top = load(z), sum = {0}, own = {0}, e[C];
        vi best = {0}, label = {0}, there = {0};
        for (int l = 0; l < LANES && part + l < count; l++) {
            label[l] = (int32_t)labels[part + l];
            there[l] = -1;
        }
        for (int c = 1; c < C; c++) {
            vf value = load(z + c * T);
            vi more = (value > top) | ((value != value) & (top == top));
            top = select_vf(more, value, top);
            best = (best & ~more) | ((c - (vi){0}) & more);
        }
        for (int c = 0; c < C; c++) {
            vf value = load(z + c * T);
            sum += e[c] = exp_vf(value - top);
            own = select_vf(label == c, value, own);
        }
        vf loss = log_vf(sum) + top - own;
        for (int l = 0; l < LANES && part + l < count; l++) {
            losses[part + l] = loss[l];
            predictions[part + l] = best[l];
        }
        if (g)
            for (int c = 0; c < C; c++) {
                vf truth = (vf)((vi)splat(1) & (label == c));
                store(g + c * T + part, (vf)((vi)((e[c] / sum - truth) * splat(scale)) & there));
            }
    }
    for (int part = (count + LANES - 1) / LANES * LANES; g && part < T; part += LANES)
        for (int c = 0; c < C; c++) store(g + c * T + part, (vf){0});
}

/* Logits [C][T] := scale_c logit + offset_c; map: C scales, then C offsets. */
INLINE void map_logits(float *logits, const float *map, const int C) {
    for (int c = 0; c < C; c++)
        for (int part = 0; part < T; part += LANES)
            store(logits + c * T + part, mad(load(logits + c * T + part), splat(map[c]), splat(map[C + c])));
}

/* From the gradient of mapped logits to that of the logits, [C][T]. */
INLINE void map_gradient(float *g, const float *map, const int C) {
    for (int c = 0; c < C; c++)
        for (int part = 0; part < T; part += LANES)
            store(g + c * T + part, load(g + c * T + part) * splat(map[c]));
}

#endif
