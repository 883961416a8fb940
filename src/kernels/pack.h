/* One panel at a time: what packs whole weights, and what packs them on the way into a product, share this. */
#ifndef ROOKERY_PACK_H
#define ROOKERY_PACK_H

#include "panels.h"

/* W [groups, out, in] f32, to be packed for products in `dtype`: transpose 0 sums over in, 1 over out. */
typedef struct { int32_t dtype, transpose; const float *w; size_t out, in; } unpacked_weight;

/*
 * Some panels of matrix `group`, `stride` bytes apart at `to`: of each `halves` (1, or 2 that lie `distance` apart in the matrix) from `first`
 * on. Of panels of tiles a part may be packed, [k, k_end) of what is summed over, k a multiple of 32; panels of strips are written whole.
 */
typedef struct { size_t first, count, halves, distance; } panel_set;
void pack_panels(const unpacked_weight *weight, size_t group, panel_set set, size_t k, size_t k_end, char *to, size_t stride);

#endif
