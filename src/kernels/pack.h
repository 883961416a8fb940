/* One panel at a time: what packs whole weights, and what packs them on the way into a product, share this. */
#ifndef ROOKERY_PACK_H
#define ROOKERY_PACK_H

#include "panels.h"

/* W [groups, out, in] f32, to be packed for products in `dtype`: transpose 0 sums over in, 1 over out. */
typedef struct { int32_t dtype, transpose; const float *w; size_t out, in; } unpacked_weight;

/*
 * Writes panel `panel` of matrix `group`: panel_bytes() of the dimension that is summed over. Of a panel of tiles it may be a part,
 * [k, k_end) of that dimension with k a multiple of 32; a panel of strips is written whole.
 */
void pack_panel(const unpacked_weight *weight, size_t group, size_t panel, size_t k, size_t k_end, char *to);

#endif
