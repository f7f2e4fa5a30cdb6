/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a test and the provider it compiled (UffdHostTests/Providers/test_provider.c) say to each other: the
 * provider exports one `struct test_provider_state`, the test finds it by dlsym. All fields are changed
 * atomically. A pgoff among the knobs is one more than the granule it means, so that 0 means none.
 */
#ifndef TEST_PROVIDER_H
#define TEST_PROVIDER_H

#include <stdint.h>

enum test_answer {
  TEST_ANSWER_STAGED = 0,
  TEST_ANSWER_LENT = 1,           /* resident; needs the parameter lend=1 */
  TEST_ANSWER_LENT_MAY_FAULT = 2, /* the same */
  TEST_ANSWER_ZERO = 3,
  TEST_ANSWER_ARENA = 4, /* in memory of staging_alloc */
  TEST_ANSWER_LENT_WILD = 5,
};

struct test_provider_state {
  /* Knobs. */
  uint64_t answer;
  uint64_t most;         /* granules in one answer; 0: as many as asked */
  uint64_t holes;        /* every so manieth granule is answered ZERO; 0: none */
  uint64_t delay_us;     /* each alloc_folio sleeps so long */
  uint64_t gate_pgoff;   /* alloc_folio of this granule sleeps until gate_open is not 0 */
  uint64_t gate_open;
  uint64_t busy_pgoff;   /* alloc_folio answers BUSY so many times; ~0: any granule */
  uint64_t busy_times;
  uint64_t kick_first;   /* kick before BUSY is returned */
  uint64_t fail_pgoff;   /* alloc_folio answers this status so many times; ~0: any granule */
  uint64_t fail_status;
  uint64_t fail_times;
  uint64_t refuse_pgoff; /* filemap_add answers NO_MEMORY until this long after the first time */
  uint64_t refuse_ns;
  uint64_t lookup_busy;  /* get_folio_noalloc answers BUSY so many times */
  uint64_t attach_no;    /* can_userfault says no */
  /* Counters. */
  uint64_t opens, closes;
  uint64_t allocs;       /* calls of alloc_folio */
  uint64_t answered;     /* granules in OK answers */
  uint64_t gate_reached; /* calls that slept at the gate */
  uint64_t busies;
  uint64_t ticket_changes; /* a question asked again after BUSY came with another ticket */
  uint64_t last_ticket;
  uint64_t lends, puts, bad_puts;
  uint64_t adds, removes;         /* granules */
  uint64_t bad_adds, bad_removes; /* granules added twice, or removed without having been added */
  uint64_t refusals;
  uint64_t lookups, discards, cancels, attaches;
  uint64_t warms, bad_warms; /* granules of will_need; calls of it that are outside the object */
  uint64_t running, most_running; /* hooks at one moment (cancel does not count) */
  uint64_t first_thread, other_threads;
};

/* The content: a word of 8 bytes for each multiple of 8, none of whose bytes is 0. */
static inline uint64_t test_content_word(uint64_t seed, uint64_t offset) {
  uint64_t z = (offset / 8 + seed * 0x10001) * 0x9e3779b97f4a7c15u;
  z ^= z >> 29;
  return z | 0x0101010101010101u;
}

static inline void test_content_fill(void *memory, uint64_t offset, uint64_t length, uint64_t seed) {
  uint64_t *words = (uint64_t *)memory;
  for (uint64_t i = 0; i < length / 8; i++) words[i] = test_content_word(seed, offset + i * 8);
}

#endif /* TEST_PROVIDER_H */
