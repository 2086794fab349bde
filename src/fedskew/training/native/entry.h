/* The two entry points, included at the end of a generated file (which defines struct workspace, IMAGE, CLASSES, ...). */

int fs_lanes(void) { return LANES; }

/* Has the processor that this is built for an instruction for products of bfloat16? */
int fs_half(void) {
#ifdef __AVX512BF16__
    return 1;
#else
    return 0;
#endif
}

/* 0, or 1 + the position in the batch of the first index or label that is out of range. */
static int64_t first_bad(const int64_t *labels, const int64_t *indices, int64_t n, int64_t images) {
    for (int64_t i = 0; i < n; i++) {
        int64_t at = indices ? indices[i] : i;
        if (at < 0 || at >= images || labels[at] < 0 || labels[at] >= CLASSES) return i + 1;
    }
    return 0;
}

static int tile_labels(int64_t to[T], const int64_t *labels, const int64_t *indices, int64_t first, int64_t n) {
    int count = n - first < T ? (int)(n - first) : T;
    for (int lane = 0; lane < count; lane++) to[lane] = labels[indices ? indices[first + lane] : first + lane];
    return count;
}

/* gradient := gradient of the mean loss over images[indices[0..n)]; loss: the sum; correct: how many are predicted
 * right. With map, all three are those of the mapped logits (loss.h). Returns 0, or what first_bad found. */
int64_t fs_gradient(struct workspace *ws, const float *weights, float *gradient, const uint8_t *images,
                    const int64_t *labels, int64_t num_images, const int64_t *indices, int64_t n, uint64_t seed,
                    const float *map, double *loss, int64_t *correct) {
    int64_t bad = first_bad(labels, indices, n, num_images);
    if (bad) return bad;
    memset(gradient, 0, sizeof(float) * PARAMETERS);
    pack_for_forward(ws, weights, 1);
    pack_for_backward(ws, weights);
    *loss = 0.0;
    *correct = 0;
#ifdef USES_TILES
    tiles_begin();
#endif
    for (int64_t first = 0; first < n; first += T) {
        float losses[T];
        int64_t right[T], predicted[T];
        int tile = (int)(first / T % CHUNK), count = tile_labels(right, labels, indices, first, n);
        load_images(images, indices, first, count, ws->table, ws->a0, IMAGE);
        forward(ws, weights, 1, tile, seed, (uint64_t)first);
        if (map) map_logits(LOGITS, map, CLASSES);
        cross_entropy(LOGITS, right, count, 1.0f / (float)n, losses, predicted, LOGITS_GRADIENT, CLASSES);
        if (map) map_gradient(LOGITS_GRADIENT, map, CLASSES);
        for (int lane = 0; lane < count; lane++) {
            *loss += losses[lane];
            *correct += predicted[lane] == right[lane];
        }
        backward(ws, weights, gradient, tile, seed, (uint64_t)first);
        if (tile == CHUNK - 1 || first + T >= n) end_chunk(ws, weights, gradient, tile);
    }
#ifdef USES_TILES
    tiles_end();
#endif
    return 0;
}

/* Losses and predicted classes of images[indices[0..n)], or of images 0..n when indices is NULL; dropout off. */
int64_t fs_evaluate(struct workspace *ws, const float *weights, const uint8_t *images, const int64_t *labels,
                    int64_t num_images, const int64_t *indices, int64_t n, float *losses, int64_t *predictions) {
    int64_t bad = first_bad(labels, indices, n, num_images);
    if (bad) return bad;
    pack_for_forward(ws, weights, 0);
    for (int64_t first = 0; first < n; first += T) {
        int64_t right[T];
        int count = tile_labels(right, labels, indices, first, n);
        load_images(images, indices, first, count, ws->table, ws->a0, IMAGE);
        forward(ws, weights, 0, 0, 0, (uint64_t)first);
        cross_entropy(LOGITS, right, count, 1.0f, losses + first, predictions + first, 0, CLASSES);
    }
    return 0;
}
