/* Cross-entropy of logits [C][T]: per-sample loss, the predicted class, and the gradient of the mean loss. */
#ifndef FEDSKEW_LOSS_H
#define FEDSKEW_LOSS_H

#include <math.h>

#include "vector.h"

/* For lane < count: losses[lane], predictions[lane] (first maximum; a NaN wins, as in torch). With g given, g [C][T] :=
 * (softmax - one-hot) * scale, and zero in lanes beyond count. */
INLINE void cross_entropy(const float *logits, const int64_t *labels, int count, float scale, float *losses,
                          int64_t *predictions, float *g, const int C) {
    for (int lane = 0; lane < T; lane++) {
        if (lane >= count) {
            if (g)
                for (int c = 0; c < C; c++) g[c * T + lane] = 0.0f;
            continue;
        }
        float top = logits[lane], sum = 0.0f;
        int64_t best = 0;
        for (int c = 1; c < C; c++) {
            float z = logits[c * T + lane];
            if (z > top || (z != z && top == top)) {
                top = z;
                best = c;
            }
        }
        float e[C];
        for (int c = 0; c < C; c++) sum += e[c] = expf(logits[c * T + lane] - top);
        losses[lane] = logf(sum) + top - logits[labels[lane] * T + lane];
        predictions[lane] = best;
        if (g)
            for (int c = 0; c < C; c++) g[c * T + lane] = (e[c] / sum - (c == labels[lane] ? 1.0f : 0.0f)) * scale;
    }
}

#endif
