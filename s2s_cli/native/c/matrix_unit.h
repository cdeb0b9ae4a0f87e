/* The tiles of products.c in Intel's matrix unit (AMX), which multiplies bfloat16 and 8 bits eight times as fast as its
 * vectors. Included by products.c.
 *
 * A tile register has at most 16 rows of 64 bytes. Packed weights are what the unit reads: 16 steps of a block are two
 * registers, side by side. A tile of products is 32 rows of one block, or 16 rows of two. Linux lets a process use the
 * unit that has asked for it: native/variants.py does.
 */

enum { UNIT_ROWS = 16, UNIT_BYTES = 64, UNIT_STEPS = UNIT_BYTES / WORD, BLOCK_BYTES = COLUMNS * WORD };

/* GCC does not know that the unit reads and writes memory. */
INLINE void settle(void) { __asm__ volatile("" ::: "memory"); }

/* Registers 0 to 3 hold sums, 4 and 5 rows, 6 and 7 weights. Where there are 16 rows or fewer, 5 has weights as well. */
typedef struct {
    uint8_t palette, restart, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} unit_shapes;

INLINE void shape_unit(int64_t rows) {
    int64_t first = rows < UNIT_ROWS ? rows : UNIT_ROWS, second = rows - first ? rows - first : first;
    int64_t below = rows > UNIT_ROWS ? second : UNIT_STEPS;
    unit_shapes shapes = {.palette = 1};
    const int64_t of[] = {first, first, second, second, first, below, UNIT_STEPS, UNIT_STEPS};
    for (int i = 0; i < 8; i++) shapes.rows[i] = of[i], shapes.bytes[i] = UNIT_BYTES;
    settle();
    _tile_loadconfig(&shapes);
}

#define ADD(sums, inputs, weights)                                            \
    do {                                                                      \
        if (kind == IN_INT8) _tile_dpbsud(sums, inputs, weights);             \
        else _tile_dpbf16ps(sums, inputs, weights);                           \
    } while (0)

/* UNIT_STEPS steps of 32 rows, at most, and one block; and of 16 rows, at most, and two blocks. */
INLINE void add_to_rows(const char *inputs, int64_t stride, const char *weights, arithmetic kind) {
    _tile_loadd(4, inputs, stride);
    _tile_loadd(6, weights, BLOCK_BYTES);
    ADD(0, 4, 6);
    _tile_loadd(7, weights + UNIT_BYTES, BLOCK_BYTES);
    ADD(1, 4, 7);
    _tile_loadd(5, inputs + UNIT_ROWS * stride, stride);
    ADD(2, 5, 6);
    ADD(3, 5, 7);
}

INLINE void add_to_blocks(const char *inputs, int64_t stride, const char *weights, const char *others, arithmetic kind) {
    _tile_loadd(4, inputs, stride);
    _tile_loadd(5, weights, BLOCK_BYTES);
    ADD(0, 4, 5);
    _tile_loadd(6, weights + UNIT_BYTES, BLOCK_BYTES);
    ADD(1, 4, 6);
    _tile_loadd(7, others, BLOCK_BYTES);
    ADD(2, 4, 7);
    _tile_loadd(5, others + UNIT_BYTES, BLOCK_BYTES);
    ADD(3, 4, 5);
}

/* To where they are wanted. The processor rounds bfloat16 in whole blocks, where subnormal results become zero, as within
 * the unit. */
INLINE void put_unit_rows(const product_run *run, const int32_t *surplus, int64_t r, int64_t rows, int64_t block,
                          words *sums, arithmetic kind) {
    const int is_whole = run->N - block * COLUMNS >= COLUMNS;
    for (int64_t i = 0; i < rows; i++, sums += PARTS) {
        if (kind == IN_INT8)
            for (int j = 0; j < PARTS; j++) sums[j] -= surplus[r + i];
        if (kind == IN_INT8 || !is_whole) {
            put_row(run, r + i, block, sums, kind);
            continue;
        }
        floats first = (floats)sums[0], second = (floats)sums[1];
        if (run->addends_RN.data) {
            const void *addends = row(run->addends_RN, r + i, 0, BFLOAT16);
            first += floats_at(addends, block * COLUMNS, BFLOAT16);
            second += floats_at(addends, block * COLUMNS + LANES, BFLOAT16);
        }
        __m512bh rounded = _mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
        memcpy((uint16_t *)row(run->products_RN, r + i, 0, BFLOAT16) + block * COLUMNS, &rounded, sizeof rounded);
    }
}

/* The steps that do not fill a register, with zeros behind them: of the blocks of a strip, and of some rows. */
typedef struct {
    char weights[STRIP][UNIT_STEPS * BLOCK_BYTES], rows[2 * UNIT_ROWS][UNIT_BYTES];
} last_steps;

/* Rows from r on and a block of a strip, or two (which may be the same one, if it is the last). */
INLINE void unit_tile(const product_run *run, const int32_t *surplus, const last_steps *last, int64_t r, int64_t rows,
                      int64_t strip, int64_t block, int64_t other, arithmetic kind) {
    const int64_t bytes = bytes_of(kind), stride = run->rows_RK.outer * bytes, whole = run->K * bytes / UNIT_BYTES;
    const int64_t block_stride = run->packed_PQ.outer * bytes;
    const char *inputs = (const char *)run->rows_RK.data + r * stride;
    const char *weights = (const char *)run->packed_PQ.data + block * block_stride;
    const char *others = (const char *)run->packed_PQ.data + other * block_stride;
    const int is_tall = rows > UNIT_ROWS;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t k = 0; k < whole; k++) {
        if (is_tall) add_to_rows(inputs, stride, weights, kind);
        else add_to_blocks(inputs, stride, weights, others, kind);
        inputs += UNIT_BYTES, weights += UNIT_STEPS * BLOCK_BYTES, others += UNIT_STEPS * BLOCK_BYTES;
    }
    if (whole * UNIT_BYTES < run->K * bytes) {
        if (is_tall) add_to_rows(last->rows[0], UNIT_BYTES, last->weights[block - strip], kind);
        else add_to_blocks(last->rows[0], UNIT_BYTES, last->weights[block - strip], last->weights[other - strip], kind);
    }
    words sums[2 * UNIT_ROWS * PARTS]; /* of rows of a block; those of another follow */
    char *upper = (char *)sums, *lower = upper + UNIT_ROWS * BLOCK_BYTES;
    _tile_stored(0, upper, BLOCK_BYTES);
    _tile_stored(1, upper + UNIT_BYTES, BLOCK_BYTES);
    _tile_stored(2, lower, BLOCK_BYTES);
    _tile_stored(3, lower + UNIT_BYTES, BLOCK_BYTES);
    settle();
    put_unit_rows(run, surplus, r, rows, block, sums, kind);
    if (!is_tall && other != block) put_unit_rows(run, surplus, r, rows, other, sums + UNIT_ROWS * PARTS, kind);
}

/* All rows and the blocks of a strip. */
INLINE void unit_strip(const product_run *run, const int32_t *surplus, int64_t strip, int64_t end, arithmetic kind) {
    const int64_t bytes = bytes_of(kind), rest = run->K * bytes % UNIT_BYTES, whole = run->K * bytes - rest;
    last_steps last;
    if (rest) memset(&last, 0, sizeof last);
    for (int64_t block = strip; rest && block < end; block++) {
        const char *weights = (const char *)run->packed_PQ.data + block * run->packed_PQ.outer * bytes;
        memcpy(last.weights[block - strip], weights + whole / WORD * BLOCK_BYTES, (rest + WORD - 1) / WORD * BLOCK_BYTES);
    }
    int64_t shaped = 0;
    for (int64_t r = 0, rows; r < run->R; r += rows) {
        rows = run->R - r < 2 * UNIT_ROWS ? run->R - r : 2 * UNIT_ROWS;
        if (rows != shaped) shape_unit(shaped = rows);
        for (int64_t i = 0; rest && i < rows; i++)
            memcpy(last.rows[i], (const char *)run->rows_RK.data + (r + i) * run->rows_RK.outer * bytes + whole, rest);
        settle();
        for (int64_t block = strip, blocks = rows > UNIT_ROWS ? 1 : 2; block < end; block += blocks) {
            int64_t other = block + blocks - 1 < end ? block + blocks - 1 : block;
            unit_tile(run, surplus, &last, r, rows, strip, block, other, kind);
        }
    }
    _tile_release();
}

/* Of a few rows in 8 bits vectors are faster: weights are read from memory in either case. In bfloat16 a sum would be
 * another one then. */
INLINE int is_for_unit(const product_run *run, arithmetic kind) {
    return kind == IN_BFLOAT16 || (kind == IN_INT8 && run->R > 4);
}
