/* Numbers in memory and functions of them, shared by the passes of training and of decoding.
 *
 * Arrays arrive as views, checked by native/calls.py; numbers are stored as float32 or bfloat16 and computed as float32.
 */

#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* ---- memory ---- */

/* An array and its two outermost strides, in elements. The innermost stride is 1. */
typedef struct {
    void *data;
    int64_t outer, inner;
} view;

/* How the numbers of an array are stored: a constant, once all is inlined. */
typedef enum { FLOAT32, BFLOAT16 } storage;

INLINE void *row(view array, int64_t outer, int64_t inner, storage kind) {
    return (char *)array.data + (outer * array.outer + inner * array.inner) * (kind == BFLOAT16 ? 2 : 4);
}

INLINE int is_set(view flags, int64_t outer, int64_t inner) {
    return ((const uint8_t *)flags.data)[outer * flags.outer + inner * flags.inner];
}

INLINE float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

INLINE uint32_t to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

INLINE float get(const void *numbers, int64_t i, storage kind) {
    return kind == BFLOAT16 ? from_bits((uint32_t)((const uint16_t *)numbers)[i] << 16) : ((const float *)numbers)[i];
}

/* Stores to the nearest number, ties to even. */
INLINE void put(void *numbers, int64_t i, float value, storage kind) {
    uint32_t bits = to_bits(value);
    if (kind == BFLOAT16)
        ((uint16_t *)numbers)[i] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    else
        ((float *)numbers)[i] = value;
}

/* ---- functions ---- */

/* a * b + c. ALIKE: what the file promises that defines it, the same result on all processors: rounded once, which most
 * have an instruction for. Without it, the sum in float64 is rounded to an odd last digit (Boldo and Melquiond 2008), so
 * that rounding it again to float32 does no harm. */
#if defined(__FMA__) || defined(__aarch64__)
INLINE float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#elif defined(ALIKE)
INLINE float fused(float a, float b, float c) {
    double product = (double)a * b, sum = product + c, part = sum - product;
    double rest = (product - (sum - part)) + (c - part);
    int64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if ((rest > 0.0 || rest < 0.0) && !(bits & 1)) bits += (rest > 0.0) == (sum > 0.0) ? 1 : -1;
    memcpy(&sum, &bits, sizeof sum);
    return (float)sum;
}
#else
INLINE float fused(float a, float b, float c) { return a * b + c; }
#endif

/* 2^(x * scale), for a constant scale: the whole power by the exponent's bits, the rest, within +-1/2, by a minimax
 * polynomial. Relative error below 2e-7 where nothing overflows; not-a-number stays so. */
INLINE float power_within(float x, float scale) {
    float shifted = fused(x, scale, 12582912.0f); /* adding 1.5 * 2^23 leaves the whole number in the lowest bits */
    float rest = fused(x, scale, 12582912.0f - shifted);
    float sum = 1.3276470741e-3f;
    sum = fused(sum, rest, 9.6755419067e-3f);
    sum = fused(sum, rest, 5.5507132824e-2f);
    sum = fused(sum, rest, 2.4022119713e-1f);
    sum = fused(sum, rest, 6.9314696706e-1f);
    sum = fused(sum, rest, 1.0000000717f);
    return from_bits(to_bits(sum) + (to_bits(shifted) << 23));
}

/* The same for any x. */
INLINE float power(float x, float scale) {
    const float bound = 126.0f / (scale < 0.0f ? -scale : scale);
    x = x < -bound ? -bound : x;
    x = x > bound ? bound : x;
    return power_within(x, scale);
}

#define LOG2_E 1.44269504f

INLINE float exponential(float x) { return power(x, LOG2_E); }

/* e^x of a number that is not positive. */
INLINE float decay(float x) {
    const float bound = 126.0f / LOG2_E;
    return power_within(x < -bound ? -bound : x, LOG2_E);
}

INLINE float sigmoid(float x) { return 1.0f / (1.0f + power(x, -LOG2_E)); }

INLINE float hyperbolic_tangent(float x) { return 1.0f - 2.0f / (1.0f + power(x, 2.0f * LOG2_E)); }

INLINE float dot(const void *a, const void *b, int64_t size, storage kind) {
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < size; i++) sum += get(a, i, kind) * get(b, i, kind);
    return sum;
}

/* Natural logarithm of a positive number: m * 2^k with m within sqrt(2) of 1, then a polynomial of m - 1. That of the C
 * library is not the same to the last bit on all processors. */
INLINE float logarithm(float x) {
    uint32_t bits = to_bits(x);
    int32_t exponent = (int32_t)(bits >> 23) - 127;
    float rest = from_bits((bits & 0x7fffff) | 0x3f800000);
    if (rest > 1.41421356f) rest *= 0.5f, exponent += 1;
    rest -= 1.0f;
    float sum = 7.0376836292e-2f;
    sum = sum * rest - 1.1514610310e-1f;
    sum = sum * rest + 1.1676998740e-1f;
    sum = sum * rest - 1.2420140846e-1f;
    sum = sum * rest + 1.4249322787e-1f;
    sum = sum * rest - 1.6668057665e-1f;
    sum = sum * rest + 2.0000714765e-1f;
    sum = sum * rest - 2.4999993993e-1f;
    sum = sum * rest + 3.3333331174e-1f;
    float square = rest * rest;
    float result = sum * rest * square - 2.12194440e-4f * exponent - 0.5f * square;
    return rest + result + 0.693359375f * exponent;
}
