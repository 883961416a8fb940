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
  const int32_t *offsets;
  int32_t all_rows[2];
} matmul_job;

/* The units [unit, last) of a block [k, k_end) of a packed matrix's inner dimension. b is where unit 0 of the block is, or would be. */
typedef struct {
  const char *b;
  size_t unit_stride, half_stride; /* bytes */
  size_t unit, last, k, k_end;
  int is_cold; /* whether it comes from memory, not from a cache that it was packed into */
} matmul_units;

/* Rows [row, row + rows) of c, columns of some units: gemm_vector.c (panels) and gemm_tiles.c. */
void matmul_vector_block(const matmul_job *job, size_t row, size_t rows, matmul_units units);
/* Unless the block is the whole inner dimension, sums stay in `carry` [rows / 32, panels, 32, 32] from one block to the next. */
void matmul_tile_block(const matmul_job *job, size_t row, size_t rows, matmul_units units, float *carry);

#endif
