/* Vectors as wide as the registers of the processor, with lanes of 32 bits. PLAIN: without any of its own instructions.
 */

#if defined(__AVX512BW__)
#include <immintrin.h>
#define LANES 16
#elif defined(__AVX2__)
#include <immintrin.h>
#define LANES 8
#else
#define LANES 4
#if defined(__ARM_NEON) && !defined(PLAIN)
#include <arm_neon.h>
#define NEON
#elif defined(__SSE2__) && !defined(PLAIN)
#include <immintrin.h>
#define SSE2
#endif
#endif

typedef int32_t words __attribute__((vector_size(4 * LANES)));
typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int16_t halves __attribute__((vector_size(4 * LANES)));
typedef uint16_t unsigned_halves __attribute__((vector_size(4 * LANES)));

/* In memory they may start anywhere. */
typedef floats floats_in_memory __attribute__((aligned(1), may_alias));
typedef uint16_t short_lanes __attribute__((vector_size(2 * LANES), aligned(1), may_alias));
typedef uint32_t unsigned_words __attribute__((vector_size(4 * LANES)));
typedef int32_t word_in_memory __attribute__((aligned(1), may_alias));
typedef words words_in_memory __attribute__((aligned(1), may_alias));

/* Before a loop whose number of turns is a constant, if what it indexes is to stay in registers. */
#ifdef __clang__
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 64")
#endif

/* Lanes of two vectors, counted from the first one's. */
#ifdef __clang__
#define SHUFFLED(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLED(a, b, ...) __builtin_shuffle(a, b, (__typeof__(a)){__VA_ARGS__})
#endif

/* Numbers i to i + LANES. */
INLINE floats floats_at(const void *numbers, int64_t i, storage kind) {
    if (kind == FLOAT32) return *(const floats_in_memory *)((const float *)numbers + i);
    return (floats)(__builtin_convertvector(*(const short_lanes *)((const uint16_t *)numbers + i), unsigned_words) << 16);
}

/* Stored as by `put`. */
INLINE void put_floats(void *numbers, int64_t i, floats values, storage kind) {
    unsigned_words bits = (unsigned_words)values;
    if (kind == FLOAT32) *(floats_in_memory *)((float *)numbers + i) = values;
    else *(short_lanes *)((uint16_t *)numbers + i) =
        __builtin_convertvector((bits + 0x7fff + (bits >> 16 & 1)) >> 16, short_lanes);
}

INLINE floats in_all(float number) { return (floats){} + number; }

/* a * b + c of each lane, rounded once. */
INLINE floats fused_floats(floats a, floats b, floats c) {
#if LANES == 16
    return (floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif LANES == 8
    return (floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    for (int i = 0; i < LANES; i++) c[i] = fused(a[i], b[i], c[i]);
    return c;
#endif
}

/* LANES numbers of 8 bits. */
INLINE floats floats_of_bytes(const int8_t *numbers) {
#if LANES == 16 /* compilers widen in two steps */
    return (floats)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)numbers)));
#elif LANES == 8
    return (floats)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)numbers)));
#else
    floats result;
    for (int i = 0; i < LANES; i++) result[i] = numbers[i];
    return result;
#endif
}

/* The larger one in each lane; b if either is not a number. */
INLINE floats larger(floats a, floats b) {
#if LANES == 16
    return (floats)_mm512_max_ps((__m512)a, (__m512)b);
#elif LANES == 8
    return (floats)_mm256_max_ps((__m256)a, (__m256)b);
#else
    for (int i = 0; i < LANES; i++) a[i] = a[i] > b[i] ? a[i] : b[i];
    return a;
#endif
}

/* As `decay` of numbers.h. */
INLINE floats decay_of(floats x) {
    const floats scale = in_all(LOG2_E), whole = in_all(12582912.0f);
    x = larger(x, in_all(-126.0f / LOG2_E));
    floats shifted = fused_floats(x, scale, whole), rest = fused_floats(x, scale, whole - shifted);
    floats sum = fused_floats(in_all(1.3276470741e-3f), rest, in_all(9.6755419067e-3f));
    sum = fused_floats(sum, rest, in_all(5.5507132824e-2f));
    sum = fused_floats(sum, rest, in_all(2.4022119713e-1f));
    sum = fused_floats(sum, rest, in_all(6.9314696706e-1f));
    sum = fused_floats(sum, rest, in_all(1.0000000717f));
    return (floats)((unsigned_words)sum + ((unsigned_words)shifted << 23));
}
