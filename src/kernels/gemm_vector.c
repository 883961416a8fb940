/* Rows times packed weights in f32 on the level's vectors. */
#include "gemm.h"

/* sums [rows, 32] = a [rows, inner] b [inner, 32]; rows and a_bf16 are constants where this is inlined. */
#if defined(__AVX512F__)
#define ROWS_AT_ONCE 8
#define VECTORS_AT_ONCE 2
#else
#define ROWS_AT_ONCE 2
#define VECTORS_AT_ONCE 1
#endif
INLINE void vector_block(const char *a, int a_bf16, size_t inner, const float *b, size_t rows, float *sums) {
  for (size_t half = 0; half < PANEL / LANES; half += VECTORS_AT_ONCE) {
    f32_lanes acc[ROWS_AT_ONCE][VECTORS_AT_ONCE];
    for (size_t r = 0; r < rows; r++) for (size_t v = 0; v < VECTORS_AT_ONCE; v++) acc[r][v] = splat(0);
    for (size_t k = 0; k < inner; k++) {
      f32_lanes column[VECTORS_AT_ONCE];
      for (size_t v = 0; v < VECTORS_AT_ONCE; v++) column[v] = load_f32(b + k * PANEL + (half + v) * LANES);
      for (size_t r = 0; r < rows; r++) {
        float x = a_bf16 ? bf16_to_f32(((const bf16 *)a)[r * inner + k]) : ((const float *)a)[r * inner + k];
        for (size_t v = 0; v < VECTORS_AT_ONCE; v++) acc[r][v] = vector_fma(splat(x), column[v], acc[r][v]);
      }
    }
    for (size_t r = 0; r < rows; r++) for (size_t v = 0; v < VECTORS_AT_ONCE; v++) store_f32(sums + r * PANEL + (half + v) * LANES, acc[r][v]);
  }
}

static void vector_rows(const matmul_job *job, size_t row, size_t rows, size_t column, const float *b) {
  float sums[ROWS_AT_ONCE * PANEL];
  int is_bf16 = job->dtype == ROOKERY_BF16;
  size_t element = is_bf16 ? sizeof(bf16) : sizeof(float);
  for (size_t r = 0; r < rows;) {
    const char *a = job->a + (row + r) * job->inner * element;
    size_t step = rows - r >= ROWS_AT_ONCE ? ROWS_AT_ONCE : 1;
    if (step == 1) is_bf16 ? vector_block(a, 1, job->inner, b, 1, sums) : vector_block(a, 0, job->inner, b, 1, sums);
    else is_bf16 ? vector_block(a, 1, job->inner, b, ROWS_AT_ONCE, sums) : vector_block(a, 0, job->inner, b, ROWS_AT_ONCE, sums);
    store_block(&job->target, sums, row + r, step, column);
    r += step;
  }
}

void matmul_vector_block(const matmul_job *job, size_t row, size_t rows, const char *b, size_t panel, size_t last) {
  size_t bytes = panel_bytes(job->dtype, job->inner);
  for (; panel < last; panel++) vector_rows(job, row, rows, panel * PANEL, (const float *)(b + panel * bytes));
}
