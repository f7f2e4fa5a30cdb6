/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `pattern=SEED size=BYTES` shows, in C: word k of the object is output k + 1 of splitmix64 started at the
 * seed, little endian; behind the object's end everything is zero. The twin of Sources/UffdPattern/Pattern.swift,
 * to which a test compares it.
 */
#ifndef PATTERN_H
#define PATTERN_H

#include <stdint.h>

static inline uint64_t pattern_word(uint64_t seed, uint64_t index) {
  uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/* The word at byte `at` (a multiple of 8) of an object of `size` bytes. */
static inline uint64_t pattern_at(uint64_t seed, uint64_t size, uint64_t at) {
  if (at >= size) return 0;
  uint64_t word = pattern_word(seed, at / 8);
  return size - at >= 8 ? word : word & ((1ull << (size - at) * 8) - 1);
}

/* Writes the bytes from `at` on; both are multiples of 8. */
static inline void pattern_fill(void *memory, uint64_t length, uint64_t seed, uint64_t size, uint64_t at) {
  uint64_t *words = memory;
  for (uint64_t i = 0; i < length / 8; i++) words[i] = pattern_at(seed, size, at + i * 8);
}

#endif
