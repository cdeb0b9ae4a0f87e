/* Matrix products of decoding: rows [R, K] times weights [N, K], which are packed once (native/products.py).
 *
 * Packed weights are blocks of COLUMNS outputs, which hold for each step along K one word of 32 bits for each column:
 * a float, or four 8-bit weights. The results of a tile, some rows of one or more blocks, stay in registers while k runs
 * from 0 to K. Each is summed in the order of k, whatever the width of the vectors and the number of rows.
 */

#include "numbers.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* The record of native/products.py. */
typedef struct {
    int64_t R, N, K;
    view rows_RK, packed_PQ, products_RN;
} product_run;

/* Lanes of a vector, and how many vectors hold the results of a tile: the other registers hold weights and inputs. */
#if defined(__AVX512F__)
enum { LANES = 16, RESULTS = 24 };
#else
enum { LANES = 4, RESULTS = 8 };
#endif

enum { COLUMNS = 32, PARTS = COLUMNS / LANES, TILE = RESULTS / PARTS, WORD = 4 };

typedef int32_t words __attribute__((vector_size(LANES * WORD)));
typedef float floats __attribute__((vector_size(LANES * WORD)));
typedef words words_in_memory __attribute__((aligned(WORD), may_alias));

typedef enum { IN_FLOAT32, IN_INT8 } arithmetic; /* a constant after inlining */

/* ---- one step: sums + weights * input, where a word of weights belongs to each lane ---- */

/* Weights are stored as weight + 128, without a sign, and inputs have one: so it is done in one instruction. */
#if defined(__AVX512VNNI__)
INLINE words add_int8(words sums, words weights, int32_t input) {
    return (words)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)weights, _mm512_set1_epi32(input));
}
#else
INLINE words add_int8(words sums, words weights, int32_t input) {
    for (int byte = 0; byte < WORD; byte++)
        sums += (weights >> 8 * byte & 255) * (int32_t)(int8_t)(input >> 8 * byte);
    return sums;
}
#endif

INLINE words add_float32(words sums, words weights, int32_t input) {
    return (words)((floats)sums + (floats)weights * from_bits((uint32_t)input));
}

/* Rows or blocks that are so many bytes apart. An x86 address is a base and 0, 1 or 2 times a stride: a base for each
 * three needs few registers. */
typedef struct {
    const char *bases[(TILE + 2) / 3];
    int64_t stride;
} rows_at;

INLINE rows_at every(const char *first, int64_t stride) {
    rows_at result = {.stride = stride};
#pragma GCC unroll 32
    for (int i = 0; i < (TILE + 2) / 3; i++) {
        result.bases[i] = first + 3 * i * stride;
        __asm__("" : "+r"(result.bases[i])); /* or the compiler keeps all sums in memory */
    }
    return result;
}

INLINE const char *at(const rows_at *from, int i) { return from->bases[i / 3] + i % 3 * from->stride; }

INLINE void advance(rows_at *from, int64_t bytes, int count) {
#pragma GCC unroll 32
    for (int i = 0; i < (count + 2) / 3; i++) from->bases[i] += bytes;
}

/* A step of a tile. */
INLINE void add_step(words *sums, const rows_at *inputs, const rows_at *weights, int rows, int blocks, arithmetic kind) {
#pragma GCC unroll 32
    for (int j = 0; j < blocks * PARTS; j++) {
        words w = *(const words_in_memory *)(at(weights, j / PARTS) + j % PARTS * LANES * WORD);
#pragma GCC unroll 32
        for (int i = 0; i < rows; i++) {
            int32_t input;
            memcpy(&input, at(inputs, i), WORD);
            words *sum = sums + i * blocks * PARTS + j;
            *sum = kind == IN_INT8 ? add_int8(*sum, w, input) : add_float32(*sum, w, input);
        }
    }
}

/* ---- tiles ---- */

/* What the 128 that each weight has too much adds to a sum. */
INLINE int32_t surplus_of(const int8_t *inputs, int64_t size) {
    int32_t sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t k = 0; k < size; k++) sum += inputs[k];
    return 128 * sum;
}

INLINE void tile(const product_run *run, const int32_t *surplus, int64_t r, int64_t block, int rows, int blocks,
                 arithmetic kind) {
    int64_t bytes = kind == IN_INT8 ? 1 : WORD, whole = run->K * bytes / WORD, rest = run->K * bytes % WORD;
    int64_t row_bytes = run->rows_RK.outer * bytes, block_bytes = run->packed_PQ.outer * bytes;
    rows_at inputs = every((const char *)run->rows_RK.data + r * row_bytes, row_bytes);
    rows_at weights = every((const char *)run->packed_PQ.data + block * block_bytes, block_bytes);
    words sums[RESULTS];
#pragma GCC unroll 32
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 32
        for (int j = 0; j < blocks * PARTS; j++)
            sums[i * blocks * PARTS + j] = (words){} - (kind == IN_INT8 ? surplus[r + i] : 0);
    for (int64_t k = 0; k < whole; k++) {
        add_step(sums, &inputs, &weights, rows, blocks, kind);
        advance(&inputs, WORD, rows);
        advance(&weights, COLUMNS * WORD, blocks);
    }
    if (rest) {
        char last[TILE][WORD] = {};
        for (int i = 0; i < rows; i++) memcpy(last[i], at(&inputs, i), rest);
        rows_at ends = every(last[0], WORD);
        add_step(sums, &ends, &weights, rows, blocks, kind);
    }
#pragma GCC unroll 32
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 32
        for (int b = 0; b < blocks; b++) {
            int64_t n = (block + b) * COLUMNS, columns = run->N - n < COLUMNS ? run->N - n : COLUMNS;
            int32_t *to = (int32_t *)run->products_RN.data + (r + i) * run->products_RN.outer + n;
            words part[PARTS];
            memcpy(part, sums + (i * blocks + b) * PARTS, COLUMNS * WORD);
            if (columns == COLUMNS) memcpy(to, part, COLUMNS * WORD);
            else memcpy(to, part, columns * WORD);
        }
}

/* ---- all tiles of a strip of blocks ---- */

/* Blocks of a tile: few rows have several, so that there are enough sums for one not to wait for another. */
INLINE int blocks_of(int rows) { return rows <= TILE / 4 ? 4 : rows <= TILE / 2 ? 2 : 1; }

INLINE void tiles(const product_run *run, const int32_t *surplus, int64_t r, int64_t block, int64_t end, int rows, arithmetic kind) {
    for (; block + blocks_of(rows) <= end; block += blocks_of(rows)) tile(run, surplus, r, block, rows, blocks_of(rows), kind);
    for (; block < end; block++) tile(run, surplus, r, block, rows, 1, kind);
}

enum { STRIP = 4 };

/* Rows are cut in tiles of nearly the same size. */
INLINE void multiply(const product_run *run, const int32_t *surplus, int64_t strip, arithmetic kind) {
    int64_t blocks = (run->N + COLUMNS - 1) / COLUMNS, block = strip * STRIP;
    int64_t end = block + STRIP < blocks ? block + STRIP : blocks;
    for (int64_t r = 0, left = (run->R + TILE - 1) / TILE, rows; left > 0; r += rows, left--) {
        rows = (run->R - r + left - 1) / left;
#define ROWS(n) case n: if (n <= TILE) tiles(run, surplus, r, block, end, n, kind); break;
        switch (rows) {
            ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6) ROWS(7) ROWS(8) ROWS(9) ROWS(10) ROWS(11) ROWS(12)
        }
    }
}

enum { STRIP_COLUMNS = STRIP * COLUMNS };

void multiply_float32(const product_run *run, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t strip = 0; strip < (run->N + STRIP_COLUMNS - 1) / STRIP_COLUMNS; strip++)
        multiply(run, 0, strip, IN_FLOAT32);
}

void multiply_int8(const product_run *run, int threads) {
    int32_t surplus[run->R + 1];
    for (int64_t r = 0; r < run->R; r++)
        surplus[r] = surplus_of((const int8_t *)run->rows_RK.data + r * run->rows_RK.outer, run->K);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t strip = 0; strip < (run->N + STRIP_COLUMNS - 1) / STRIP_COLUMNS; strip++)
        multiply(run, surplus, strip, IN_INT8);
}
