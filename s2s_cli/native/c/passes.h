/* What the passes of the decoding engine share: products and their operands, memory, sums, the gated recurrent unit.
 *
 * Blocks of rows go through all products and passes of a function, one after the other, while they are in the cache, and
 * are shared among the threads. No sum crosses a row, and it is made in the same order whatever the width of the
 * processor's vectors: in 8 bits a translation depends neither on its batch mates nor on the processor. The reference of
 * each function is in engine/passes.py; native/engine.py declares the records, field by field.
 */

#include <stdlib.h>

#define ALIKE
#include "numbers.h"
#include "vectors.h"
#include "products.h"

/* How matrix products are computed, which determines their inputs and outputs: a constant after inlining. */
typedef enum { IN_FLOAT32, IN_INT8 } arithmetic;

INLINE storage stored(arithmetic kind) { return kind == IN_INT8 ? BFLOAT16 : FLOAT32; }

/* Rows that a product reads, [R, N]; in int8 with the scale of each row. */
typedef struct {
    view values, scales;
} operand;

/* The product of rows and weights, [R, N]. In int8 it is a whole number, to be scaled by row and by column. */
typedef struct {
    view values, row_scales, column_scales;
} product;

/* Packed weights; in int8 with the scale of each output. */
typedef struct {
    view packed, scales;
} matrix;

/* ---- memory ---- */

/* Memory for one block of rows, taken piece by piece. */
typedef struct {
    char *start, *next;
} room;

enum { LINE = 64 };

INLINE void *take(room *from, int64_t count, int64_t bytes) {
    void *piece = from->next;
    from->next += (count * bytes + LINE - 1) / LINE * LINE;
    return piece;
}

INLINE int64_t integer(view numbers, int64_t i) { return ((const int64_t *)numbers.data)[i]; }

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* For so many numbers of four bytes, in some pieces. */
INLINE room room_of(int64_t numbers) {
    room result = {malloc(numbers * 4 + 16 * LINE), 0};
    if (!result.start) abort(); /* a system that gives memory when it is written to never comes here */
    result.next = result.start + (-(uintptr_t)result.start & (LINE - 1));
    return result;
}

/* ---- sums in the same order on every processor ---- */

/* Sixteen sums side by side, in as many vectors as the processor needs for them. */
enum { SUMS = 16, VECTORS = SUMS / LANES };

INLINE float sum_of(float *sums) {
    for (int half = SUMS / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) sums[i] += sums[i + half];
    return sums[0];
}

/* The sums of vectors, and the largest of their numbers. */
INLINE float sum_of_vectors(const floats *vectors) {
    float sums[SUMS];
    memcpy(sums, vectors, sizeof sums);
    return sum_of(sums);
}

INLINE float largest_of(const float *numbers, int64_t size) {
    float largest = -__builtin_inff();
#pragma omp simd reduction(max : largest)
    for (int64_t i = 0; i < size; i++) largest = numbers[i] > largest ? numbers[i] : largest;
    return largest;
}

/* ---- products and their operands ---- */

typedef struct {
    const void *values;
    float row_scale;
    const float *column_scales;
} product_row;

INLINE product_row row_of(product from, int64_t r, int64_t column, arithmetic kind) {
    product_row result = {(const float *)from.values.data + r * from.values.outer + column, 1.0f, 0};
    if (kind == IN_INT8) {
        result.row_scale = ((const float *)from.row_scales.data)[r];
        result.column_scales = (const float *)from.column_scales.data + column;
    }
    return result;
}

INLINE float dense(product_row from, int64_t i, arithmetic kind) {
    if (kind == IN_INT8) return (float)((const int32_t *)from.values)[i] * (from.row_scale * from.column_scales[i]);
    return ((const float *)from.values)[i];
}

/* Adding 1.5 * 2^23 rounds to the nearest whole number, ties to even. */
INLINE int8_t nearest(float value) { return (int8_t)(int32_t)((value + 12582912.0f) - 12582912.0f); }

INLINE void put_operand(operand to, int64_t r, const float *numbers, int64_t size, arithmetic kind) {
    if (kind == IN_FLOAT32) {
        memcpy((float *)to.values.data + r * to.values.outer, numbers, size * sizeof *numbers);
        return;
    }
    float greatest = 0.0f;
#pragma omp simd reduction(max : greatest)
    for (int64_t i = 0; i < size; i++) {
        float magnitude = __builtin_fabsf(numbers[i]);
        greatest = magnitude > greatest ? magnitude : greatest;
    }
    float inverse = greatest > 0.0f ? 127.0f / greatest : 0.0f;
    int8_t *values = (int8_t *)to.values.data + r * to.values.outer;
#pragma omp simd
    for (int64_t i = 0; i < size; i++) values[i] = nearest(numbers[i] * inverse);
    ((float *)to.scales.data)[r] = greatest / 127.0f;
}

INLINE operand take_operand(room *from, int64_t rows, int64_t width, arithmetic kind) {
    return (operand){{take(from, rows * width, kind == IN_INT8 ? 1 : 4), width}, {take(from, rows, 4)}};
}

INLINE product take_product(room *from, int64_t rows, int64_t columns) {
    return (product){{take(from, rows * columns, 4), columns}};
}

/* The first rows of the operand times all weights, of which there are as many as the product has columns. */
INLINE void multiply(operand inputs, int64_t rows, int64_t size, matrix weights, product *result, arithmetic kind) {
    product_run run = {rows, result->values.outer, size, inputs.values, weights.packed, result->values};
    if (kind == IN_INT8) multiply_int8(&run, 1);
    else multiply_float32(&run, 1);
    result->row_scales = inputs.scales;
    result->column_scales = weights.scales;
}

/* ---- the gated recurrent unit ---- */

/* What the gates are sums of. Of the input: a row of a table, a bias, a product, numbers, each of which may be missing;
 * which are there is a constant, once all is inlined. Of the state: a product and a bias. */
typedef struct {
    const void *table;
    const float *input_bias, *numbers;
    product_row input, state;
    const float *bias;
} gates;

typedef enum { TABLE = 1, INPUT_BIAS = 2, INPUT = 4, NUMBERS = 8 } terms;

INLINE float input_of(const gates *from, int64_t i, terms present, arithmetic kind) {
    float sum = present & INPUT_BIAS ? from->input_bias[i] : 0.0f;
    if (present & TABLE) sum = present & INPUT_BIAS ? sum + get(from->table, i, stored(kind)) : get(from->table, i, stored(kind));
    if (present & INPUT) sum += dense(from->input, i, kind);
    if (present & NUMBERS) sum += from->numbers[i];
    return sum;
}

INLINE void transit(const gates *from, const float *before, float *after, int64_t H, terms present, arithmetic kind) {
#pragma omp simd
    for (int64_t i = 0; i < H; i++) {
        int64_t j = i + H, k = j + H;
        float reset = sigmoid(input_of(from, i, present, kind) + (dense(from->state, i, kind) + from->bias[i]));
        float update = sigmoid(input_of(from, j, present, kind) + (dense(from->state, j, kind) + from->bias[j]));
        float drawn = dense(from->state, k, kind) + from->bias[k];
        float new = hyperbolic_tangent(fused(reset, drawn, input_of(from, k, present, kind)));
        after[i] = fused(update, before[i] - new, new);
    }
}

/* ---- the attention ---- */

/* e^2x, as the attention reads keys and queries: tanh(q + k) = 1 - 2 / (1 + e^2q e^2k). The bound keeps each factor from
 * being infinite or zero, so that their product is never undefined. It changes nothing unless a query beyond it meets a
 * key beyond 33 with the opposite sign, or the reverse, for which fresh weights would have to be tens of times larger:
 * else the tangent is 1 or -1 in float32 anyway. */
INLINE float squared_exponential(float x) {
    const float bound = 43.0f;
    x = x < -bound ? -bound : x;
    x = x > bound ? bound : x;
    return power(x, 2.0f * LOG2_E);
}

/* The value of a position, as an operand of one row. */
INLINE operand values_at(view values, view scales, int64_t b, int64_t s, arithmetic kind) {
    char *value = (char *)values.data + (b * values.outer + s * values.inner) * (kind == IN_INT8 ? 1 : 4);
    return (operand){{value, 0, 0}, {(float *)scales.data + b * scales.outer + s, 0, 0}};
}

/* ---- blocks of rows, shared among the threads ---- */

INLINE int workers(int64_t blocks, int threads) { return blocks < threads ? (blocks > 1 ? (int)blocks : 1) : threads; }

#define PRAGMA(text) _Pragma(#text)
#define SHARED(i, count)                                                              \
    PRAGMA(omp parallel for num_threads(workers(count, threads)) schedule(static))    \
    for (int64_t i = 0; i < count; i++)
