/* What entry points check before they touch any memory. */
#ifndef ROOKERY_ARGUMENTS_H
#define ROOKERY_ARGUMENTS_H

#include "rookery.h"

static inline int is_dtype(int32_t dtype) { return dtype == ROOKERY_F32 || dtype == ROOKERY_BF16; }

/* Scratch and packed weights begin at a cache line. */
static inline int is_aligned(uintptr_t address) { return address && address % 64 == 0; }

/* Whether a x b x c elements of up to 4 bytes can be an array: else places in it, or bytes of scratch for it, would wrap around. */
static inline int is_array(size_t a, size_t b, size_t c) {
  size_t elements;
  return !__builtin_mul_overflow(a, b, &elements) && !__builtin_mul_overflow(elements, c, &elements) && elements <= PTRDIFF_MAX / 4;
}

#endif
