/*
 * Measures the vector functions of vector.h against libm in f64, over every `stride`-th float from 0, of both signs.
 * Prints one JSON object: worst error of each function in units of the last place, and results that should be exact.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "vector.h"

static float from_bits(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }

/* Distance in units of the last place of `expected` rounded to f32, which is a normal number. */
static double ulps(float actual, double expected) {
  int exponent;
  frexp(expected, &exponent);
  return fabs(actual - expected) / ldexp(1.0, exponent - 24);
}

typedef struct { double worst; float at; } measure;

static void note(measure *m, double error, float x) {
  if (!(error <= m->worst)) { m->worst = error; m->at = x; }
}

static void show(const char *name, measure m) { printf("\"%s\":{\"ulps\":%.3f,\"at\":%.9g},", name, m.worst, m.at); }

/* What narrow_bf16 owes; subnormals may be flushed, as vcvtneps2bf16 does. */
static int narrowed_well(float x, uint16_t actual) {
  uint16_t expected = f32_to_bf16(x);
  if (actual == expected) return 1;
  return fabsf(x) < 1.17549435e-38f && actual == (expected & 0x8000u);
}

int main(int argc, char **argv) {
  uint64_t stride = argc > 1 ? strtoull(argv[1], 0, 10) : 1009;
  measure exponential = {0}, logarithm = {0}, sigmoid = {0}, root = {0};
  long wrong_exp = 0, wrong_log = 0, wrong_narrow = 0, wrong_widen = 0;
  for (uint64_t magnitude = 0; magnitude < 0x7f800000u; magnitude += stride * LANES / 2) {
    float x[LANES], e[LANES], l[LANES], s[LANES], q[LANES], widened[LANES];
    uint16_t narrow[LANES];
    for (int i = 0; i < LANES; i++) {
      uint64_t u = magnitude + stride * (uint64_t)(i / 2);
      x[i] = from_bits((uint32_t)(u < 0x7f800000u ? u : 0) | (i % 2 ? 0x80000000u : 0));
    }
    f32_lanes v = load_f32(x);
    store_f32(e, vector_exp(v));
    store_f32(l, vector_log(v));
    store_f32(s, vector_sigmoid(v));
    store_f32(q, vector_sqrt(v));
    store_bf16(narrow, v);
    store_f32(widened, load_bf16(narrow));
    for (int i = 0; i < LANES; i++) {
      double exact = exp(x[i]);
      if (x[i] < -87.33654f) wrong_exp += e[i] != 0;
      else if (x[i] > 88.72283f) wrong_exp += !isinf(e[i]);
      else note(&exponential, ulps(e[i], exact), x[i]);
      if (x[i] > 0) note(&logarithm, x[i] == 1 ? fabs(l[i]) : ulps(l[i], log(x[i])), x[i]);
      else wrong_log += x[i] == 0 ? l[i] != -INFINITY : !isnan(l[i]);
      if (x[i] > -87) note(&sigmoid, ulps(s[i], 1 / (1 + exp(-(double)x[i]))), x[i]);
      if (x[i] >= 0) note(&root, x[i] > 0 ? ulps(q[i], sqrt(x[i])) : q[i], x[i]);
      wrong_narrow += !narrowed_well(x[i], narrow[i]);
      wrong_widen += bf16_to_f32(narrow[i]) != widened[i];
    }
  }
  const float nan = from_bits(0x7fc00000u);
  int special = exp_f32(-INFINITY) == 0 && isinf(exp_f32(INFINITY)) && isnan(exp_f32(nan)) && isnan(exp_f32(-nan)) &&
                exp_f32(0) == 1 && log_f32(1) == 0 && isinf(log_f32(INFINITY)) && isnan(log_f32(nan)) &&
                isnan(log_f32(-INFINITY)) && vector_sigmoid(splat(-INFINITY))[0] == 0 && vector_sigmoid(splat(INFINITY))[3] == 1 &&
                isnan(vector_sigmoid(splat(nan))[LANES - 1]) && isnan(bf16_to_f32(f32_to_bf16(from_bits(0x7f800001u)))) &&
                isnan(widen_bf16(narrow_bf16(splat(from_bits(0xff800001u))))[LANES - 1]) &&
                vector_max(splat(nan), splat(2))[1] == 2 && isnan(vector_max(splat(2), splat(nan))[1]) &&
                vector_min(splat(nan), splat(2))[1] == 2 && isnan(vector_min(splat(2), splat(nan))[1]) &&
                isnan(vector_fma(splat(INFINITY), splat(0), splat(1))[2]) && (splat(1) < splat(2))[1] == -1 &&
                (splat(nan) < splat(2))[1] == 0 && (splat(nan) == splat(nan))[1] == 0 &&
                (splat(nan) != splat(nan))[1] == -1;
  f32_lanes ramp;
  for (int i = 0; i < LANES; i++) ramp[i] = (float)(i + 1);
  special = special && vector_sum(ramp) == LANES * (LANES + 1) / 2 && vector_largest(ramp) == LANES && vector_largest(-ramp) == -1;
  printf("{");
  show("exp", exponential);
  show("log", logarithm);
  show("sigmoid", sigmoid);
  show("sqrt", root);
  printf("\"wrong\":{\"exp\":%ld,\"log\":%ld,\"narrow\":%ld,\"widen\":%ld},\"special\":%s}\n", wrong_exp, wrong_log,
         wrong_narrow, wrong_widen, special ? "true" : "false");
  return 0;
}
