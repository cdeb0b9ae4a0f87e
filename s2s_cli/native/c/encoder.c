/* The encoder: a direction of a layer, what the attention reads of its states, and the first states of the decoder. */

#include "passes.h"

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

/* ---- each function for each arithmetic ---- */

#define IN_EACH(suffix, kind) \
    void read_##suffix(const reading_run *run, int64_t is_backwards, int threads) {                   \
        SHARED(i, (run->B + SENTENCES - 1) / SENTENCES)                                               \
        read_block(run, i * SENTENCES, least(SENTENCES, run->B - i * SENTENCES), is_backwards, kind); \
    }                                                                                                 \
    void hold_##suffix(const holding_run *run, int threads) {                                         \
        SHARED(i, (run->B + SENTENCES - 1) / SENTENCES)                                               \
        hold_block(run, i * SENTENCES, least(SENTENCES, run->B - i * SENTENCES), kind);               \
    }                                                                                                 \
    void begin_##suffix(const beginning_run *run, int threads) {                                      \
        SHARED(i, (run->B + SENTENCES - 1) / SENTENCES)                                               \
        begin_block(run, i * SENTENCES, least(SENTENCES, run->B - i * SENTENCES), kind);              \
    }

IN_EACH(float32, IN_FLOAT32)
IN_EACH(int8, IN_INT8)
