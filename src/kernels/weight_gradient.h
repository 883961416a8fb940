/* Gradients of weights: what weight_gradient.c hands to the vector and the tile half. */
#ifndef ROOKERY_WEIGHT_GRADIENT_H
#define ROOKERY_WEIGHT_GRADIENT_H

#include "panels.h"

#define OWN_BLOCKS_A_TASK 4
#define MOST_SHARED_BLOCKS 32
#define SHARED_BYTES_IN_CACHE (1024 * 1024) /* of the shared side that a task reads over and over */
#define GRADIENT_OUT_BLOCK 128 /* rows of a gradient that one task makes on vectors; each task copies x for itself, so they should be many */

typedef struct {
  int32_t dtype, accumulate;
  const char *dy, *x;
  float *gradient;
  size_t out, in, groups;
  const int32_t *offsets;
  int32_t all_rows[2];
  /* on tiles: whether x is what all tasks share, and dy what each packs a part of; or the other way round */
  int shares_x;
  bf16 *shared_tiles;
  float *squares; /* of each task, or 0 */
  size_t own_blocks, blocks_in_set; /* of 32 columns: all of a task's own side; those of the shared side that a task reads */
} gradient_job;

/* Rows of a group are packed in steps of 32, each group from a step of its own: steps before group g. */
INLINE size_t steps_before(const gradient_job *job, size_t group) {
  size_t steps = 0;
  for (size_t g = 0; g < group; g++) steps += ceil_div((size_t)(job->offsets[g + 1] - job->offsets[g]), 32);
  return steps;
}

/* Rows [first_out, last_out) of a group's gradient: weight_gradient_vector.c. */
void gradient_vector_rows(const gradient_job *job, size_t group, size_t first_out, size_t last_out);
/* Blocks of 32 own columns times a set of blocks of the shared side, and the sum of the squares, if asked for: weight_gradient_tiles.c. */
float gradient_tile_block(const gradient_job *job, size_t group, size_t set, size_t first_own, size_t last_own);
/* A task of the pool: packs one step of what is shared. */
void pack_gradient_step(void *context, int32_t task, int32_t thread);

#endif
