/* The vector type, the tile width, and the order in which samples lie in memory (drawing: __init__.py).
 *
 * A tile holds T samples. The T values of one unit (one channel of one pixel, or one feature) are
 * neighbours in memory, so every operation of the network is the same instruction on T samples at once,
 * whatever the shape of the layer. gcc's vector extensions are used instead of intrinsics: the compiler
 * makes AVX2, AVX-512 or NEON of them.
 *
 * T does not depend on the machine, and no sum depends on the width of a vector: a vector of the machine is a part of
 * a unit, and a kernel passes over the parts of STEP samples one after another. Where products are added without
 * rounding in between, ``mad`` says so; the compiler may fuse nothing else (-ffp-contract=off). So AVX2 and AVX-512
 * give the same bits.
 */
#ifndef FEDSKEW_VECTOR_H
#define FEDSKEW_VECTOR_H

#include <stdint.h>
#include <string.h>
#if defined(__FMA__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#ifndef LANES /* floats per vector */
#ifdef __AVX512F__
#define LANES 16
#else
#define LANES 8
#endif
#endif
#define T 32             /* samples per tile */
#define NV 2             /* vectors per step */
#define STEP (NV * LANES) /* samples that a kernel's registers hold of each unit */
#define PARTS (T / LANES) /* vectors per unit */
#define BLOCK (LANES == 16 ? 14 : 6) /* outputs x NV accumulators: 28 of 32 registers, or 12 of 16 */
#define MAX_BLOCK 14
/* A sum over samples is kept as FOLD numbers: sample s goes to number s % FOLD, whatever the width of a vector. */
#define FOLD 16

typedef float vf __attribute__((vector_size(LANES * 4), may_alias));
typedef int32_t vi __attribute__((vector_size(LANES * 4), may_alias));
typedef uint32_t vu __attribute__((vector_size(LANES * 4), may_alias));
/* The same floats where nothing is known about alignment: the caller's flat weight and gradient vectors. */
typedef float vf_any __attribute__((vector_size(LANES * 4), may_alias, aligned(4)));

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 36")

/* Keeps a value that is used several times in a register: gcc would load it again for every use. */
#if (defined(__AVX512F__) && LANES <= 16) || (defined(__AVX__) && LANES <= 8)
#define IN_REGISTER(v) __asm__("" : "+x"(v))
#else
#define IN_REGISTER(v) (void)(v)
#endif

INLINE vf load(const float *p) { return *(const vf *)p; }
INLINE void store(float *p, vf v) { *(vf *)p = v; }
INLINE vf splat(float x) { return x - (vf){0}; }
/* a * b + c, rounded once where the processor can: by its own instruction, or, for other lengths of a vector, in pieces. */
#if LANES == 16 && defined(__AVX512F__)
INLINE vf mad(vf a, vf b, vf c) { return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
#elif LANES == 8 && defined(__FMA__)
INLINE vf mad(vf a, vf b, vf c) { return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
#elif defined(__FMA__)
INLINE vf mad(vf a, vf b, vf c) {
    union {
        vf whole;
        __m128 piece[LANES / 4];
    } x = {a}, y = {b}, z = {c};
    UNROLL for (int i = 0; i < LANES / 4; i++) z.piece[i] = _mm_fmadd_ps(x.piece[i], y.piece[i], z.piece[i]);
    return z.whole;
}
#else
INLINE vf mad(vf a, vf b, vf c) { return a * b + c; }
#endif

INLINE vu select_vu(vi mask, vu yes, vu no) { return (yes & (vu)mask) | (no & ~(vu)mask); }

/* bfloat16: a word is two of them, the first in its low half. */
typedef uint16_t vh __attribute__((vector_size(LANES * 2), may_alias));
/* x, rounded to nearest. */
INLINE vh round_half(vf x) {
#if LANES == 16 && defined(__AVX512BF16__)
    return (vh)_mm512_cvtneps_pbh((__m512)x);
#else
    vu bits = (vu)x, rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return __builtin_convertvector((vu)select_vu((vi)(x == x), rounded, (vu){0} + 0x7fc0), vh);
#endif
}
/* The words of two vectors. */
INLINE vf pair_words(vf first, vf second) {
    return (vf)(__builtin_convertvector(round_half(first), vu) | __builtin_convertvector(round_half(second), vu) << 16);
}
/* c + the products of both halves of each word. */
INLINE vf mad_pairs(vf a, vf b, vf c) {
#if LANES == 16 && defined(__AVX512BF16__)
    return (vf)_mm512_dpbf16_ps((__m512)c, (__m512bh)(__m512)a, (__m512bh)(__m512)b);
#else
    const vu high = (vu){0} + 0xffff0000u;
    return mad((vf)((vu)a & high), (vf)((vu)b & high), mad((vf)((vu)a << 16), (vf)((vu)b << 16), c));
#endif
}

INLINE vf select_vf(vi mask, vf yes, vf no) { return (vf)(((vi)yes & mask) | ((vi)no & ~mask)); }
/* Written as "not <=" so that a NaN stays a NaN and shows in the loss. */
INLINE vf relu_vf(vf x) { return (vf)((vi)x & ~(x <= (vf){0})); }

/* Places of maxima of one unit, PLACES words: 16 bits per sample, two vectors of a unit in the halves of one. */
#define PLACES (T / 2)
INLINE void store_places(int32_t *p, const vi places[NV]) { *(vi *)p = (places[0] & 0xffff) | (places[1] << 16); }
/* Of part v < PARTS of the unit whose words begin at p. */
INLINE vi load_places(const int32_t *p, int v) {
    vi both = *(const vi *)(p + v / 2 * LANES);
    return v % 2 ? both >> 16 : (both << 16) >> 16;
}

INLINE int max_int(int a, int b) { return a > b ? a : b; }
INLINE int min_int(int a, int b) { return a < b ? a : b; }

#endif
