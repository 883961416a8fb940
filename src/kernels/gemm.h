/* Rows times a packed weight: what gemm.c hands to the vector and the tile half. */
#ifndef ROOKERY_GEMM_H
#define ROOKERY_GEMM_H

#include "panels.h"

#define MOST_PANELS 64 /* a task's partial sums, when the inner dimension has several chunks, are this many blocks */

typedef struct {
  int32_t dtype;
  const char *a, *packed;
  sums_target target;
  size_t inner, groups, row_blocks;
  /*
   * A task takes some units of weight: panels; or, where the gated product is made on the way, pairs of a gate's panel and its up
   * projection's, `units` panels further on in c.
   */
  size_t units, halves, units_per_task;
  size_t unit_stride, half_stride; /* bytes in packed */
  const int32_t *offsets;
  int32_t all_rows[2];
} matmul_job;

/* Rows [row, row + rows) of c, columns of the units [unit, last) of the packed matrix b: gemm_vector.c (panels) and gemm_amx.c. */
void matmul_vector_block(const matmul_job *job, size_t row, size_t rows, const char *b, size_t unit, size_t last);
void matmul_tile_block(const matmul_job *job, size_t row, size_t rows, const char *b, size_t unit, size_t last);

#endif
