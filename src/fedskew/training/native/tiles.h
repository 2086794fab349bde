/* Products of bfloat16 words in the processor's tiles (Intel AMX): eight registers of 16 rows of 16 words.
 *
 * One product is sums[m][s] += a[m][k] * b[k][s] over words k, each of two bfloat16, with 32 rows m and T = 32 columns s: four
 * tiles of sums, two of a, two of b. Here b is what the kernels of minimal.h have anyway, units of T words; a's rows are
 * words one after another.
 *
 * Where the compiler's target has no tiles the same is done by loops, so that tests of layouts and sums run everywhere.
 */
#ifndef FEDSKEW_TILES_H
#define FEDSKEW_TILES_H

#include "vector.h"

#define TILED 2      /* a kind of HALF: the products are done in tiles */
#define TILE_WORDS 16 /* of a row, and rows of a tile */
#define TILE_FLOATS (2 * TILE_WORDS * TILE_WORDS) /* words of a for 32 outputs and 16 terms */

#if defined(__AMX_TILE__) && defined(__AMX_BF16__)
#define TILE_ZERO(t) _tile_zero(t)
#define TILE_LOAD(t, from, row) _tile_loadd(t, from, (row) * sizeof(float))
#define TILE_STORE(t, to, row) _tile_stored(t, to, (row) * sizeof(float))
#define TILE_MAD(sum, a, b) _tile_dpbf16ps(sum, a, b)

/* Before a thread's first product: eight whole tiles. */
static inline void tiles_begin(void) {
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } config __attribute__((aligned(64))) = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        config.bytes[t] = TILE_WORDS * sizeof(float);
        config.rows[t] = TILE_WORDS;
    }
    _tile_loadconfig(&config);
}
/* After its last: the processor has less to save when the thread is switched. */
static inline void tiles_end(void) { _tile_release(); }
#else
static _Thread_local uint32_t tiles[8][TILE_WORDS][TILE_WORDS];
#define TILE_ZERO(t) memset(tiles[t], 0, sizeof tiles[t])
#define TILE_LOAD(t, from, row) tile_copy(tiles[t][0], TILE_WORDS, from, row)
#define TILE_STORE(t, to, row) tile_copy(to, row, tiles[t][0], TILE_WORDS)
#define TILE_MAD(sum, a, b) tile_mad(tiles[sum], tiles[a], tiles[b])

INLINE void tile_copy(void *to, int64_t to_row, const void *from, int64_t from_row) {
    for (int r = 0; r < TILE_WORDS; r++)
        memcpy((char *)to + r * to_row * sizeof(float), (const char *)from + r * from_row * sizeof(float),
               TILE_WORDS * sizeof(float));
}
INLINE float half_of(uint32_t word, int which) {
    union {
        uint32_t bits;
        float value;
    } x = {which ? word & 0xffff0000u : word << 16};
    return x.value;
}
/* As the instruction does it: the products of low and of high halves are summed apart. */
INLINE void tile_mad(uint32_t sum[TILE_WORDS][TILE_WORDS], uint32_t a[TILE_WORDS][TILE_WORDS],
                     uint32_t b[TILE_WORDS][TILE_WORDS]) {
    for (int m = 0; m < TILE_WORDS; m++)
        for (int s = 0; s < TILE_WORDS; s++) {
            float low = 0, high = 0, before;
            for (int k = 0; k < TILE_WORDS; k++) {
                low += half_of(a[m][k], 0) * half_of(b[k][s], 0);
                high += half_of(a[m][k], 1) * half_of(b[k][s], 1);
            }
            memcpy(&before, &sum[m][s], sizeof before);
            before += low + high;
            memcpy(&sum[m][s], &before, sizeof before);
        }
}
static inline void tiles_begin(void) {}
static inline void tiles_end(void) {}
#endif

/* sums [32][T] = (with ADD: +=) n steps of 16 terms: in each, 32 rows of 16 words at a and 16 units of words at b, of which
 * the next step's lie A_NEXT and B_NEXT floats further. */
INLINE void tile_products(const int ADD, const float *a, const int64_t A_NEXT, const float *b, const int64_t B_NEXT, float *sums,
                          int n) {
    float *below = sums + TILE_WORDS * T;
    __asm__ volatile("" ::: "memory"); /* gcc does not know that a tile's load reads memory */
    if (ADD) {
        TILE_LOAD(0, sums, T);
        TILE_LOAD(1, sums + TILE_WORDS, T);
        TILE_LOAD(2, below, T);
        TILE_LOAD(3, below + TILE_WORDS, T);
    } else {
        TILE_ZERO(0);
        TILE_ZERO(1);
        TILE_ZERO(2);
        TILE_ZERO(3);
    }
    for (int k = 0; k < n; k++, a += A_NEXT, b += B_NEXT) {
        TILE_LOAD(4, a, TILE_WORDS);
        TILE_LOAD(6, b, T);
        TILE_MAD(0, 4, 6);
        TILE_LOAD(7, b + TILE_WORDS, T);
        TILE_MAD(1, 4, 7);
        TILE_LOAD(5, a + TILE_FLOATS / 2, TILE_WORDS);
        TILE_MAD(2, 5, 6);
        TILE_MAD(3, 5, 7);
    }
    TILE_STORE(0, sums, T);
    TILE_STORE(1, sums + TILE_WORDS, T);
    TILE_STORE(2, below, T);
    TILE_STORE(3, below + TILE_WORDS, T);
    __asm__ volatile("" ::: "memory");
}

#endif
