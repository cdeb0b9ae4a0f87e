/* The product with the output weights, and the best symbols: of a model, of an ensemble, of sentences with lists. */

#include "passes.h"

typedef struct {
    int64_t B, N, D, P;
    view weights_VD, symbols_BN, packed_BPQ;
} gathering_run;

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

/* The weights of the symbols of a list, packed as native/products.py says. The last one fills the last block. */
INLINE void gather_block(const gathering_run *run, int64_t b, int64_t block, arithmetic kind) {
    const char *rows[PACKED];
    int64_t bytes = kind == IN_INT8 ? 1 : 4, size = run->D * bytes, whole = size / 4, words = (run->D + 3) / 4 * bytes;
    const int64_t *symbols = (const int64_t *)run->symbols_BN.data + b * run->symbols_BN.outer;
    uint32_t *to = (uint32_t *)((char *)run->packed_BPQ.data +
                                (b * run->packed_BPQ.outer + block * run->packed_BPQ.inner) * bytes);
    for (int64_t i = 0; i < PACKED; i++) {
        int64_t v = symbols[least(block * PACKED + i, run->N - 1)];
        rows[i] = (const char *)run->weights_VD.data + v * run->weights_VD.outer * bytes;
    }
    for (int64_t k = 0; k < words; k++)
        for (int64_t i = 0; i < PACKED; i++) {
            uint32_t word = 0;
            if (k < whole) memcpy(&word, rows[i] + 4 * k, 4);
            else memcpy(&word, rows[i] + 4 * k, least(4, size > 4 * k ? size - 4 * k : 0));
            word ^= kind == IN_INT8 ? 0x80808080 : 0;
            memcpy(to + k * PACKED + i, &word, 4);
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

/* ---- each function for each arithmetic ---- */

#define IN_EACH(suffix, kind) \
    void gather_##suffix(const gathering_run *run, int threads) {                                             \
        SHARED(b, run->B) for (int64_t block = 0; block < run->P; block++) gather_block(run, b, block, kind); \
    }                                                                                                         \
    void project_##suffix(const projection_run *run, int threads) {                                           \
        SHARED(i, all_blocks(run->R, run->b)) project_block(run, i, kind);                                    \
    }                                                                                                         \
    void rank_##suffix(const ranking_run *run, int64_t first, int64_t end, int threads) {                     \
        SHARED(i, all_blocks(run->R, run->b)) rank_block(run, first, end, i, kind);                           \
    }

IN_EACH(float32, IN_FLOAT32)
IN_EACH(int8, IN_INT8)

void rank_mean_float32(const mean_ranking_run *run, int64_t first, int64_t end, int threads) {
    SHARED(r, run->R) rank_mean(run, first, end, r);
}
