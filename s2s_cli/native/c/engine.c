/* The decoding engine: the encoder, a step of decoding, and the best symbols.
 *
 * They implement the reference in engine/passes.py. A row is a hypothesis, or for the encoder a sentence or a position.
 * Blocks of rows go through all products and passes of a step, one after the other, while they are in the cache, and
 * are shared among the threads. No sum crosses a row, and it is made in the same order whatever the width of the
 * processor's vectors: in 8 bits a translation depends neither on its batch mates nor on the processor.
 */

#include <stdlib.h>

#define ALIKE
#include "numbers.h"
#include "vectors.h"

/* How matrix products are computed, which determines their inputs and outputs: a constant after inlining. */
typedef enum { IN_FLOAT32, IN_INT8 } arithmetic;

INLINE storage stored(arithmetic kind) { return kind == IN_INT8 ? BFLOAT16 : FLOAT32; }

/* ---- the records of native/engine.py, field by field ---- */

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

typedef struct {
    int64_t B, S, I, H;
    matrix inputs_PY;
    view input_bias_G;
    matrix weights_PQ;
    view bias_G, inputs_BSI, lengths_B, states_BSH;
} reading_run;

typedef struct {
    int64_t B, S, M, A, W;
    matrix memory_PQ;
    view bias_A, states_BSM, lengths_B, keys_BSA, values_BSW, values_scales_BS;
} holding_run;

typedef struct {
    int64_t B, M, H;
    matrix bridge_PQ;
    view bias_H, summaries_BM, states_BH;
} beginning_run;

typedef struct {
    int64_t R, b, S, A, H, D;
    matrix first_PQ;
    view first_bias_G, gates_VG;
    matrix state_XQ;
    view input_bias_G, state_bias_G, energy_A;
    matrix readout_TQ;
    view readouts_VD, readout_bias_D, keys_BSA, values_BSW, values_scales_BS, lengths_B;
    view before_NH, sentences_b, symbols_R, origins_R, after_RH, attention_RS;
    operand readouts_RD;
} step_run;

/* That of native/products.py, whose functions are in products.c. */
typedef struct {
    int64_t R, N, K;
    view rows_RK, packed_PQ, products_RN;
} product_run;

void multiply_float32(const product_run *run, int threads);
void multiply_int8(const product_run *run, int threads);

/* The product with the output weights. Of sentences with lists of symbols, each has a set of weights of its own, and as
 * many rows as the others; without lists all rows share one set. */
typedef struct {
    int64_t R, b, D, V;
    matrix output_BPQ;
    view bias_BV;
    operand readouts_RD;
    view sets_b, logits_RV;
} projection_run;

typedef struct {
    int64_t R, b, D, V, C;
    matrix output_BPQ;
    view bias_BV;
    operand readouts_RD;
    view sets_b, log_probs_RC, best_RC, ends_R;
} ranking_run;

typedef struct {
    int64_t E, R, V, C;
    view logits_RV, log_probs_RC, best_RC, ends_R;
} mean_ranking_run;

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

/* The value of a position, as an operand of one row. */
INLINE operand values_at(view values, view scales, int64_t b, int64_t s, arithmetic kind) {
    char *value = (char *)values.data + (b * values.outer + s * values.inner) * (kind == IN_INT8 ? 1 : 4);
    return (operand){{value, 0, 0}, {(float *)scales.data + b * scales.outer + s, 0, 0}};
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

/* ---- the encoder ---- */

/* Sentences that are read at once, and positions that are held at once: enough for products to be fast. */
enum { SENTENCES = 20, POSITIONS = 40 };

/* Where the positions of each sentence of a block begin, if those of all lie one after the other; how many they are. */
INLINE int64_t places_of(view lengths, int64_t first, int64_t count, int64_t *places) {
    int64_t positions = 0;
    for (int64_t i = 0; i < count; positions += integer(lengths, first + i++)) places[i] = positions;
    return positions;
}

/* One direction over a block of sentences. Of each step, only those sentences take part that are long enough. */
INLINE void read_block(const reading_run *run, int64_t first, int64_t count, int64_t is_backwards, arithmetic kind) {
    int64_t S = run->S, H = run->H, G = 3 * H, I = run->I, places[SENTENCES];
    int64_t positions = places_of(run->lengths_B, first, count, places);
    room memory = room_of(positions * (I + 1 + G) + count * (H + 1 + G + H));
    operand inputs = take_operand(&memory, positions, I, kind), operands = take_operand(&memory, count, H, kind);
    product given = take_product(&memory, positions, G), products = take_product(&memory, count, G);
    float *states = take(&memory, count * H, sizeof *states);
    for (int64_t i = 0; i < count; i++)
        for (int64_t s = 0; s < integer(run->lengths_B, first + i); s++)
            put_operand(inputs, places[i] + s, row(run->inputs_BSI, first + i, s, FLOAT32), I, kind);
    multiply(inputs, positions, I, run->inputs_PY, &given, kind);
    memset(states, 0, count * H * sizeof *states);
    for (int64_t step = 0; step < S; step++) {
        int64_t s = is_backwards ? S - 1 - step : step, open[SENTENCES], opened = 0;
        for (int64_t i = 0; i < count; i++)
            if (s < integer(run->lengths_B, first + i)) open[opened++] = i;
            else memset(row(run->states_BSH, first + i, s, FLOAT32), 0, H * sizeof *states);
        for (int64_t j = 0; j < opened; j++) put_operand(operands, j, states + open[j] * H, H, kind);
        multiply(operands, opened, H, run->weights_PQ, &products, kind);
        for (int64_t j = 0; j < opened; j++) {
            float *state = states + open[j] * H;
            gates from = {0, run->input_bias_G.data, 0, row_of(given, places[open[j]] + s, 0, kind),
                          row_of(products, j, 0, kind), run->bias_G.data};
            transit(&from, state, state, H, INPUT | INPUT_BIAS, kind);
            memcpy(row(run->states_BSH, first + open[j], s, FLOAT32), state, H * sizeof *state);
        }
    }
    free(memory.start);
}

/* e^2x, as the attention reads keys and queries: tanh(q + k) = 1 - 2 / (1 + e^2q e^2k). The bound, beyond which the
 * tangent is 1, keeps each factor from being infinite or zero, so that their product is never undefined. */
INLINE float squared_exponential(float x) {
    const float bound = 43.0f;
    x = x < -bound ? -bound : x;
    x = x > bound ? bound : x;
    return power(x, 2.0f * LOG2_E);
}

/* The key and the value of a position, of the products of its state. */
INLINE void hold_position(const holding_run *run, int64_t b, int64_t s, product products, int64_t r, float *value,
                          arithmetic kind) {
    product_row asked = row_of(products, r, 0, kind), given = row_of(products, r, run->A, kind);
    const float *bias = run->bias_A.data;
    void *key = row(run->keys_BSA, b, s, stored(kind));
#pragma omp simd
    for (int64_t i = 0; i < run->A; i++)
        put(key, i, squared_exponential(dense(asked, i, kind) + bias[i]), stored(kind));
#pragma omp simd
    for (int64_t i = 0; i < run->W; i++) value[i] = dense(given, i, kind);
    put_operand(values_at(run->values_BSW, run->values_scales_BS, b, s, kind), 0, value, run->W, kind);
}

INLINE void hold_block(const holding_run *run, int64_t first, int64_t count, arithmetic kind) {
    int64_t M = run->M, N = run->A + run->W, sentences[POSITIONS], places[POSITIONS], waiting = 0;
    room memory = room_of(POSITIONS * (M + 1 + N) + run->W);
    operand states = take_operand(&memory, POSITIONS, M, kind);
    product products = take_product(&memory, POSITIONS, N);
    float *value = take(&memory, run->W, sizeof *value);
    for (int64_t b = first; b < first + count; b++)
        for (int64_t s = 0; s < integer(run->lengths_B, b); s++) {
            put_operand(states, waiting, row(run->states_BSM, b, s, FLOAT32), M, kind);
            sentences[waiting] = b, places[waiting++] = s;
            int is_last = b == first + count - 1 && s == integer(run->lengths_B, b) - 1;
            if (waiting < POSITIONS && !is_last) continue;
            multiply(states, waiting, M, run->memory_PQ, &products, kind);
            for (int64_t i = 0; i < waiting; i++) hold_position(run, sentences[i], places[i], products, i, value, kind);
            waiting = 0;
        }
    free(memory.start);
}

/* The first states of the decoder, tanh(W C + b). */
INLINE void begin_block(const beginning_run *run, int64_t first, int64_t count, arithmetic kind) {
    int64_t M = run->M, H = run->H;
    room memory = room_of(count * (M + 1 + H));
    operand summaries = take_operand(&memory, count, M, kind);
    product products = take_product(&memory, count, H);
    const float *bias = run->bias_H.data;
    for (int64_t i = 0; i < count; i++) put_operand(summaries, i, row(run->summaries_BM, first + i, 0, FLOAT32), M, kind);
    multiply(summaries, count, M, run->bridge_PQ, &products, kind);
    for (int64_t i = 0; i < count; i++) {
        product_row from = row_of(products, i, 0, kind);
        float *state = row(run->states_BH, first + i, 0, FLOAT32);
#pragma omp simd
        for (int64_t h = 0; h < H; h++) state[h] = hyperbolic_tangent(dense(from, h, kind) + bias[h]);
    }
    free(memory.start);
}

/* ---- a step of decoding ---- */

/* Hypotheses of one sentence, whose keys and values are read once for all of them. */
enum { TOGETHER = 6 };

/* The scores of some rows, but for Σ_a v_a, which is the same for all positions: v · tanh(q + k_j). asked: e^2q of each
 * row. weighted: -2 v. */
INLINE void score(const step_run *run, int64_t r, int64_t b, int rows, const float *asked, const float *weighted,
                  arithmetic kind) {
    int64_t length = integer(run->lengths_B, b), A = run->A, whole = A / SUMS * SUMS;
    for (int64_t s = 0; s < length; s++) {
        const void *key = row(run->keys_BSA, b, s, stored(kind));
        floats vectors[TOGETHER][VECTORS] = {};
        for (int64_t a = 0; a < whole; a += SUMS)
            UNROLLED for (int v = 0; v < VECTORS; v++) {
                int64_t at = a + v * LANES;
                floats keys = floats_at(key, at, stored(kind)), weights = floats_at(weighted, at, FLOAT32);
                UNROLLED for (int i = 0; i < rows; i++)
                    vectors[i][v] += weights / fused_floats(floats_at(asked, i * A + at, FLOAT32), keys, in_all(1.0f));
            }
        UNROLLED for (int i = 0; i < rows; i++) {
            float sums[SUMS];
            memcpy(sums, vectors[i], sizeof sums);
            for (int64_t a = whole; a < A; a++)
                sums[a - whole] += weighted[a] / fused(asked[i * A + a], get(key, a, stored(kind)), 1.0f);
            ((float *)row(run->attention_RS, r + i, 0, FLOAT32))[s] = sum_of(sums);
        }
    }
}

/* α of a row, in place of its scores. */
INLINE void normalise(float *attention, int64_t length, int64_t S) {
    float greatest = -__builtin_inff(), total = 0.0f;
    for (int64_t s = 0; s < length; s++) greatest = attention[s] > greatest ? attention[s] : greatest;
    for (int64_t s = 0; s < length; s++) attention[s] = exponential(attention[s] - greatest);
    for (int64_t s = 0; s < length; s++) total += attention[s];
    for (int64_t s = 0; s < length; s++) attention[s] /= total;
    for (int64_t s = length; s < S; s++) attention[s] = 0.0f;
}

enum { AT_ONCE = LANES == 8 ? 2 : 4 }; /* vectors of sums of each row: as many as there are registers for */

/* Σ_j α_j v_j of some rows. */
INLINE void average(const step_run *run, int64_t r, int64_t b, int rows, float *contexts, int64_t W, arithmetic kind) {
    int64_t length = integer(run->lengths_B, b), w = 0;
    float weights[rows * length];
    for (int64_t s = 0; s < length; s++) {
        operand value = values_at(run->values_BSW, run->values_scales_BS, b, s, kind);
        float scale = kind == IN_INT8 ? *(const float *)value.scales.data : 1.0f;
        for (int i = 0; i < rows; i++)
            weights[s * rows + i] = ((const float *)row(run->attention_RS, r + i, 0, FLOAT32))[s] * scale;
    }
    for (; w + AT_ONCE * LANES <= W; w += AT_ONCE * LANES) {
        floats sums[TOGETHER][AT_ONCE] = {};
        for (int64_t s = 0; s < length; s++) {
            const void *value = values_at(run->values_BSW, run->values_scales_BS, b, s, kind).values.data;
            UNROLLED for (int j = 0; j < AT_ONCE; j++) {
                int64_t at = w + j * LANES;
                floats values = kind == IN_INT8 ? floats_of_bytes((const int8_t *)value + at) : floats_at(value, at, FLOAT32);
                UNROLLED for (int i = 0; i < rows; i++)
                    sums[i][j] = fused_floats(in_all(weights[s * rows + i]), values, sums[i][j]);
            }
        }
        UNROLLED for (int i = 0; i < rows; i++) memcpy(contexts + i * W + w, sums[i], sizeof sums[i]);
    }
    for (; w < W; w++)
        for (int i = 0; i < rows; i++) {
            float sum = 0.0f;
            for (int64_t s = 0; s < length; s++) {
                const void *value = values_at(run->values_BSW, run->values_scales_BS, b, s, kind).values.data;
                float number = kind == IN_INT8 ? ((const int8_t *)value)[w] : ((const float *)value)[w];
                sum = fused(weights[s * rows + i], number, sum);
            }
            contexts[i * W + w] = sum;
        }
}

INLINE void attend_rows(const step_run *run, int64_t r, int64_t b, int rows, const float *asked, const float *weighted,
                        float *contexts, int64_t W, arithmetic kind) {
    score(run, r, b, rows, asked, weighted, kind);
    for (int i = 0; i < rows; i++)
        normalise(row(run->attention_RS, r + i, 0, FLOAT32), integer(run->lengths_B, b), run->S);
    average(run, r, b, rows, contexts, W, kind);
}

/* The attention of some rows, of which there are few kinds, and the sums that the context is part of. To inline it where
 * it is called would take the compiler as long as all the rest. */
#define ROWS_TOGETHER(n) case n: attend_rows(run, r, b, n, asked, weighted, contexts, W, kind); break;
#define ATTEND(suffix, number)                                                                                       \
    static __attribute__((noinline)) void attend_##suffix(const step_run *run, int64_t r, int64_t b, int rows,        \
                                                          const float *asked, const float *weighted, float *contexts, \
                                                          int64_t W) {                                               \
        const arithmetic kind = number;                                                                              \
        switch (rows) {                                                                                              \
            ROWS_TOGETHER(1) ROWS_TOGETHER(2) ROWS_TOGETHER(3) ROWS_TOGETHER(4) ROWS_TOGETHER(5) ROWS_TOGETHER(6)     \
        }                                                                                                            \
    }
ATTEND(float32, IN_FLOAT32)
ATTEND(int8, IN_INT8)

/* tanh(W_s s_t + W_c c_t + W_y y_{t-1} + b), where the context is that share of the sum. */
INLINE void read_out(const step_run *run, int64_t r, product_row state, const float *context, float *readout,
                     arithmetic kind) {
    const void *previous = row(run->readouts_VD, integer(run->symbols_R, r), 0, stored(kind));
    const float *bias = run->readout_bias_D.data;
#pragma omp simd
    for (int64_t i = 0; i < run->D; i++)
        readout[i] = hyperbolic_tangent(dense(state, i, kind) + context[i] + get(previous, i, stored(kind)) + bias[i]);
}

/* Of the rows that several hypotheses go on from, one: their products are the same. place: which of them each has. */
INLINE int64_t distinct(const step_run *run, int64_t first, int64_t count, int64_t *origins, int64_t *place) {
    int64_t found = 0, beam = run->R / run->b;
    for (int64_t i = 0; i < count; i++) {
        int64_t origin = integer(run->origins_R, first + i), at = found - 1;
        while (at >= 0 && at > found - 1 - beam && origins[at] != origin) at--;
        if (at < 0 || at <= found - 1 - beam) origins[at = found++] = origin;
        place[i] = at;
    }
    return found;
}

enum { HYPOTHESES = 64 };

INLINE void step_block(const step_run *run, int64_t first, int64_t count, int is_conditional, arithmetic kind) {
    int64_t H = run->H, G = 3 * H, A = run->A, D = run->D, W = G + D, origins[HYPOTHESES], place[HYPOTHESES];
    room memory = room_of(count * (H + 1 + G + A + G + D + W + H) + (TOGETHER + 1) * A + D);
    operand states = take_operand(&memory, count, H, kind);
    product firsts = take_product(&memory, count, G), asked = take_product(&memory, count, A + G);
    product shown = take_product(&memory, count, D);
    float *contexts = take(&memory, count * W, 4), *between = take(&memory, count * H, 4);
    float *queries = take(&memory, TOGETHER * A, 4), *weighted = take(&memory, A, 4), *readout = take(&memory, D, 4);
    int64_t found = distinct(run, first, count, origins, place);

    for (int64_t i = 0; i < found; i++) put_operand(states, i, row(run->before_NH, origins[i], 0, FLOAT32), H, kind);
    if (is_conditional) {
        multiply(states, found, H, run->first_PQ, &firsts, kind);
        for (int64_t i = 0; i < count; i++) {
            const void *table = row(run->gates_VG, integer(run->symbols_R, first + i), 0, stored(kind));
            gates from = {table, 0, 0, {}, row_of(firsts, place[i], 0, kind), run->first_bias_G.data};
            transit(&from, row(run->before_NH, origins[place[i]], 0, FLOAT32), between + i * H, H, TABLE, kind);
            place[i] = i;
        }
        for (int64_t i = 0; i < count; i++) put_operand(states, i, between + i * H, H, kind);
        found = count;
    }
    multiply(states, found, H, run->state_XQ, &asked, kind);
    for (int64_t a = 0; a < A; a++) weighted[a] = -2.0f * ((const float *)run->energy_A.data)[a];
    for (int64_t i = 0, rows, beam = run->R / run->b; i < count; i += rows) {
        rows = least(least(beam - (first + i) % beam, count - i), TOGETHER);
        for (int64_t j = 0; j < rows; j++) {
            product_row query = row_of(asked, place[i + j], 0, kind);
#pragma omp simd
            for (int64_t a = 0; a < A; a++) queries[j * A + a] = squared_exponential(dense(query, a, kind));
        }
        int64_t b = integer(run->sentences_b, (first + i) / beam);
        if (kind == IN_INT8) attend_int8(run, first + i, b, rows, queries, weighted, contexts + i * W, W);
        else attend_float32(run, first + i, b, rows, queries, weighted, contexts + i * W, W);
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t r = first + i;
        float *after = row(run->after_RH, r, 0, FLOAT32);
        const void *table = row(run->gates_VG, integer(run->symbols_R, r), 0, stored(kind));
        gates from = {table, run->input_bias_G.data, contexts + i * W, {}, row_of(asked, place[i], A, kind),
                      run->state_bias_G.data};
        if (is_conditional) transit(&from, between + i * H, after, H, INPUT_BIAS | NUMBERS, kind);
        else transit(&from, row(run->before_NH, origins[place[i]], 0, FLOAT32), after, H, TABLE | NUMBERS, kind);
    }
    for (int64_t i = 0; i < count; i++) put_operand(states, i, row(run->after_RH, first + i, 0, FLOAT32), H, kind);
    multiply(states, count, H, run->readout_TQ, &shown, kind);
    for (int64_t i = 0; i < count; i++) {
        read_out(run, first + i, row_of(shown, i, 0, kind), contexts + i * W + G, readout, kind);
        put_operand(run->readouts_RD, first + i, readout, D, kind);
    }
    free(memory.start);
}

/* ---- softmax, and the best symbols ---- */

/* Symbols whose logits are made at once, and in a group, which is skipped if its greatest logit is too small. */
enum { CHUNK = 512, GROUP = 64, PACKED = 32 };

/* Put a symbol in its place among the best so far, greatest first; of equals the lower symbol. */
INLINE void insert(float *best, int64_t *symbols, int64_t count, float logit, int64_t symbol) {
    int64_t place = count - 1;
    for (; place > 0 && best[place - 1] < logit; place--) {
        best[place] = best[place - 1];
        symbols[place] = symbols[place - 1];
    }
    best[place] = logit;
    symbols[place] = symbol;
}

/* What is known of a row of logits, symbol after symbol. The sum of e^logit is total * e^greatest. */
typedef struct {
    float *best;
    int64_t *symbols, count, first;
    float greatest, total;
} ranking;

/* Nothing yet. */
INLINE ranking start_ranking(float *best, int64_t *symbols, int64_t count, int64_t first) {
    for (int64_t place = 0; place < count; place++) {
        best[place] = -__builtin_inff();
        symbols[place] = first;
    }
    return (ranking){best, symbols, count, first, -__builtin_inff(), 0.0f};
}

/* Put those of some more logits in their places that are among the best. */
INLINE void insert_chunk(ranking *of, const float *logits, int64_t start, int64_t size) {
    for (int64_t begin = 0; begin < size; begin += GROUP) {
        int64_t end = least(begin + GROUP, size);
        if (!(largest_of(logits + begin, end - begin) > of->best[of->count - 1])) continue;
        for (int64_t i = begin + start < of->first ? of->first - start : begin; i < end; i++)
            if (logits[i] > of->best[of->count - 1]) insert(of->best, of->symbols, of->count, logits[i], start + i);
    }
}

/* The logits of `size` symbols more, from `start` on. There is room for a whole number of sums. */
INLINE void rank_chunk(ranking *of, float *logits, int64_t start, int64_t size) {
    float greatest = largest_of(logits, size);
    floats sums[VECTORS] = {};
    for (int64_t i = size; i % SUMS; i++) logits[i] = -__builtin_inff();
    if (of->count > 0 && greatest > of->best[of->count - 1]) insert_chunk(of, logits, start, size);
    if (greatest > of->greatest) {
        of->total *= decay(of->greatest - greatest);
        of->greatest = greatest;
    }
    if (of->greatest == -__builtin_inff()) return; /* all are impossible as yet */
    for (int64_t i = 0; i < size; i += SUMS)
        UNROLLED for (int v = 0; v < VECTORS; v++)
            sums[v] += decay_of(floats_at(logits, i + v * LANES, FLOAT32) - in_all(of->greatest));
    of->total += sum_of_vectors(sums);
}

/* What makes log-probabilities of logits. */
INLINE float normaliser_of(const ranking *of) { return of->greatest + logarithm(of->total); }

/* The products of the rows of one set for the symbols start to start + size, [count, size]. */
INLINE void project(const projection_run *run, int64_t set, int64_t first, int64_t count, int64_t start, int64_t size,
                    float *logits, int64_t stride, arithmetic kind) {
    int64_t bytes = kind == IN_INT8 ? 1 : 4;
    view rows = run->readouts_RD.values, weights = run->output_BPQ.packed;
    weights.data = (char *)weights.data + (set * weights.outer + start / PACKED * weights.inner) * bytes;
    weights.outer = weights.inner;
    rows.data = (char *)rows.data + first * rows.outer * bytes;
    product_run product = {count, size, run->D, rows, weights, {logits, stride}};
    if (kind == IN_INT8) multiply_int8(&product, 1);
    else multiply_float32(&product, 1);
}

/* Of the products of a row, its logits. */
INLINE void finish(const projection_run *run, int64_t set, int64_t r, int64_t start, int64_t size, float *logits,
                   arithmetic kind) {
    const float *bias = (const float *)run->bias_BV.data + set * run->bias_BV.outer + start;
    const float *scales = (const float *)run->output_BPQ.scales.data + set * run->output_BPQ.scales.outer + start;
    float scale = kind == IN_INT8 ? ((const float *)run->readouts_RD.scales.data)[r] : 1.0f;
#pragma omp simd
    for (int64_t v = 0; v < size; v++)
        if (kind == IN_INT8) logits[v] = fused((float)(int32_t)to_bits(logits[v]), scale * scales[v], bias[v]);
        else logits[v] = logits[v] + bias[v];
}

enum { ROWS = 128 };

/* The rows of a set are cut in blocks: how many are there of each, and of all sets. */
INLINE int64_t blocks_of(int64_t rows) { return (rows + ROWS - 1) / ROWS; }
INLINE int64_t all_blocks(int64_t rows, int64_t sets) { return sets ? sets * blocks_of(rows / sets) : 0; }

typedef struct {
    int64_t set, first, count;
} block_of_rows;

INLINE block_of_rows block_at(const projection_run *run, int64_t i) {
    int64_t beam = run->R / run->b, owner = i / blocks_of(beam), start = i % blocks_of(beam) * ROWS;
    return (block_of_rows){integer(run->sets_b, owner), owner * beam + start, least(ROWS, beam - start)};
}

/* In pieces of a few rows, and of a few symbols whose weights stay in the cache meanwhile. */
enum { PIECE = 20 };

INLINE void rank_block(const ranking_run *run, int64_t first, int64_t end, int64_t i, arithmetic kind) {
    projection_run of = {run->R, run->b, run->D, run->V, run->output_BPQ, run->bias_BV, run->readouts_RD, run->sets_b, {0, 0, 0}};
    block_of_rows rows = block_at(&of, i);
    float logits[PIECE * CHUNK], *ends = (float *)run->ends_R.data + rows.first;
    ranking rankings[ROWS];
    for (int64_t r = 0; r < rows.count; r++)
        rankings[r] = start_ranking(row(run->log_probs_RC, rows.first + r, 0, FLOAT32),
                                    (int64_t *)run->best_RC.data + (rows.first + r) * run->best_RC.outer, run->C, first);
    for (int64_t start = 0; start < run->V; start += CHUNK)
        for (int64_t begin = 0; begin < rows.count; begin += PIECE) {
            int64_t size = least(CHUNK, run->V - start), count = least(PIECE, rows.count - begin);
            project(&of, rows.set, rows.first + begin, count, start, size, logits, CHUNK, kind);
            for (int64_t r = 0; r < count; r++) {
                finish(&of, rows.set, rows.first + begin + r, start, size, logits + r * CHUNK, kind);
                if (end >= start && end < start + size) ends[begin + r] = logits[r * CHUNK + end - start];
                rank_chunk(rankings + begin + r, logits + r * CHUNK, start, size);
            }
        }
    for (int64_t r = 0; r < rows.count; r++) {
        float normaliser = normaliser_of(rankings + r);
        for (int64_t place = 0; place < run->C; place++) rankings[r].best[place] -= normaliser;
        ends[r] -= normaliser;
    }
}

/* All logits, for those who want them. */
INLINE void project_block(const projection_run *run, int64_t i, arithmetic kind) {
    block_of_rows rows = block_at(run, i);
    float *logits = row(run->logits_RV, rows.first, 0, FLOAT32);
    project(run, rows.set, rows.first, rows.count, 0, run->V, logits, run->logits_RV.outer, kind);
    for (int64_t r = 0; r < rows.count; r++)
        finish(run, rows.set, rows.first + r, 0, run->V, logits + r * run->logits_RV.outer, kind);
}

/* ---- the same of the mean of the probabilities that several models give ---- */

/* A row of a member: its logits, what makes log-probabilities of them, and the greatest logit of each group. */
typedef struct {
    const float *logits;
    float normaliser, *greatest;
} member_row;

INLINE member_row member_of(const mean_ranking_run *run, int64_t member, int64_t r, float *groups) {
    member_row result = {row(((const view *)run->logits_RV.data)[member], r, 0, FLOAT32), 0.0f, groups};
    ranking of = start_ranking(0, 0, 0, 0);
    for (int64_t start = 0; start < run->V; start += GROUP)
        groups[start / GROUP] = largest_of(result.logits + start, least(GROUP, run->V - start));
    for (int64_t start = 0; start < run->V; start += CHUNK) {
        float spare[CHUNK];
        int64_t size = least(CHUNK, run->V - start);
        memcpy(spare, result.logits + start, size * sizeof *spare);
        rank_chunk(&of, spare, start, size);
    }
    result.normaliser = normaliser_of(&of);
    return result;
}

INLINE float mean_log_prob(const member_row *members, int64_t count, int64_t v) {
    float log_probs[count], most = -__builtin_inff(), total = 0.0f;
    for (int64_t e = 0; e < count; e++) {
        log_probs[e] = members[e].logits[v] - members[e].normaliser;
        most = log_probs[e] > most ? log_probs[e] : most;
    }
    if (most == -__builtin_inff()) return most; /* impossible to all of them */
    for (int64_t e = 0; e < count; e++) total += exponential(log_probs[e] - most);
    return most + logarithm(total / (float)count);
}

/* No mean is greater than the greatest of its members: few groups, and few symbols in them, may be among the best by
 * that bound, and the mean itself is taken of these alone. */
INLINE void rank_mean(const mean_ranking_run *run, int64_t first, int64_t end, int64_t r) {
    int64_t size = run->V, count = run->C, groups = (size + GROUP - 1) / GROUP;
    float room[run->E * groups], *best = row(run->log_probs_RC, r, 0, FLOAT32);
    int64_t *symbols = (int64_t *)run->best_RC.data + r * run->best_RC.outer;
    member_row members[run->E];
    for (int64_t e = 0; e < run->E; e++) members[e] = member_of(run, e, r, room + e * groups);
    start_ranking(best, symbols, count, first);
    for (int64_t start = 0; start < size && count > 0; start += GROUP) {
        int64_t length = least(GROUP, size - start);
        float bounds[GROUP], most = -__builtin_inff();
        for (int64_t e = 0; e < run->E; e++) {
            float bound = members[e].greatest[start / GROUP] - members[e].normaliser;
            most = bound > most ? bound : most;
        }
        if (!(most > best[count - 1])) continue;
        for (int64_t i = 0; i < length; i++) bounds[i] = -__builtin_inff();
        for (int64_t e = 0; e < run->E; e++) {
            member_row from = members[e];
#pragma omp simd
            for (int64_t i = 0; i < length; i++) {
                float bound = from.logits[start + i] - from.normaliser;
                bounds[i] = bound > bounds[i] ? bound : bounds[i];
            }
        }
        for (int64_t i = start < first ? first - start : 0; i < length; i++) {
            if (!(bounds[i] > best[count - 1])) continue;
            float mean = mean_log_prob(members, run->E, start + i);
            if (mean > best[count - 1]) insert(best, symbols, count, mean, start + i);
        }
    }
    ((float *)run->ends_R.data)[r] = mean_log_prob(members, run->E, end);
}

/* ---- each function for each arithmetic, its blocks of rows shared among the threads ---- */

INLINE int workers(int64_t blocks, int threads) { return blocks < threads ? (blocks > 1 ? (int)blocks : 1) : threads; }

#define PRAGMA(text) _Pragma(#text)
#define SHARED(i, count)                                                              \
    PRAGMA(omp parallel for num_threads(workers(count, threads)) schedule(static))    \
    for (int64_t i = 0; i < count; i++)

#define IN_EACH(suffix, kind)                                                                                         \
    void read_##suffix(const reading_run *run, int64_t is_backwards, int threads) {                                   \
        SHARED(i, (run->B + SENTENCES - 1) / SENTENCES)                                                               \
        read_block(run, i * SENTENCES, least(SENTENCES, run->B - i * SENTENCES), is_backwards, kind);                 \
    }                                                                                                                 \
    void hold_##suffix(const holding_run *run, int threads) {                                                         \
        SHARED(i, (run->B + SENTENCES - 1) / SENTENCES)                                                               \
        hold_block(run, i * SENTENCES, least(SENTENCES, run->B - i * SENTENCES), kind);                               \
    }                                                                                                                 \
    void begin_##suffix(const beginning_run *run, int threads) {                                                      \
        SHARED(i, (run->B + SENTENCES - 1) / SENTENCES)                                                               \
        begin_block(run, i * SENTENCES, least(SENTENCES, run->B - i * SENTENCES), kind);                              \
    }                                                                                                                 \
    void step_##suffix(const step_run *run, int threads) {                                                            \
        SHARED(i, (run->R + HYPOTHESES - 1) / HYPOTHESES)                                                             \
        step_block(run, i * HYPOTHESES, least(HYPOTHESES, run->R - i * HYPOTHESES), 0, kind);                         \
    }                                                                                                                 \
    void step_conditional_##suffix(const step_run *run, int threads) {                                                \
        SHARED(i, (run->R + HYPOTHESES - 1) / HYPOTHESES)                                                             \
        step_block(run, i * HYPOTHESES, least(HYPOTHESES, run->R - i * HYPOTHESES), 1, kind);                         \
    }                                                                                                                 \
    void rank_##suffix(const ranking_run *run, int64_t first, int64_t end, int threads) {                             \
        SHARED(i, all_blocks(run->R, run->b)) rank_block(run, first, end, i, kind);                      \
    }                                                                                                                 \
    void project_##suffix(const projection_run *run, int threads) {                                                   \
        SHARED(i, all_blocks(run->R, run->b)) project_block(run, i, kind);      \
    }

IN_EACH(float32, IN_FLOAT32)
IN_EACH(int8, IN_INT8)

void rank_mean_float32(const mean_ranking_run *run, int64_t first, int64_t end, int threads) {
    SHARED(r, run->R) rank_mean(run, first, end, r);
}
