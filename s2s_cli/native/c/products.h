/* The functions of products.c that the passes call, and their record, that of native/products.py. The result is the
 * product of rows and packed weights; what is added to it may be missing. After numbers.h. */

typedef struct {
    int64_t R, N, K;
    view rows_RK, packed_PQ, products_RN, addends_RN;
} product_run;

void multiply_float32(const product_run *run, int threads);
void multiply_int8(const product_run *run, int threads);
