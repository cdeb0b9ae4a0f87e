/* Passes of the decoding engine: the loops between two matrix products, each one pass over the rows of a batch.
 *
 * They implement the reference in model/engine/passes.py. A row is a hypothesis; rows are shared among the threads,
 * and no sum crosses a row: a translation does not depend on its batch mates.
 */

#include "numbers.h"

/* How matrix products are computed, which determines their inputs and outputs: a constant after inlining. */
typedef enum { IN_FLOAT32, IN_BFLOAT16, IN_INT8 } arithmetic;

INLINE storage stored(arithmetic kind) { return kind == IN_FLOAT32 ? FLOAT32 : BFLOAT16; }

/* The product of rows and weights, [R, N]. In int8 it is a whole number, to be scaled by row and by column. */
typedef struct {
    view values, row_scales, column_scales;
} product;

/* Rows that the next product reads, [R, N]; in int8 with the scale of each row. */
typedef struct {
    view values, scales;
} operand;

/* The records of native/decoding.py, field by field. */
typedef struct {
    int64_t R, N;
    view numbers_RN;
    operand operands_RN;
} operand_run;

typedef struct {
    int64_t R, b, S, A, M;
    product queries_RA;
    view energy_A, keys_BSA, memory_BSM, sentences_b, lengths_B, attention_RS;
    operand contexts_RM;
} attention_run;

typedef struct {
    int64_t R, H;
    product states_RG, contexts_RG;
    view table_VG, symbols_R, bias_G, before_RH, after_RH;
    operand following_RH;
} gru_run;

typedef struct {
    int64_t R, D;
    product states_RD, contexts_RD;
    view table_VD, symbols_R, bias_D;
    operand readouts_RD;
} readout_run;

typedef struct {
    int64_t R, V, C;
    product logits_RV;
    view bias_V, log_probs_RC, best_RC, ends_R;
} ranking_run;

/* Of what each member of an ensemble has, a list of its E views. */
typedef struct {
    int64_t E, R, V, C;
    view logits_RV, logits_row_scales_R, logits_column_scales_V, bias_V, log_probs_RC, best_RC, ends_R;
} mean_ranking_run;

typedef struct {
    int64_t R, b, D, N;
    operand readouts_RD;
    view weights_VD, weight_scales_V, bias_V, sentences_b, counts_B, symbols_BN, logits_RN;
} listed_product_run;

typedef struct {
    int64_t R, b, C;
    view logits_RN, sentences_b, counts_B, log_probs_RC, best_RC, ends_R;
} listed_ranking_run;

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

INLINE int64_t integer(view numbers, int64_t i) { return ((const int64_t *)numbers.data)[i]; }

/* The sentence of a row: all sentences still being searched have the same number of rows. */
INLINE int64_t sentence_of(view sentences, int64_t r, int64_t beam) { return integer(sentences, r / beam); }

INLINE void attend(const attention_run *run, int64_t r, arithmetic kind) {
    product_row query = row_of(run->queries_RA, r, kind);
    int64_t b = sentence_of(run->sentences_b, r, run->R / run->b), length = integer(run->lengths_B, b);
    const float *energy = run->energy_A.data;
    float *attention = row(run->attention_RS, r, 0, FLOAT32);
    float asked[run->A], context[run->M], greatest = -__builtin_inff(), total = 0.0f;
    for (int64_t a = 0; a < run->A; a++) asked[a] = dense(query, a, kind);
    for (int64_t s = 0; s < length; s++) {
        const void *key = row(run->keys_BSA, b, s, stored(kind));
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t a = 0; a < run->A; a++)
            sum += energy[a] * hyperbolic_tangent(asked[a] + get(key, a, stored(kind)));
        attention[s] = sum;
        greatest = sum > greatest ? sum : greatest;
    }
    for (int64_t s = 0; s < length; s++) total += attention[s] = exponential(attention[s] - greatest);
    for (int64_t s = length; s < run->S; s++) attention[s] = 0.0f;
    for (int64_t i = 0; i < run->M; i++) context[i] = 0.0f;
    for (int64_t s = 0; s < length; s++) {
        const void *memory = row(run->memory_BSM, b, s, stored(kind));
        float weight = attention[s] /= total;
#pragma omp simd
        for (int64_t i = 0; i < run->M; i++) context[i] += weight * get(memory, i, stored(kind));
    }
    put_operand(run->contexts_RM, r, context, run->M, kind);
}

/* ---- the gated recurrent unit ---- */

INLINE const void *entry(view table, view symbols, int64_t r, arithmetic kind) {
    return row(table, integer(symbols, r), 0, stored(kind));
}

INLINE void advance(const gru_run *run, int64_t r, arithmetic kind) {
    product_row u = row_of(run->states_RG, r, kind), c = row_of(run->contexts_RG, r, kind);
    const void *x = entry(run->table_VG, run->symbols_R, r, kind);
    const float *bias = run->bias_G.data, *before = row(run->before_RH, r, 0, FLOAT32);
    float *after = row(run->after_RH, r, 0, FLOAT32);
#pragma omp simd
    for (int64_t i = 0; i < run->H; i++) {
        int64_t j = i + run->H, k = j + run->H;
        float x_reset = get(x, i, stored(kind)) + dense(c, i, kind);
        float x_update = get(x, j, stored(kind)) + dense(c, j, kind);
        float x_new = get(x, k, stored(kind)) + dense(c, k, kind);
        float reset = sigmoid(x_reset + dense(u, i, kind) + bias[i]);
        float update = sigmoid(x_update + dense(u, j, kind) + bias[j]);
        float new = hyperbolic_tangent(x_new + reset * (dense(u, k, kind) + bias[k]));
        after[i] = new + update * (before[i] - new);
    }
    put_operand(run->following_RH, r, after, run->H, kind);
}

/* ---- readout ---- */

INLINE void read_out(const readout_run *run, int64_t r, arithmetic kind) {
    product_row s = row_of(run->states_RD, r, kind), c = row_of(run->contexts_RD, r, kind);
    const void *y = entry(run->table_VD, run->symbols_R, r, kind);
    const float *bias = run->bias_D.data;
    float readout[run->D];
#pragma omp simd
    for (int64_t i = 0; i < run->D; i++)
        readout[i] = hyperbolic_tangent(dense(s, i, kind) + dense(c, i, kind) + get(y, i, stored(kind)) + bias[i]);
    put_operand(run->readouts_RD, r, readout, run->D, kind);
}

/* ---- softmax, and the best symbols ---- */

/* Symbols in a group, which is skipped if its greatest logit is too small: few groups have one of the best. */
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

/* None yet. */
INLINE void start_empty(float *best, int64_t *symbols, int64_t count, int64_t first) {
    for (int64_t place = 0; place < count; place++) {
        best[place] = -__builtin_inff();
        symbols[place] = first;
    }
}

INLINE float logit_at(product_row from, const float *bias, int64_t v, int biased, arithmetic kind) {
    return biased ? dense(from, v, kind) + bias[v] : dense(from, v, kind);
}

/* What is subtracted from a logit to have its log-probability. */
INLINE float normaliser_of(product_row from, const float *bias, int64_t size, float greatest, int biased,
                           arithmetic kind) {
    float total = 0.0f;
#pragma omp simd reduction(+ : total)
    for (int64_t v = 0; v < size; v++) total += exponential(logit_at(from, bias, v, biased, kind) - greatest);
    return greatest + __builtin_logf(total);
}

/* The best places of a row of logits, their log-probabilities, and log p of the place `end`. biased: a constant, once
 * all is inlined; without it there is no bias to add. */
INLINE void rank_row(product_row from, const float *bias, int64_t size, int64_t count, int64_t first, int64_t end,
                     float *best, int64_t *places, float *end_log_prob, int biased, arithmetic kind) {
    float greatest = -__builtin_inff();
    start_empty(best, places, count, first);
    for (int64_t start = 0; start < size; start += GROUP) {
        int64_t stop = start + GROUP < size ? start + GROUP : size;
        float logits[GROUP], most = -__builtin_inff();
#pragma omp simd reduction(max : most)
        for (int64_t v = start; v < stop; v++) {
            float logit = logit_at(from, bias, v, biased, kind);
            logits[v - start] = logit;
            most = logit > most ? logit : most;
        }
        greatest = most > greatest ? most : greatest;
        if (count == 0 || !(most > best[count - 1])) continue;
        for (int64_t v = start < first ? first : start; v < stop; v++)
            if (logits[v - start] > best[count - 1]) insert(best, places, count, logits[v - start], v);
    }
    float normaliser = normaliser_of(from, bias, size, greatest, biased, kind);
    for (int64_t place = 0; place < count; place++) best[place] -= normaliser;
    *end_log_prob = logit_at(from, bias, end, biased, kind) - normaliser;
}

INLINE void rank(const ranking_run *run, int64_t first, int64_t end, int64_t r, arithmetic kind) {
    rank_row(row_of(run->logits_RV, r, kind), run->bias_V.data, run->V, run->C, first, end,
             row(run->log_probs_RC, r, 0, FLOAT32), (int64_t *)run->best_RC.data + r * run->best_RC.outer,
             (float *)run->ends_R.data + r, 1, kind);
}

/* ---- the same of the mean of the probabilities that several models give ---- */

/* A row of a member: its logits, what makes log-probabilities of them, and the greatest logit of each group. */
typedef struct {
    product_row logits;
    const float *bias;
    float normaliser, *greatest;
} member_row;

INLINE member_row member_of(const mean_ranking_run *run, int64_t member, int64_t r, float *room, arithmetic kind) {
    product logits = {((const view *)run->logits_RV.data)[member]};
    if (kind == IN_INT8) {
        logits.row_scales = ((const view *)run->logits_row_scales_R.data)[member];
        logits.column_scales = ((const view *)run->logits_column_scales_V.data)[member];
    }
    member_row result = {row_of(logits, r, kind), ((const view *)run->bias_V.data)[member].data, 0.0f, room};
    float greatest = -__builtin_inff();
    for (int64_t start = 0; start < run->V; start += GROUP) {
        int64_t stop = start + GROUP < run->V ? start + GROUP : run->V;
        float most = -__builtin_inff();
#pragma omp simd reduction(max : most)
        for (int64_t v = start; v < stop; v++) {
            float logit = logit_at(result.logits, result.bias, v, 1, kind);
            most = logit > most ? logit : most;
        }
        room[start / GROUP] = most;
        greatest = most > greatest ? most : greatest;
    }
    result.normaliser = normaliser_of(result.logits, result.bias, run->V, greatest, 1, kind);
    return result;
}

INLINE float log_prob_at(const member_row *from, int64_t v, arithmetic kind) {
    return logit_at(from->logits, from->bias, v, 1, kind) - from->normaliser;
}

INLINE float mean_log_prob(const member_row *members, int64_t count, int64_t v, arithmetic kind) {
    float log_probs[count], most = -__builtin_inff(), total = 0.0f;
    for (int64_t e = 0; e < count; e++) {
        log_probs[e] = log_prob_at(members + e, v, kind);
        most = log_probs[e] > most ? log_probs[e] : most;
    }
    if (most == -__builtin_inff()) return most; /* impossible to all of them */
    for (int64_t e = 0; e < count; e++) total += exponential(log_probs[e] - most);
    return most + __builtin_logf(total / (float)count);
}

/* No mean is greater than the greatest of its members: few groups, and few symbols in them, may be among the best by
 * that bound, and the mean itself is taken of these alone. */
INLINE void rank_mean(const mean_ranking_run *run, int64_t first, int64_t end, int64_t r, arithmetic kind) {
    int64_t size = run->V, count = run->C, groups = (size + GROUP - 1) / GROUP;
    float room[run->E * groups];
    float *best = row(run->log_probs_RC, r, 0, FLOAT32);
    int64_t *symbols = (int64_t *)run->best_RC.data + r * run->best_RC.outer;
    member_row members[run->E];
    for (int64_t e = 0; e < run->E; e++) members[e] = member_of(run, e, r, room + e * groups, kind);
    start_empty(best, symbols, count, first);
    for (int64_t start = 0; start < size && count > 0; start += GROUP) {
        int64_t length = start + GROUP < size ? GROUP : size - start;
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
                float bound = log_prob_at(&from, start + i, kind);
                bounds[i] = bound > bounds[i] ? bound : bounds[i];
            }
        }
        for (int64_t i = start < first ? first - start : 0; i < length; i++) {
            if (!(bounds[i] > best[count - 1])) continue;
            float mean = mean_log_prob(members, run->E, start + i, kind);
            if (mean > best[count - 1]) insert(best, symbols, count, mean, start + i);
        }
    }
    ((float *)run->ends_R.data)[r] = mean_log_prob(members, run->E, end, kind);
}

/* ---- the best symbols of a sentence's own list, of which EOS is the first ---- */

/* Dot products of one row of weights with ROWS readouts, `stride` numbers apart, or with one. */
enum { ROWS = 4 };

#define DOTS(name, number, total)                                                                                  \
    INLINE void name##_four(const number *w, const number *readouts, int64_t stride, int64_t size, total *sums) {   \
        const number *r0 = readouts, *r1 = r0 + stride, *r2 = r1 + stride, *r3 = r2 + stride;                       \
        total s0 = 0, s1 = 0, s2 = 0, s3 = 0;                                                                       \
        _Pragma("omp simd reduction(+ : s0, s1, s2, s3)")                                                           \
        for (int64_t i = 0; i < size; i++) {                                                                        \
            s0 += (total)w[i] * r0[i];                                                                              \
            s1 += (total)w[i] * r1[i];                                                                              \
            s2 += (total)w[i] * r2[i];                                                                              \
            s3 += (total)w[i] * r3[i];                                                                              \
        }                                                                                                           \
        sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;                                                     \
    }                                                                                                               \
    INLINE void name##_one(const number *weights, const number *readout, int64_t size, total *sum) {                \
        total s = 0;                                                                                                \
        _Pragma("omp simd reduction(+ : s)")                                                                        \
        for (int64_t i = 0; i < size; i++) s += (total)weights[i] * readout[i];                                     \
        *sum = s;                                                                                                   \
    }                                                                                                               \
    INLINE void name(const number *weights, const number *readouts, int64_t rows, int64_t size, total *sums) {      \
        int64_t r = 0;                                                                                              \
        for (; r + ROWS <= rows; r += ROWS) name##_four(weights, readouts + r * size, size, size, sums + r);        \
        for (; r < rows; r++) name##_one(weights, readouts + r * size, size, sums + r);                             \
    }

DOTS(float_dots, float, float)
DOTS(short_dots, int16_t, int32_t)

enum { AHEAD = 4, CACHE_LINE = 64 };

/* The rows needed are scattered over a matrix larger than most caches: prefetch them. */
INLINE void prefetch(const listed_product_run *run, int64_t v, arithmetic kind) {
    int64_t bytes = kind == IN_INT8 ? 1 : kind == IN_BFLOAT16 ? 2 : 4;
    const char *start = (const char *)run->weights_VD.data + v * run->weights_VD.outer * bytes;
    for (int64_t at = 0; at < run->D * bytes; at += CACHE_LINE) __builtin_prefetch(start + at);
}

enum { BLOCK = 8 }; /* hypotheses of a sentence that share a row of weights, kept on the stack */

/* Hypotheses r to r + rows of one sentence. Bytes are widened to 16 bits; a row of floats is rounded and summed in the
 * same order whoever else is in the batch. */
INLINE void project_block(const listed_product_run *run, int64_t r, int64_t rows, int64_t b, arithmetic kind) {
    int64_t count = integer(run->counts_B, b), size = run->D;
    const int64_t *symbols = (const int64_t *)run->symbols_BN.data + b * run->symbols_BN.outer;
    const float *bias = run->bias_V.data;
    float readouts[BLOCK * size], weights[size], sums[BLOCK];
    int16_t short_readouts[BLOCK * size], short_weights[size];
    int32_t short_sums[BLOCK];
    for (int64_t k = 0; k < rows; k++) {
        const void *values = row(run->readouts_RD.values, r + k, 0, stored(kind));
        const int8_t *bytes = (const int8_t *)run->readouts_RD.values.data + (r + k) * run->readouts_RD.values.outer;
        for (int64_t d = 0; d < size; d++)
            if (kind == IN_INT8) short_readouts[k * size + d] = bytes[d];
            else readouts[k * size + d] = get(values, d, stored(kind));
    }
    for (int64_t n = 0; n < count; n++) {
        int64_t v = symbols[n];
        if (n + AHEAD < count) prefetch(run, symbols[n + AHEAD], kind);
        if (kind == IN_INT8) {
            const int8_t *bytes = (const int8_t *)run->weights_VD.data + v * run->weights_VD.outer;
            const float *scales = (const float *)run->readouts_RD.scales.data + r, *shared = run->weight_scales_V.data;
            for (int64_t d = 0; d < size; d++) short_weights[d] = bytes[d];
            short_dots(short_weights, short_readouts, rows, size, short_sums);
            for (int64_t k = 0; k < rows; k++) sums[k] = short_sums[k] * (scales[k] * shared[v]);
        } else {
            const void *values = row(run->weights_VD, v, 0, stored(kind));
            for (int64_t d = 0; d < size; d++) weights[d] = get(values, d, stored(kind));
            float_dots(weights, readouts, rows, size, sums);
        }
        for (int64_t k = 0; k < rows; k++) ((float *)row(run->logits_RN, r + k, 0, FLOAT32))[n] = sums[k] + bias[v];
    }
    for (int64_t k = 0; k < rows; k++)
        for (int64_t n = count; n < run->N; n++)
            ((float *)row(run->logits_RN, r + k, 0, FLOAT32))[n] = -__builtin_inff();
}

INLINE void project_listed(const listed_product_run *run, int64_t i, arithmetic kind) {
    int64_t beam = run->R / run->b;
    for (int64_t r = i * beam; r < (i + 1) * beam; r += BLOCK) {
        int64_t rows = (i + 1) * beam - r;
        project_block(run, r, rows < BLOCK ? rows : BLOCK, integer(run->sentences_b, i), kind);
    }
}

INLINE void rank_listed(const listed_ranking_run *run, int64_t first, int64_t r, arithmetic kind) {
    int64_t b = sentence_of(run->sentences_b, r, run->R / run->b);
    product_row from = {row(run->logits_RN, r, 0, FLOAT32), 1.0f, 0};
    rank_row(from, 0, integer(run->counts_B, b), run->C, first, 0, row(run->log_probs_RC, r, 0, FLOAT32),
             (int64_t *)run->best_RC.data + r * run->best_RC.outer, (float *)run->ends_R.data + r, 0, kind);
}

/* ---- rows for the products ---- */

INLINE void prepare(const operand_run *run, int64_t r, arithmetic kind) {
    put_operand(run->operands_RN, r, row(run->numbers_RN, r, 0, FLOAT32), run->N, kind);
}

/* ---- each function for each arithmetic, its rows (or sentences) shared among the threads ---- */

#define IN(suffix, kind, name, count, parameters, ...)                        \
    void name##_##suffix parameters {                                         \
        _Pragma("omp parallel for num_threads(threads) schedule(static)")     \
        for (int64_t i = 0; i < count; i++) name(__VA_ARGS__, i, kind);       \
    }
#define IN_EACH(...)                      \
    IN(float32, IN_FLOAT32, __VA_ARGS__)  \
    IN(bfloat16, IN_BFLOAT16, __VA_ARGS__) \
    IN(int8, IN_INT8, __VA_ARGS__)

IN_EACH(prepare, run->R, (const operand_run *run, int threads), run)
IN_EACH(attend, run->R, (const attention_run *run, int threads), run)
IN_EACH(advance, run->R, (const gru_run *run, int threads), run)
IN_EACH(read_out, run->R, (const readout_run *run, int threads), run)
IN_EACH(rank, run->R, (const ranking_run *run, int64_t first, int64_t end, int threads), run, first, end)
IN_EACH(rank_mean, run->R, (const mean_ranking_run *run, int64_t first, int64_t end, int threads), run, first, end)
IN_EACH(project_listed, run->b, (const listed_product_run *run, int threads), run)
IN(float32, IN_FLOAT32, rank_listed, run->R, (const listed_ranking_run *run, int64_t first, int threads), run, first)
