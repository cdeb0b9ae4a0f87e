/* Matrix products: rows [R, K] times weights [N, K], which are packed once (native/products.py).
 *
 * Packed weights are blocks of COLUMNS outputs, which hold for each step along K one word of 32 bits for each column:
 * a float, two of bfloat16, or four 8-bit weights. The results of a tile, some rows of one or more blocks, stay in
 * registers while k runs from 0 to K. Each is summed in the order of k, whatever the width of the vectors and the number
 * of rows.
 */

#include "numbers.h"
#include "vectors.h"
#include "products.h"

/* The other records of native/products.py. */
typedef struct {
    int64_t M, N;
    view numbers_MN, transposed_NM;
} transposition;

typedef struct {
    int64_t R, N, K, X;
    view rows_TRK, packed_PQ, products_XRN, addends_TRN;
} sequence_run;

typedef struct {
    int64_t N, K;
    view weights_NK, packed_PQ;
} packing;

typedef struct {
    int64_t N, K;
    view weights_KN, packed_PQ;
} transposed_packing;

/* How many vectors hold the results of a tile, and its greatest number of rows: the registers that are left are for
 * weights and inputs. */
#if LANES == 16
enum { RESULTS = 24, TILE = 10 };
#elif LANES == 8
enum { RESULTS = 12, TILE = 3 };
#elif defined(NEON)
enum { RESULTS = 24, TILE = 3 };
#else
enum { RESULTS = 8, TILE = 1 };
#endif

enum { COLUMNS = 32, PARTS = COLUMNS / LANES, WORD = 4, GROUP = 4, UPPER = ~0xffff };

/* ---- one step: sums + weights * inputs. A lane has a word of weights of its own, and all have the same inputs ---- */

INLINE words add_float32(words sums, words weights, words inputs) {
    return (words)((floats)sums + (floats)weights * (floats)inputs);
}

/* Four 8-bit inputs, with a sign, and four weights stored as weight + 128, without one: so x86 has an instruction. */
#if defined(__AVX512VNNI__)
enum { EXCESS = 128 };
INLINE words add_int8(words sums, words weights, words inputs) {
    return (words)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)weights, (__m512i)inputs);
}
#elif defined(__AVXVNNI__)
enum { EXCESS = 128 };
INLINE words add_int8(words sums, words weights, words inputs) {
    return (words)_mm256_dpbusd_avx_epi32((__m256i)sums, (__m256i)weights, (__m256i)inputs);
}
#elif defined(__ARM_FEATURE_DOTPROD) && defined(NEON)
enum { EXCESS = 0 };
INLINE words add_int8(words sums, words weights, words inputs) {
    return (words)vdotq_s32((int32x4_t)sums, (int8x16_t)(weights ^ 0x80808080), (int8x16_t)inputs);
}
#else
enum { EXCESS = 128 };

/* Products of 16 bits, which hold them all, and the sum of each two. */
INLINE words add_pairs(words sums, halves a, halves b) {
#if LANES == 16
    return sums + (words)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif LANES == 8
    return sums + (words)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(NEON)
    return (words)vpadalq_s16((int32x4_t)sums, (int16x8_t)(a * b));
#elif defined(SSE2)
    return sums + (words)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
    words products = (words)(a * b);
    return sums + (products << 16 >> 16) + (products >> 16);
#endif
}

INLINE words add_int8(words sums, words weights, words inputs) {
    halves odd = (halves)((unsigned_halves)weights >> 8), even = (halves)weights & 255;
    return add_pairs(add_pairs(sums, even, (halves)inputs << 8 >> 8), odd, (halves)inputs >> 8);
}
#endif

/* Two inputs of bfloat16, and two weights. */
INLINE words add_bfloat16(words sums, words weights, words inputs) {
#if defined(__AVX512BF16__)
    return (words)_mm512_dpbf16_ps((__m512)sums, (__m512bh)weights, (__m512bh)inputs);
#else
    floats first = (floats)(weights << 16) * (floats)(inputs << 16);
    return (words)((floats)sums + first + (floats)(weights & UPPER) * (floats)(inputs & UPPER));
#endif
}

typedef enum { IN_FLOAT32, IN_INT8, IN_BFLOAT16 } arithmetic; /* a constant after inlining */

INLINE int64_t bytes_of(arithmetic kind) { return kind == IN_INT8 ? 1 : kind == IN_BFLOAT16 ? 2 : 4; }

/* ---- tiles ---- */

/* Rows or blocks that are so many bytes apart. An x86 address is a base and 0, 1 or 2 times a stride: a base for each
 * three of them needs few registers. */
enum { MOST = 10, BASES = (MOST + 2) / 3 };
typedef struct {
    const char *bases[BASES];
    int64_t stride;
} rows_at;

INLINE rows_at every(const char *first, int64_t stride, int count) {
    rows_at result = {.stride = stride};
    UNROLLED for (int i = 0; i < (count + 2) / 3; i++) {
        result.bases[i] = first + 3 * i * stride;
        __asm__("" : "+r"(result.bases[i])); /* or the compiler keeps all sums in memory */
    }
    return result;
}

INLINE const char *at(const rows_at *from, int i) { return from->bases[i / 3] + i % 3 * from->stride; }

INLINE void advance(rows_at *from, int64_t bytes, int count) {
    UNROLLED for (int i = 0; i < (count + 2) / 3; i++) from->bases[i] += bytes;
}

/* A step of a tile. */
INLINE void add_step(words *sums, const rows_at *inputs, const rows_at *weights, int rows, int blocks, arithmetic kind) {
    UNROLLED for (int j = 0; j < blocks * PARTS; j++) {
        words w = *(const words_in_memory *)(at(weights, j / PARTS) + j % PARTS * LANES * WORD);
        UNROLLED for (int i = 0; i < rows; i++) {
            words x = (words){} + *(const word_in_memory *)at(inputs, i), *sum = sums + i * blocks * PARTS + j;
            *sum = kind == IN_INT8       ? add_int8(*sum, w, x)
                   : kind == IN_BFLOAT16 ? add_bfloat16(*sum, w, x)
                                         : add_float32(*sum, w, x);
        }
    }
}

/* What the EXCESS of each weight adds to a sum. */
INLINE int32_t surplus_of(const int8_t *inputs, int64_t size) {
    int32_t sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t k = 0; k < size; k++) sum += inputs[k];
    return EXCESS * sum;
}

/* The sums of a row and a block, and what is added to them, to where they are wanted. */
INLINE void put_sums(const product_run *run, int64_t r, int64_t n, const words *sums, storage kind) {
    int64_t columns = run->N - n < COLUMNS ? run->N - n : COLUMNS;
    void *to = row(run->products_RN, r, 0, kind);
    const void *addends = run->addends_RN.data ? row(run->addends_RN, r, 0, kind) : 0;
    if (columns == COLUMNS)
        for (int64_t i = 0; i < COLUMNS; i += LANES) {
            floats numbers = (floats)sums[i / LANES];
            if (addends) numbers += floats_at(addends, n + i, kind);
            put_floats(to, n + i, numbers, kind);
        }
    else
        for (int64_t i = 0; i < columns; i++)
            put(to, n + i, ((const float *)sums)[i] + (addends ? get(addends, n + i, kind) : 0.0f), kind);
}

/* Not inlined into each tile, which would take the compiler several times as long. */
#define PUT(name, kind)                                                                                               \
    static __attribute__((noinline)) void name(const product_run *run, int64_t r, int64_t n, const words *sums) {     \
        put_sums(run, r, n, sums, kind);                                                                              \
    }
PUT(put_float32, FLOAT32)
PUT(put_bfloat16, BFLOAT16)

INLINE void put_row(const product_run *run, int64_t r, int64_t block, const words *sums, arithmetic kind) {
    int64_t n = block * COLUMNS, columns = run->N - n < COLUMNS ? run->N - n : COLUMNS;
    int32_t *to = (int32_t *)run->products_RN.data + r * run->products_RN.outer + n;
    if (kind == IN_BFLOAT16) put_bfloat16(run, r, n, sums);
    else if (kind == IN_FLOAT32) put_float32(run, r, n, sums);
    else if (columns == COLUMNS) memcpy(to, sums, COLUMNS * WORD);
    else memcpy(to, sums, columns * WORD);
}

INLINE void tile(const product_run *run, const int32_t *surplus, int64_t r, int64_t block, int rows, int blocks,
                 arithmetic kind) {
    int64_t bytes = bytes_of(kind), whole = run->K * bytes / WORD, rest = run->K * bytes % WORD;
    int64_t row_bytes = run->rows_RK.outer * bytes, block_bytes = run->packed_PQ.outer * bytes;
    rows_at inputs = every((const char *)run->rows_RK.data + r * row_bytes, row_bytes, rows);
    rows_at weights = every((const char *)run->packed_PQ.data + block * block_bytes, block_bytes, blocks);
    words sums[RESULTS];
    UNROLLED for (int i = 0; i < rows; i++)
        UNROLLED for (int j = 0; j < blocks * PARTS; j++)
            sums[i * blocks * PARTS + j] = (words){} - (kind == IN_INT8 ? surplus[r + i] : 0);
    for (int64_t k = 0; k < whole; k++) {
        add_step(sums, &inputs, &weights, rows, blocks, kind);
        advance(&inputs, WORD, rows);
        advance(&weights, COLUMNS * WORD, blocks);
    }
    if (rest) {
        char last[MOST][WORD] = {};
        for (int i = 0; i < rows; i++) memcpy(last[i], at(&inputs, i), rest);
        rows_at ends = every(last[0], WORD, rows);
        add_step(sums, &ends, &weights, rows, blocks, kind);
    }
    UNROLLED for (int i = 0; i < rows; i++)
        UNROLLED for (int b = 0; b < blocks; b++) {
            words part[PARTS];
            memcpy(part, sums + (i * blocks + b) * PARTS, COLUMNS * WORD);
            put_row(run, r + i, block + b, part, kind);
        }
}

/* ---- all tiles of a strip of blocks ---- */

/* How many vectors hold results: in bfloat16 fewer, for compilers keep some of more than sixteen in memory. */
INLINE int results_of(arithmetic kind) { return kind == IN_BFLOAT16 && RESULTS > 16 ? 16 : RESULTS; }

/* Few rows have several blocks in a tile, so that there are enough sums for none to wait for itself. */
INLINE void tiles(const product_run *run, const int32_t *surplus, int64_t r, int64_t block, int64_t end, int rows,
                  arithmetic kind) {
    const int fit = results_of(kind) / PARTS / rows, blocks = fit >= 4 ? 4 : fit >= 2 ? 2 : 1;
    for (; block + blocks <= end; block += blocks) tile(run, surplus, r, block, rows, blocks, kind);
    for (; block < end; block++) tile(run, surplus, r, block, rows, 1, kind);
}

/* A function for each number of rows: they are not inlined, since each needs all of the registers. */
#define ARGUMENTS const product_run *run, const int32_t *surplus, int64_t r, int64_t block, int64_t end
#define OF_ROWS(kind, rows) \
    static void tiles_##kind##_##rows(ARGUMENTS) { if (rows <= TILE) tiles(run, surplus, r, block, end, rows, kind); }
#define NAME(kind, rows) tiles_##kind##_##rows,
#define EACH(X, kind) \
    X(kind, 1) X(kind, 2) X(kind, 3) X(kind, 4) X(kind, 5) X(kind, 6) X(kind, 7) X(kind, 8) X(kind, 9) X(kind, 10)
EACH(OF_ROWS, IN_FLOAT32)
EACH(OF_ROWS, IN_INT8)
EACH(OF_ROWS, IN_BFLOAT16)
static void (*const TILES[][MOST])(ARGUMENTS) = {
    {EACH(NAME, IN_FLOAT32)}, {EACH(NAME, IN_INT8)}, {EACH(NAME, IN_BFLOAT16)}};

enum { STRIP = 4 };

#if defined(__AMX_TILE__)
#include "matrix_unit.h"
#else
INLINE int is_for_unit(const product_run *run, arithmetic kind) { return 0; }
INLINE void unit_strip(const product_run *run, const int32_t *surplus, int64_t strip, int64_t end, arithmetic kind) {}
#endif

/* Threads share the strips. Rows are cut in tiles of nearly the same size. */
INLINE void multiply(const product_run *run, const int32_t *surplus, arithmetic kind, int threads) {
    int64_t blocks = (run->N + COLUMNS - 1) / COLUMNS;
    int64_t fit = results_of(kind) / PARTS, most = fit < TILE ? fit : TILE;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t block = 0; block < blocks; block += STRIP) {
        int64_t end = block + STRIP < blocks ? block + STRIP : blocks;
        if (is_for_unit(run, kind)) {
            unit_strip(run, surplus, block, end, kind);
            continue;
        }
        for (int64_t r = 0, left = (run->R + most - 1) / most, rows; left > 0; r += rows, left--) {
            rows = (run->R - r + left - 1) / left;
            TILES[kind][rows - 1](run, surplus, r, block, end);
        }
    }
}

void multiply_float32(const product_run *run, int threads) { multiply(run, 0, IN_FLOAT32, threads); }

void multiply_bfloat16(const product_run *run, int threads) { multiply(run, 0, IN_BFLOAT16, threads); }

void multiply_int8(const product_run *run, int threads) {
    int32_t surplus[run->R + 1];
    for (int64_t r = 0; r < run->R; r++)
        surplus[r] = surplus_of((const int8_t *)run->rows_RK.data + r * run->rows_RK.outer, run->K);
    multiply(run, surplus, IN_INT8, threads);
}

/* ---- one position of a sequence ---- */

INLINE view at_position(view array, int64_t t, arithmetic kind) {
    if (!array.data) return array;
    return (view){(char *)array.data + t * array.outer * bytes_of(kind), array.inner};
}

INLINE void multiply_at(const sequence_run *run, int64_t t, arithmetic kind, int threads) {
    product_run of = {run->R, run->N, run->K, at_position(run->rows_TRK, t, kind), run->packed_PQ,
                      at_position(run->products_XRN, t % run->X, kind), at_position(run->addends_TRN, t, kind)};
    multiply(&of, 0, kind, threads);
}

void multiply_at_float32(const sequence_run *run, int64_t t, int threads) { multiply_at(run, t, IN_FLOAT32, threads); }

void multiply_at_bfloat16(const sequence_run *run, int64_t t, int threads) { multiply_at(run, t, IN_BFLOAT16, threads); }

/* ---- packing ---- */

enum { FOUR = 4 };
typedef int32_t four_words __attribute__((vector_size(WORD * FOUR), aligned(1), may_alias));

/* A square of words, transposed: four words of four columns. The stride is in bytes. */
INLINE void pack_words(const char *from, int64_t stride, word_in_memory *to) {
    four_words a = *(const four_words *)from, b = *(const four_words *)(from + stride);
    four_words c = *(const four_words *)(from + 2 * stride), d = *(const four_words *)(from + 3 * stride);
    four_words ac = SHUFFLED(a, c, 0, 4, 1, 5), bd = SHUFFLED(b, d, 0, 4, 1, 5);
    four_words last_ac = SHUFFLED(a, c, 2, 6, 3, 7), last_bd = SHUFFLED(b, d, 2, 6, 3, 7);
    *(four_words *)to = SHUFFLED(ac, bd, 0, 4, 1, 5);
    *(four_words *)(to + COLUMNS) = SHUFFLED(ac, bd, 2, 6, 3, 7);
    *(four_words *)(to + 2 * COLUMNS) = SHUFFLED(last_ac, last_bd, 0, 4, 1, 5);
    *(four_words *)(to + 3 * COLUMNS) = SHUFFLED(last_ac, last_bd, 2, 6, 3, 7);
}

/* The words of a block. of_n, of_k: how many numbers apart are two outputs and two inputs, one of which is a constant 1
 * after inlining. */
INLINE void pack_block(view weights, int64_t of_n, int64_t of_k, int64_t N, int64_t K, view packed_PQ, int64_t block,
                       arithmetic kind) {
    int64_t first = block * COLUMNS, columns = N - first < COLUMNS ? N - first : COLUMNS, each = WORD / bytes_of(kind);
    word_in_memory *to = (word_in_memory *)((char *)packed_PQ.data + block * packed_PQ.outer * bytes_of(kind));
    const char *from = (const char *)weights.data + first * of_n * bytes_of(kind);
    if (columns < COLUMNS || K % GROUP) memset(to, 0, (K + GROUP - 1) / GROUP * GROUP * COLUMNS * bytes_of(kind));
    int64_t fours = of_k == 1 ? K / each / FOUR * FOUR : 0, in_fours = fours ? columns / FOUR * FOUR : 0;
    for (int64_t w = 0; w < fours; w += FOUR)
        for (int64_t c = 0; c < in_fours; c += FOUR)
            pack_words(from + c * of_n * bytes_of(kind) + w * WORD, of_n * bytes_of(kind), to + w * COLUMNS + c);
    for (int64_t w = 0; w < (K + each - 1) / each; w++)
        for (int64_t c = w < fours ? in_fours : 0; c < columns; c++) {
            if (kind == IN_FLOAT32) {
                to[w * COLUMNS + c] = ((const word_in_memory *)from)[c * of_n + w * of_k];
                continue;
            }
            const uint16_t *pair = (const uint16_t *)from + c * of_n + 2 * w * of_k;
            to[w * COLUMNS + c] = (int32_t)(pair[0] | (w < K / each ? (uint32_t)pair[of_k] << 16 : 0));
        }
}

#define PACKED(weights, of_n, of_k, kind)                                               \
    _Pragma("omp parallel for num_threads(threads) schedule(static)")                     \
    for (int64_t block = 0; block < (run->N + COLUMNS - 1) / COLUMNS; block++)          \
        pack_block(weights, of_n, of_k, run->N, run->K, run->packed_PQ, block, kind);

void pack_float32(const packing *run, int threads) { PACKED(run->weights_NK, run->weights_NK.outer, 1, IN_FLOAT32) }

void pack_bfloat16(const packing *run, int threads) { PACKED(run->weights_NK, run->weights_NK.outer, 1, IN_BFLOAT16) }

/* For products with the transpose of what is stored. */
void pack_transposed_float32(const transposed_packing *run, int threads) {
    PACKED(run->weights_KN, 1, run->weights_KN.outer, IN_FLOAT32)
}

void pack_transposed_bfloat16(const transposed_packing *run, int threads) {
    PACKED(run->weights_KN, 1, run->weights_KN.outer, IN_BFLOAT16)
}

/* ---- transposing ---- */

enum { SQUARE = 8 };
typedef uint16_t numbers_of_square __attribute__((vector_size(2 * SQUARE), aligned(1), may_alias));

#define ZIPPED(a, b, i) SHUFFLED(a, b, i, i + 8, i + 1, i + 9, i + 2, i + 10, i + 3, i + 11)

/* A square of numbers, transposed: each round moves the highest bit of a row's number to the lowest of the column's. */
INLINE void transpose_square(const uint16_t *from, int64_t from_stride, uint16_t *to, int64_t to_stride) {
    numbers_of_square rows[SQUARE], next[SQUARE];
    UNROLLED for (int i = 0; i < SQUARE; i++) rows[i] = *(const numbers_of_square *)(from + i * from_stride);
    UNROLLED for (int round = 0; round < 3; round++) {
        UNROLLED for (int i = 0; i < SQUARE / 2; i++) {
            next[2 * i] = ZIPPED(rows[i], rows[i + SQUARE / 2], 0);
            next[2 * i + 1] = ZIPPED(rows[i], rows[i + SQUARE / 2], 4);
        }
        UNROLLED for (int i = 0; i < SQUARE; i++) rows[i] = next[i];
    }
    UNROLLED for (int i = 0; i < SQUARE; i++) *(numbers_of_square *)(to + i * to_stride) = rows[i];
}

/* Threads share strips of columns, as wide as a line of the cache, which are rows of the result. */
void transpose_bfloat16(const transposition *run, int threads) {
    int64_t from_stride = run->numbers_MN.outer, to_stride = run->transposed_NM.outer;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t strip = 0; strip < run->N; strip += 4 * SQUARE)
        for (int64_t m = 0; m < run->M; m += SQUARE)
            for (int64_t n = strip; n < strip + 4 * SQUARE && n < run->N; n += SQUARE) {
                const uint16_t *from = (const uint16_t *)run->numbers_MN.data + m * from_stride + n;
                uint16_t *to = (uint16_t *)run->transposed_NM.data + n * to_stride + m;
                if (run->M - m >= SQUARE && run->N - n >= SQUARE) {
                    transpose_square(from, from_stride, to, to_stride);
                    continue;
                }
                for (int64_t i = 0; i < SQUARE && m + i < run->M; i++)
                    for (int64_t j = 0; j < SQUARE && n + j < run->N; j++)
                        to[j * to_stride + i] = from[i * from_stride + j];
            }
}

/* Whether there is an instruction for products of bfloat16. */
int has_bfloat16(void) {
#if defined(__AVX512BF16__)
    return 1;
#else
    return 0;
#endif
}

/* Whether this variant multiplies bfloat16 in a matrix unit. */
int has_matrix_unit(void) {
#if defined(__AMX_TILE__)
    return 1;
#else
    return 0;
#endif
}
