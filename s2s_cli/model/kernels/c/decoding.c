/* Steps of the decoding engine: the loops between two matrix products, each one pass over the rows of a batch.
 *
 * What they compute stands in `Seq2Seq.step`; here only how. A row is a hypothesis; rows are shared among the threads,
 * and no sum crosses a row: a translation does not depend on its batch mates.
 */

#include "numbers.h"

/* How matrix products are made, and so what they read and what they hand back: a constant, once all is inlined. */
typedef enum { IN_FLOAT32, IN_BFLOAT16, IN_INT8 } arithmetic;

INLINE storage stored(arithmetic kind) { return kind == IN_FLOAT32 ? FLOAT32 : BFLOAT16; }

/* The product of rows and weights, [R, N]. In int8 it is a whole number, to be scaled by row and by column. */
typedef struct {
    view values, row_scales, column_scales;
} product;

/* Rows that the next product reads, [R, N]; in int8 with the scale that was chosen for each row. */
typedef struct {
    view values, scales;
} operand;

typedef struct {
    int64_t rows, beam, size, width;
    product queries;
    view energy_A, keys_BSA, memory_BSM, sentences_b, lengths_B, attention_RS;
    operand contexts;
} attention_run;

typedef struct {
    int64_t rows, hidden;
    product states, contexts;
    view table_VG, symbols_R, bias_G, before_RH, after_RH;
    operand following;
} gru_run;

typedef struct {
    int64_t rows, width;
    product states, contexts;
    view table_VR, symbols_R, bias_R;
    operand readouts;
} readout_run;

typedef struct {
    int64_t rows, symbols, first, count, end;
    product logits;
    view bias_V, log_probs_RC, symbols_RC, ends_R;
} ranking_run;

/* ---- products and operands ---- */

typedef struct {
    const void *values;
    float row_scale;
    const float *column_scales;
} product_row;

INLINE product_row row_of(product from, int64_t r, arithmetic kind) {
    product_row result = {row(from.values, r, 0, kind == IN_BFLOAT16 ? BFLOAT16 : FLOAT32), 1.0f, 0};
    if (kind == IN_INT8) {
        result.row_scale = ((const float *)from.row_scales.data)[r];
        result.column_scales = from.column_scales.data;
    }
    return result;
}

INLINE float dense(product_row from, int64_t i, arithmetic kind) {
    if (kind == IN_INT8) return (float)((const int32_t *)from.values)[i] * (from.row_scale * from.column_scales[i]);
    return get(from.values, i, stored(kind));
}

/* Adding 1.5 * 2^23 rounds to the nearest whole number, ties to even. */
INLINE int8_t nearest(float value) { return (int8_t)(int32_t)((value + 12582912.0f) - 12582912.0f); }

INLINE void put_operand(operand to, int64_t r, const float *numbers, int64_t size, arithmetic kind) {
    if (kind != IN_INT8) {
        void *values = row(to.values, r, 0, stored(kind));
#pragma omp simd
        for (int64_t i = 0; i < size; i++) put(values, i, numbers[i], stored(kind));
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

/* ---- additive attention ---- */

INLINE void attend(const attention_run *run, int64_t r, arithmetic kind) {
    product_row query = row_of(run->queries, r, kind);
    int64_t b = ((const int64_t *)run->sentences_b.data)[r / run->beam];
    int64_t length = ((const int64_t *)run->lengths_B.data)[b];
    const float *energy = run->energy_A.data;
    float *attention = row(run->attention_RS, r, 0, FLOAT32);
    float asked[run->size], context[run->width], greatest = -__builtin_inff(), total = 0.0f;
    for (int64_t a = 0; a < run->size; a++) asked[a] = dense(query, a, kind);
    for (int64_t s = 0; s < length; s++) {
        const void *key = row(run->keys_BSA, b, s, stored(kind));
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t a = 0; a < run->size; a++)
            sum += energy[a] * hyperbolic_tangent(asked[a] + get(key, a, stored(kind)));
        attention[s] = sum;
        greatest = sum > greatest ? sum : greatest;
    }
    for (int64_t s = 0; s < length; s++) total += attention[s] = exponential(attention[s] - greatest);
    for (int64_t i = 0; i < run->width; i++) context[i] = 0.0f;
    for (int64_t s = 0; s < length; s++) {
        const void *memory = row(run->memory_BSM, b, s, stored(kind));
        float weight = attention[s] /= total;
#pragma omp simd
        for (int64_t i = 0; i < run->width; i++) context[i] += weight * get(memory, i, stored(kind));
    }
    put_operand(run->contexts, r, context, run->width, kind);
}

/* ---- the gated recurrent unit ---- */

INLINE const void *entry(view table, view symbols, int64_t r, arithmetic kind) {
    return row(table, ((const int64_t *)symbols.data)[r], 0, stored(kind));
}

INLINE void advance(const gru_run *run, int64_t r, arithmetic kind) {
    product_row u = row_of(run->states, r, kind), c = row_of(run->contexts, r, kind);
    const void *x = entry(run->table_VG, run->symbols_R, r, kind);
    const float *bias = run->bias_G.data, *before = row(run->before_RH, r, 0, FLOAT32);
    float *after = row(run->after_RH, r, 0, FLOAT32);
#pragma omp simd
    for (int64_t i = 0; i < run->hidden; i++) {
        int64_t j = i + run->hidden, k = j + run->hidden;
        float x_reset = get(x, i, stored(kind)) + dense(c, i, kind);
        float x_update = get(x, j, stored(kind)) + dense(c, j, kind);
        float x_new = get(x, k, stored(kind)) + dense(c, k, kind);
        float reset = sigmoid(x_reset + dense(u, i, kind) + bias[i]);
        float update = sigmoid(x_update + dense(u, j, kind) + bias[j]);
        float new = hyperbolic_tangent(x_new + reset * (dense(u, k, kind) + bias[k]));
        after[i] = new + update * (before[i] - new);
    }
    put_operand(run->following, r, after, run->hidden, kind);
}

/* ---- readout ---- */

INLINE void read_out(const readout_run *run, int64_t r, arithmetic kind) {
    product_row s = row_of(run->states, r, kind), c = row_of(run->contexts, r, kind);
    const void *y = entry(run->table_VR, run->symbols_R, r, kind);
    const float *bias = run->bias_R.data;
    float readout[run->width];
#pragma omp simd
    for (int64_t i = 0; i < run->width; i++)
        readout[i] = hyperbolic_tangent(dense(s, i, kind) + dense(c, i, kind) + get(y, i, stored(kind)) + bias[i]);
    put_operand(run->readouts, r, readout, run->width, kind);
}

/* ---- softmax, and the best symbols ---- */

/* Symbols whose greatest logit is looked at before they are looked at one by one: few groups have one of the best. */
enum { GROUP = 64 };

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

INLINE void rank(const ranking_run *run, int64_t r, arithmetic kind) {
    product_row from = row_of(run->logits, r, kind);
    const float *bias = run->bias_V.data;
    float *best = row(run->log_probs_RC, r, 0, FLOAT32), greatest = -__builtin_inff(), total = 0.0f;
    int64_t *symbols = (int64_t *)run->symbols_RC.data + r * run->symbols_RC.outer;
    for (int64_t place = 0; place < run->count; place++) {
        best[place] = -__builtin_inff();
        symbols[place] = run->first;
    }
    for (int64_t start = 0; start < run->symbols; start += GROUP) {
        int64_t stop = start + GROUP < run->symbols ? start + GROUP : run->symbols;
        float logits[GROUP], most = -__builtin_inff();
#pragma omp simd reduction(max : most)
        for (int64_t v = start; v < stop; v++) {
            float logit = dense(from, v, kind) + bias[v];
            logits[v - start] = logit;
            most = logit > most ? logit : most;
        }
        greatest = most > greatest ? most : greatest;
        if (run->count == 0 || !(most > best[run->count - 1])) continue;
        for (int64_t v = start < run->first ? run->first : start; v < stop; v++)
            if (logits[v - start] > best[run->count - 1]) insert(best, symbols, run->count, logits[v - start], v);
    }
#pragma omp simd reduction(+ : total)
    for (int64_t v = 0; v < run->symbols; v++) total += exponential(dense(from, v, kind) + bias[v] - greatest);
    float normaliser = greatest + __builtin_logf(total);
    for (int64_t place = 0; place < run->count; place++) best[place] -= normaliser;
    ((float *)run->ends_R.data)[r] = dense(from, run->end, kind) + bias[run->end] - normaliser;
}

/* ---- rows for the products ---- */

typedef struct {
    int64_t rows, width;
    view numbers;
    operand operands;
} operand_run;

INLINE void prepare(const operand_run *run, int64_t r, arithmetic kind) {
    put_operand(run->operands, r, row(run->numbers, r, 0, FLOAT32), run->width, kind);
}

/* ---- each step for each arithmetic, its rows shared among the threads ---- */

#define STEP(name, record)                                                     \
    void name##_float32(const record *run, int threads) {                      \
        _Pragma("omp parallel for num_threads(threads) schedule(static)")      \
        for (int64_t r = 0; r < run->rows; r++) name(run, r, IN_FLOAT32);      \
    }                                                                          \
    void name##_bfloat16(const record *run, int threads) {                     \
        _Pragma("omp parallel for num_threads(threads) schedule(static)")      \
        for (int64_t r = 0; r < run->rows; r++) name(run, r, IN_BFLOAT16);     \
    }                                                                          \
    void name##_int8(const record *run, int threads) {                         \
        _Pragma("omp parallel for num_threads(threads) schedule(static)")      \
        for (int64_t r = 0; r < run->rows; r++) name(run, r, IN_INT8);         \
    }

STEP(attend, attention_run)
STEP(advance, gru_run)
STEP(read_out, readout_run)
STEP(rank, ranking_run)
STEP(prepare, operand_run)
