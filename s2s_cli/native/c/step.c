/* A step of decoding, from the states of the last one to what the output projection reads. */

#include "passes.h"

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
#define ATTEND(suffix, number)                                                                                        \
    static __attribute__((noinline)) void attend_##suffix(const step_run *run, int64_t r, int64_t b, int rows,        \
                                                          const float *asked, const float *weighted, float *contexts, \
                                                          int64_t W) {                                                \
        const arithmetic kind = number;                                                                               \
        switch (rows) {                                                                                               \
            ROWS_TOGETHER(1) ROWS_TOGETHER(2) ROWS_TOGETHER(3) ROWS_TOGETHER(4) ROWS_TOGETHER(5) ROWS_TOGETHER(6)     \
        }                                                                                                             \
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

/* ---- each function for each arithmetic ---- */

#define IN_EACH(suffix, kind) \
    void step_##suffix(const step_run *run, int threads) {                                    \
        SHARED(i, (run->R + HYPOTHESES - 1) / HYPOTHESES)                                     \
        step_block(run, i * HYPOTHESES, least(HYPOTHESES, run->R - i * HYPOTHESES), 0, kind); \
    }                                                                                         \
    void step_conditional_##suffix(const step_run *run, int threads) {                        \
        SHARED(i, (run->R + HYPOTHESES - 1) / HYPOTHESES)                                     \
        step_block(run, i * HYPOTHESES, least(HYPOTHESES, run->R - i * HYPOTHESES), 1, kind); \
    }

IN_EACH(float32, IN_FLOAT32)
IN_EACH(int8, IN_INT8)
