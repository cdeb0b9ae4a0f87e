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
typedef int32_t word_in_memory __attribute__((aligned(1), may_alias));
typedef words words_in_memory __attribute__((aligned(1), may_alias));

/* Before a loop whose number of turns is a constant, if what it indexes is to stay in registers. */
#ifdef __clang__
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 64")
#endif
