/* The clients' optimisers, each in one pass over the flat vectors [n] of a model.
 *
 * An element's result is a few IEEE operations (+ - * / sqrt, each correctly rounded) on that element alone, in the order
 * written here. So it has the same bits for any vector width, on any processor, as long as the compiler does not fuse
 * products with sums (-ffp-contract=off). Factors that all elements share come from the caller.
 */
#ifndef FEDSKEW_STEP_H
#define FEDSKEW_STEP_H

#include <math.h>
#include <stdint.h>

/* What is constant where these are called (capital letters) selects a variant that the compiler then vectorises. */
#define VARIANT static inline __attribute__((always_inline))

VARIANT void adam(int64_t n, float *restrict weights, const float *restrict gradient, float *restrict mean,
                  float *restrict square, float *restrict largest, float shrink, float decay, float beta1, float rest1,
                  float beta2, float rest2, float bias2, float eps, float rate, const int AMSGRAD) {
    for (int64_t i = 0; i < n; i++) {
        float w = weights[i] * shrink, g = gradient[i] + decay * w;
        float m = beta1 * mean[i] + rest1 * g, v = beta2 * square[i] + rest2 * g * g;
        mean[i] = m;
        square[i] = v;
        if (AMSGRAD) largest[i] = v = largest[i] > v ? largest[i] : v; /* a NaN in v stays one */
        weights[i] = w - rate * m / (sqrtf(v) / bias2 + eps);
    }
}

VARIANT void sgd(int64_t n, float *restrict weights, const float *restrict gradient, float *restrict velocity, float decay,
                 float momentum, float rest, float rate, const int MOMENTUM, const int NESTEROV) {
    for (int64_t i = 0; i < n; i++) {
        float w = weights[i], g = gradient[i] + decay * w;
        if (MOMENTUM) {
            float v = momentum * velocity[i] + rest * g;
            velocity[i] = v;
            g = NESTEROV ? g + momentum * v : v;
        }
        weights[i] = w - rate * g;
    }
}

/* Adam (Kingma & Ba 2014); largest, if not NULL: the maximum of the second moments (AMSGrad, Reddi et al. 2018).
 *   shrink: 1 - lr * decay for a decoupled decay (Loshchilov & Hutter 2017), else 1; decay: coupled, else 0
 *   rest1, rest2: 1 - beta1, 1 - beta2; bias2: sqrt(1 - beta2^t); rate: lr / (1 - beta1^t) */
void fs_adam(int64_t n, float *weights, const float *gradient, float *mean, float *square, float *largest, float shrink,
             float decay, float beta1, float rest1, float beta2, float rest2, float bias2, float eps, float rate) {
    if (largest)
        adam(n, weights, gradient, mean, square, largest, shrink, decay, beta1, rest1, beta2, rest2, bias2, eps, rate, 1);
    else
        adam(n, weights, gradient, mean, square, 0, shrink, decay, beta1, rest1, beta2, rest2, bias2, eps, rate, 0);
}

/* SGD as in torch.optim: the velocity is a sum of gradients without the learning rate; NULL for no momentum.
 *   rest: 1 - dampening */
void fs_sgd(int64_t n, float *weights, const float *gradient, float *velocity, float decay, float momentum, float rest,
            float rate, int nesterov) {
    if (!velocity)
        sgd(n, weights, gradient, 0, decay, momentum, rest, rate, 0, 0);
    else if (nesterov)
        sgd(n, weights, gradient, velocity, decay, momentum, rest, rate, 1, 1);
    else
        sgd(n, weights, gradient, velocity, decay, momentum, rest, rate, 1, 0);
}

#endif
