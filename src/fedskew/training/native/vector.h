/* The vector type, the tile width, and the order in which samples lie in memory (drawing: __init__.py).
 *
 * A tile holds T samples. The T values of one unit (one channel of one pixel, or one feature) are
 * neighbours in memory, so every operation of the network is the same instruction on T samples at once,
 * whatever the shape of the layer. gcc's vector extensions are used instead of intrinsics: the compiler
 * makes AVX2, AVX-512 or NEON of them.
 */
#ifndef FEDSKEW_VECTOR_H
#define FEDSKEW_VECTOR_H

#include <stdint.h>
#include <string.h>

#ifndef LANES /* floats per vector */
#ifdef __AVX512F__
#define LANES 16
#else
#define LANES 8
#endif
#endif
#define NV 2 /* vectors per unit: 6 outputs x 2 vectors = 12 accumulators, which fit 16 registers */
#define T (LANES * NV)

typedef float vf __attribute__((vector_size(LANES * 4), may_alias));
typedef int32_t vi __attribute__((vector_size(LANES * 4), may_alias));
typedef uint32_t vu __attribute__((vector_size(LANES * 4), may_alias));
/* The same floats where nothing is known about alignment: the caller's flat weight and gradient vectors. */
typedef float vf_any __attribute__((vector_size(LANES * 4), may_alias, aligned(4)));

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

/* Keeps a value that is used several times in a register: gcc would load it again for every use. */
#if (defined(__AVX512F__) && LANES <= 16) || (defined(__AVX__) && LANES <= 8)
#define IN_REGISTER(v) __asm__("" : "+x"(v))
#else
#define IN_REGISTER(v) (void)(v)
#endif

INLINE vf load(const float *p) { return *(const vf *)p; }
INLINE void store(float *p, vf v) { *(vf *)p = v; }
INLINE vf splat(float x) { return x - (vf){0}; }
INLINE vf select_vf(vi mask, vf yes, vf no) { return (vf)(((vi)yes & mask) | ((vi)no & ~mask)); }
/* Written as "not <=" so that a NaN stays a NaN and shows in the loss. */
INLINE vf relu_vf(vf x) { return (vf)((vi)x & ~(x <= (vf){0})); }

/* Places of maxima of one unit: 16 bits per sample, the two vectors of the unit in the halves of one. */
INLINE void store_places(int32_t *p, const vi places[NV]) { *(vi *)p = (places[0] & 0xffff) | (places[1] << 16); }
INLINE vi load_places(const int32_t *p, int v) { return v ? *(const vi *)p >> 16 : (*(const vi *)p << 16) >> 16; }

INLINE int max_int(int a, int b) { return a > b ? a : b; }
INLINE int min_int(int a, int b) { return a < b ? a : b; }

#endif
