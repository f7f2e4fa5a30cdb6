/* SPDX-License-Identifier: Apache-2.0 */
/* The orders in which pages are touched: made from a seed, or read as they were recorded. */
#define _GNU_SOURCE
#include "internal.h"

#include <stdlib.h>
#include <string.h>

uint64_t cbench_random(uint64_t *state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

static void shuffle(uint32_t *order, uint64_t count, uint64_t *random) {
  for (uint64_t i = count; i > 1; i--) {
    uint64_t other = cbench_random(random) % i;
    uint32_t kept = order[i - 1];
    order[i - 1] = order[other];
    order[other] = kept;
  }
}

/*
 * Ranks whose probability falls as 1/rank, in steps: each power of two is as likely as the next, and inside it
 * all ranks are. `order` holds a shuffled list of the pages; the page of a rank is there.
 */
static void draw_zipf(uint32_t *order, uint64_t pages, uint64_t *random) {
  uint32_t *place = malloc(pages * sizeof *place);
  uint8_t *seen = calloc(pages, 1);
  int powers = 64 - __builtin_clzll(pages);
  if (!place || !seen) abort();
  memcpy(place, order, pages * sizeof *place);
  for (uint64_t i = 0; i < pages; i++) {
    uint64_t power = 1ull << cbench_random(random) % (uint64_t)powers;
    uint64_t rank = power + cbench_random(random) % power;
    uint32_t page = place[(rank - 1) % pages];
    order[i] = page | (seen[page] ? 0 : CBENCH_FIRST);
    seen[page] = 1;
  }
  free(place);
  free(seen);
}

/* Each page comes once: these are first touches. */
static uint64_t read_recorded(const struct cbench_job *job, uint32_t *order, uint64_t pages) {
  ssize_t length = pread(job->recorded, order, pages * sizeof *order, 0);
  uint64_t count = length > 0 ? (uint64_t)length / sizeof *order : 0;
  for (uint64_t i = 0; i < count; i++) {
    if (order[i] >= pages) {
      errno = ERANGE;
      return 0;
    }
    order[i] |= CBENCH_FIRST;
  }
  return count;
}

uint64_t cbench_make_order(const struct cbench_job *job, uint32_t *order) {
  uint64_t pages = job->bytes / job->page, random = job->seed;
  if (job->order == CBENCH_RECORDED) return read_recorded(job, order, pages);
  for (uint64_t i = 0; i < pages; i++) order[i] = (uint32_t)i | CBENCH_FIRST;
  if (job->order == CBENCH_SEQUENTIAL) return pages;
  shuffle(order, pages, &random);
  if (job->order == CBENCH_SPARSE) return pages / 10 ? pages / 10 : 1;
  if (job->order == CBENCH_ZIPF) {
    for (uint64_t i = 0; i < pages; i++) order[i] &= ~CBENCH_FIRST;
    draw_zipf(order, pages, &random);
  }
  return pages;
}
