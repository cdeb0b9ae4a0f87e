/* Passes of the fused recurrences, and softmax cross-entropy: the loops between two matrix products, each one pass.
 *
 * They implement the reference in model/kernels/aten.py. Sentences (or rows) are shared among the threads, and no sum
 * crosses a sentence: results do not depend on the number of threads.
 */

#include "numbers.h"

/* The records of native/training.py, field by field. */
typedef struct {
    int64_t B, H;
    view inputs_TBG, products_TBG, bias_G, valid_TB, previous_TBH, following_TBH, carry_BH;
} gru_run;

typedef struct {
    gru_run run;
    view d_states_TBH, d_feedback_BH, d_inputs_TBG, d_products_TBG, d_carry_BH;
} gru_gradients;

typedef struct {
    int64_t B, H;
    view inputs_TBG, bias_H, valid_TB, previous_TBH, following_TBH, carry_BH;
} blend_run;

typedef struct {
    blend_run run;
    view d_states_TBH, d_inputs_TBG, d_carry_BH;
} blend_gradients;

typedef struct {
    int64_t B, S, A, M;
    view queries_TBA, keys_BSA, energy_A, memory_BSM, valid_BS, attention_TBS, contexts_TBM;
} attention_run;

typedef struct {
    attention_run run;
    view d_attention_TBS, d_contexts_TBM, d_queries_TBA, d_keys_BSA, d_energy_BA;
} attention_gradients;

typedef struct {
    int64_t T, B, S, M;
    view attention_TBS, d_contexts_TBM, d_memory_BSM;
} memory_gradient;

typedef struct {
    int64_t N, V;
    view logits_NV, bias_V, targets_N, loss_N, likelihood_N;
} softmax_run;

/* ---- along a sequence ---- */

/* A pass of native/calls.py, or a product: a function of a position, and its record. */
typedef struct {
    void (*function)(const void *record, int64_t t, int threads);
    const void *record;
} pass;

/* All passes at a position, then all at the next. */
void call_along(const pass *passes, int64_t count, int64_t first, int64_t positions, int64_t step, int threads) {
    for (int64_t t = first; positions > 0; t += step, positions--)
        for (int64_t i = 0; i < count; i++) passes[i].function(passes[i].record, t, threads);
}

/* ---- the gated recurrent unit ---- */

INLINE void gru_forward(const gru_run *run, int64_t t, int64_t b, storage kind) {
    const void *x = row(run->inputs_TBG, t, b, kind), *u = row(run->products_TBG, t, b, kind);
    const float *bias = run->bias_G.data;
    float *carry = row(run->carry_BH, b, 0, FLOAT32);
    void *following = row(run->following_TBH, t, b, kind);
    float keep = !run->valid_TB.data || is_set(run->valid_TB, t, b);
#pragma omp simd
    for (int64_t i = 0; i < run->H; i++) {
        int64_t j = i + run->H, k = j + run->H;
        float reset = sigmoid(get(x, i, kind) + get(u, i, kind) + bias[i]);
        float update = sigmoid(get(x, j, kind) + get(u, j, kind) + bias[j]);
        float new = hyperbolic_tangent(get(x, k, kind) + reset * (get(u, k, kind) + bias[k]));
        carry[i] = keep * (new + update * (carry[i] - new));
        put(following, i, carry[i], kind);
    }
}

INLINE void gru_backward(const gru_gradients *gradients, int64_t t, int64_t b, storage kind) {
    const gru_run *run = &gradients->run;
    const void *x = row(run->inputs_TBG, t, b, kind), *u = row(run->products_TBG, t, b, kind);
    const void *previous = row(run->previous_TBH, t, b, kind);
    const void *outside = row(gradients->d_states_TBH, t, b, kind);
    const void *feedback = row(gradients->d_feedback_BH, b, 0, kind);
    const float *bias = run->bias_G.data;
    float *carry = row(gradients->d_carry_BH, b, 0, FLOAT32);
    void *dx = row(gradients->d_inputs_TBG, t, b, kind), *du = row(gradients->d_products_TBG, t, b, kind);
    float keep = !run->valid_TB.data || is_set(run->valid_TB, t, b);
#pragma omp simd
    for (int64_t i = 0; i < run->H; i++) {
        int64_t j = i + run->H, k = j + run->H;
        float product_new = get(u, k, kind) + bias[k];
        float reset = sigmoid(get(x, i, kind) + get(u, i, kind) + bias[i]);
        float update = sigmoid(get(x, j, kind) + get(u, j, kind) + bias[j]);
        float new = hyperbolic_tangent(get(x, k, kind) + reset * product_new);
        float d_state = keep * (carry[i] + get(feedback, i, kind) + get(outside, i, kind));
        float d_new = d_state * (1.0f - update) * (1.0f - new * new);
        float d_reset = d_new * product_new * reset * (1.0f - reset);
        float d_update = d_state * (get(previous, i, kind) - new) * update * (1.0f - update);
        carry[i] = d_state * update;
        put(dx, i, d_reset, kind);
        put(dx, j, d_update, kind);
        put(dx, k, d_new, kind);
        put(du, i, d_reset, kind);
        put(du, j, d_update, kind);
        put(du, k, d_new * reset, kind);
    }
}

/* ---- cells whose gates see the input only ---- */

INLINE void blend_forward(const blend_run *run, int64_t t, int64_t b, storage kind) {
    const void *x = row(run->inputs_TBG, t, b, kind);
    const float *bias = run->bias_H.data;
    float *carry = row(run->carry_BH, b, 0, FLOAT32);
    void *following = row(run->following_TBH, t, b, kind);
    float keep = !run->valid_TB.data || is_set(run->valid_TB, t, b);
#pragma omp simd
    for (int64_t i = 0; i < run->H; i++) {
        float forget = sigmoid(get(x, i, kind) + bias[i]), new = get(x, i + run->H, kind);
        carry[i] = keep * (new + forget * (carry[i] - new));
        put(following, i, carry[i], kind);
    }
}

INLINE void blend_backward(const blend_gradients *gradients, int64_t t, int64_t b, storage kind) {
    const blend_run *run = &gradients->run;
    const void *x = row(run->inputs_TBG, t, b, kind), *previous = row(run->previous_TBH, t, b, kind);
    const void *outside = row(gradients->d_states_TBH, t, b, kind);
    const float *bias = run->bias_H.data;
    float *carry = row(gradients->d_carry_BH, b, 0, FLOAT32);
    void *dx = row(gradients->d_inputs_TBG, t, b, kind);
    float keep = !run->valid_TB.data || is_set(run->valid_TB, t, b);
#pragma omp simd
    for (int64_t i = 0; i < run->H; i++) {
        float forget = sigmoid(get(x, i, kind) + bias[i]), new = get(x, i + run->H, kind);
        float d_state = keep * (carry[i] + get(outside, i, kind));
        put(dx, i, d_state * (get(previous, i, kind) - new) * forget * (1.0f - forget), kind);
        put(dx, i + run->H, d_state * (1.0f - forget), kind);
        carry[i] = d_state * forget;
    }
}

/* ---- additive attention ---- */

enum { BLOCK = 64 }; /* sums over the source are computed for this many columns at a time, and stay in the cache */

INLINE int64_t block(int64_t start, int64_t size) { return size - start < BLOCK ? size - start : BLOCK; }

INLINE void attention_forward(const attention_run *run, int64_t t, int64_t b, storage kind) {
    const void *query = row(run->queries_TBA, t, b, kind);
    const float *energy = run->energy_A.data;
    float *attention = row(run->attention_TBS, t, b, FLOAT32);
    float greatest = -__builtin_inff(), total = 0.0f;
    for (int64_t s = 0; s < run->S; s++) {
        if (!is_set(run->valid_BS, b, s)) continue;
        const void *key = row(run->keys_BSA, b, s, kind);
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t a = 0; a < run->A; a++)
            sum += energy[a] * hyperbolic_tangent(get(query, a, kind) + get(key, a, kind));
        attention[s] = sum;
        greatest = sum > greatest ? sum : greatest;
    }
    for (int64_t s = 0; s < run->S; s++) {
        attention[s] = is_set(run->valid_BS, b, s) ? exponential(attention[s] - greatest) : 0.0f;
        total += attention[s];
    }
    for (int64_t s = 0; s < run->S; s++) attention[s] /= total;
    void *context = row(run->contexts_TBM, t, b, kind);
    for (int64_t start = 0; start < run->M; start += BLOCK) {
        int64_t columns = block(start, run->M);
        float sums[BLOCK] = {0};
        for (int64_t s = 0; s < run->S; s++) {
            const void *memory = row(run->memory_BSM, b, s, kind);
#pragma omp simd
            for (int64_t i = 0; i < columns; i++) sums[i] += attention[s] * get(memory, start + i, kind);
        }
        for (int64_t i = 0; i < columns; i++) put(context, start + i, sums[i], kind);
    }
}

INLINE void attention_backward(const attention_gradients *gradients, int64_t t, int64_t b, storage kind) {
    const attention_run *run = &gradients->run;
    const void *query = row(run->queries_TBA, t, b, kind);
    const void *d_context = row(gradients->d_contexts_TBM, t, b, kind);
    const float *energy = run->energy_A.data, *attention = row(run->attention_TBS, t, b, FLOAT32);
    const view outside = gradients->d_attention_TBS;
    const float *d_attention = outside.data ? row(outside, t, b, FLOAT32) : NULL;
    float d_energies[run->S], mean = 0.0f;
    for (int64_t s = 0; s < run->S; s++) {
        d_energies[s] = attention[s] == 0.0f ? 0.0f : dot(row(run->memory_BSM, b, s, kind), d_context, run->M, kind);
        if (d_attention && attention[s] != 0.0f) d_energies[s] += d_attention[s];
        mean += attention[s] * d_energies[s];
    }
    for (int64_t s = 0; s < run->S; s++) d_energies[s] = attention[s] * (d_energies[s] - mean);
    void *d_query = row(gradients->d_queries_TBA, t, b, kind);
    float *d_energy = row(gradients->d_energy_BA, b, 0, FLOAT32);
    for (int64_t start = 0; start < run->A; start += BLOCK) {
        int64_t columns = block(start, run->A);
        float query_sums[BLOCK] = {0}, energy_sums[BLOCK] = {0};
        for (int64_t s = 0; s < run->S; s++) {
            if (d_energies[s] == 0.0f) continue; /* padding */
            const void *key = row(run->keys_BSA, b, s, kind);
            float *d_key = (float *)row(gradients->d_keys_BSA, b, s, FLOAT32) + start;
#pragma omp simd
            for (int64_t i = 0; i < columns; i++) {
                float value = hyperbolic_tangent(get(query, start + i, kind) + get(key, start + i, kind));
                float d_sum = d_energies[s] * energy[start + i] * (1.0f - value * value);
                d_key[i] += d_sum;
                query_sums[i] += d_sum;
                energy_sums[i] += d_energies[s] * value;
            }
        }
        for (int64_t i = 0; i < columns; i++) {
            put(d_query, start + i, query_sums[i], kind);
            d_energy[start + i] += energy_sums[i];
        }
    }
}

/* The gradient in the encoder states of a sentence, of all positions at once: eight states together, so that each
 * context's is read seldom. */
INLINE void attention_memory(const memory_gradient *run, int64_t b) {
    enum { TOGETHER = 8 };
    const storage kind = BFLOAT16;
    for (int64_t first = 0; first < run->S; first += TOGETHER)
        for (int64_t start = 0; start < run->M; start += BLOCK) {
            int64_t columns = block(start, run->M), states = run->S - first < TOGETHER ? run->S - first : TOGETHER;
            float sums[TOGETHER][BLOCK] = {{0}};
            for (int64_t t = 0; t < run->T; t++) {
                const float *attention = (const float *)row(run->attention_TBS, t, b, FLOAT32) + first;
                const void *d_context = row(run->d_contexts_TBM, t, b, kind);
                float numbers[BLOCK];
                for (int64_t i = 0; i < columns; i++) numbers[i] = get(d_context, start + i, kind);
                for (int64_t s = 0; s < states; s++) {
#pragma omp simd
                    for (int64_t i = 0; i < columns; i++) sums[s][i] += attention[s] * numbers[i];
                }
            }
            for (int64_t s = 0; s < states; s++)
                for (int64_t i = 0; i < columns; i++)
                    put(row(run->d_memory_BSM, b, first + s, kind), start + i, sums[s][i], kind);
        }
}

/* ---- softmax and cross-entropy ---- */

INLINE void cross_entropy(const softmax_run *run, float smoothing, int64_t n, storage kind) {
    void *logits = row(run->logits_NV, n, 0, kind);
    const float *bias = run->bias_V.data;
    int64_t symbols = run->V, target = ((const int64_t *)run->targets_N.data)[n];
    float expected = get(logits, target, kind) + bias[target], greatest = expected, sum = 0.0f, total = 0.0f;
#pragma omp simd reduction(max : greatest) reduction(+ : sum)
    for (int64_t v = 0; v < symbols; v++) {
        float logit = get(logits, v, kind) + bias[v];
        greatest = logit > greatest ? logit : greatest;
        sum += logit;
    }
#pragma omp simd reduction(+ : total)
    for (int64_t v = 0; v < symbols; v++) {
        float value = exponential(get(logits, v, kind) + bias[v] - greatest);
        total += value;
        put(logits, v, value, kind);
    }
    float normaliser = greatest + __builtin_logf(total), share = smoothing / symbols, scale = 1.0f / total;
    ((float *)run->likelihood_N.data)[n] = normaliser - expected;
    ((float *)run->loss_N.data)[n] = normaliser - (1.0f - smoothing) * expected - share * sum;
#pragma omp simd
    for (int64_t v = 0; v < symbols; v++) put(logits, v, get(logits, v, kind) * scale - share, kind);
    put(logits, target, exponential(expected - greatest) * scale - share - (1.0f - smoothing), kind);
}

/* ---- each pass for each storage, its sentences or rows shared among the threads ---- */

/* The loops stand outside of the functions because OpenMP makes functions of them before anything is inlined. */
#define PASS(name, count, parameters, ...)                                  \
    void name##_float32 parameters {                                        \
        _Pragma("omp parallel for num_threads(threads) schedule(static)")   \
        for (int64_t i = 0; i < count; i++) name(__VA_ARGS__, i, FLOAT32);  \
    }                                                                       \
    void name##_bfloat16 parameters {                                       \
        _Pragma("omp parallel for num_threads(threads) schedule(static)")   \
        for (int64_t i = 0; i < count; i++) name(__VA_ARGS__, i, BFLOAT16); \
    }

PASS(gru_forward, run->B, (const gru_run *run, int64_t t, int threads), run, t)
PASS(gru_backward, gradients->run.B, (const gru_gradients *gradients, int64_t t, int threads), gradients, t)
PASS(blend_forward, run->B, (const blend_run *run, int64_t t, int threads), run, t)
PASS(blend_backward, gradients->run.B, (const blend_gradients *gradients, int64_t t, int threads), gradients, t)
PASS(attention_forward, run->B, (const attention_run *run, int64_t t, int threads), run, t)
PASS(attention_backward, gradients->run.B, (const attention_gradients *gradients, int64_t t, int threads), gradients, t)
PASS(cross_entropy, run->N, (const softmax_run *run, float smoothing, int threads), run, smoothing)

/* In float32 torch's products are as good. */
void attention_memory_bfloat16(const memory_gradient *run, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t b = 0; b < run->B; b++) attention_memory(run, b);
}
