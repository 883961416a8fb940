/*
 * Chunks of rows times parts of panels, in bf16: on AMX tiles, or, where there are none, by products of pairs in vectors. Both read the same
 * tiles. Only files that compile to nothing without tiles include this.
 */
#ifndef ROOKERY_TILES_H
#define ROOKERY_TILES_H

#define CHUNK_STEPS 8 /* of 32: what of 32 rows fits in the first cache together with the panel that streams past */

#ifdef ROOKERY_AMX
#include "tiles_amx.h"
#else
#include "tiles_pairs.h"
#endif

#endif
