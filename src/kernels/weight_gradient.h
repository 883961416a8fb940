/* Gradients of weights: what weight_gradient.c hands to the vector and the tile half. */
#ifndef ROOKERY_WEIGHT_GRADIENT_H
#define ROOKERY_WEIGHT_GRADIENT_H

#include "panels.h"

#define GRADIENT_OUT_BLOCK 64 /* rows of a gradient that one task makes */

typedef struct {
  int32_t dtype, accumulate;
  const char *dy, *x;
  float *gradient;
  size_t out, in, groups, out_blocks;
  const int32_t *offsets;
  int32_t all_rows[2];
  bf16 *dy_tiles, *x_tiles;
} gradient_job;

/* Rows of a group are packed in steps of 32, each group from a step of its own: steps before group g. */
INLINE size_t steps_before(const gradient_job *job, size_t group) {
  size_t steps = 0;
  for (size_t g = 0; g < group; g++) steps += ceil_div((size_t)(job->offsets[g + 1] - job->offsets[g]), 32);
  return steps;
}

/* Rows [first_out, last_out) of a group's gradient: weight_gradient_vector.c and weight_gradient_amx.c. */
void gradient_vector_rows(const gradient_job *job, size_t group, size_t first_out, size_t last_out);
void gradient_tile_rows(const gradient_job *job, size_t group, size_t first_out, size_t last_out);
/* A task of the pool: packs one step of dy and of x. */
void pack_gradient_step(void *context, int32_t task, int32_t thread);

#endif
