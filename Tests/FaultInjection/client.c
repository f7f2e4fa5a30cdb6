/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "client.h"

#include "test_provider.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

int64_t client_first_difference(const void *memory, uint64_t offset, uint64_t length, uint64_t seed) {
  const uint64_t *words = memory;
  for (uint64_t i = 0; i < length / 8; i++)
    if (words[i] != test_content_word(seed, offset + i * 8)) return (int64_t)(i * 8);
  return -1;
}

int64_t client_first_nonzero(const void *memory, uint64_t length) {
  const uint64_t *words = memory;
  for (uint64_t i = 0; i < length / 8; i++)
    if (words[i] != 0) return (int64_t)(i * 8);
  return -1;
}

struct verification {
  const char *memory;
  uint64_t offset, granules, granule, seed, step, start;
  uint64_t wrong;
};

static void *verify(void *argument) {
  struct verification *job = argument;
  uint64_t at = job->start;
  for (uint64_t n = 0; n < job->granules; n++) {
    const uint64_t *words = (const uint64_t *)(job->memory + at * job->granule);
    for (uint64_t i = 0; i < job->granule / 8; i++)
      if (words[i] != test_content_word(job->seed, job->offset + at * job->granule + i * 8)) job->wrong += 8;
    at = (at + job->step) % job->granules;
  }
  return 0;
}

static uint64_t gcd(uint64_t a, uint64_t b) { return b ? gcd(b, a % b) : a; }

uint64_t client_verify(const void *memory, uint64_t offset, uint64_t length, uint64_t seed,
                       uint64_t granule, int threads) {
  pthread_t handles[64];
  struct verification jobs[64];
  uint64_t wrong = 0, granules = length / granule;
  for (int i = 0; i < threads; i++) {
    /* A step that is prime to the count visits every granule once. */
    uint64_t step = (uint64_t)i * 7 % granules + 1;
    while (gcd(step, granules) != 1) step++;
    jobs[i] = (struct verification){.memory = memory,
                                    .offset = offset,
                                    .granules = granules,
                                    .granule = granule,
                                    .seed = seed,
                                    .step = step,
                                    .start = (uint64_t)i * granules / (uint64_t)threads};
    pthread_create(&handles[i], 0, verify, &jobs[i]);
  }
  for (int i = 0; i < threads; i++) {
    pthread_join(handles[i], 0);
    wrong += jobs[i].wrong;
  }
  return wrong;
}

struct race {
  volatile char *page;
  pthread_barrier_t before, after;
  int is_over;
};

static void *touch(void *argument) {
  struct race *race = argument;
  for (;;) {
    pthread_barrier_wait(&race->before);
    if (race->is_over) return 0;
    char value = *race->page;
    (void)value;
    pthread_barrier_wait(&race->after);
  }
}

static uint64_t run_race(char *memory, char *touched, uint64_t rounds, int advice) {
  struct race race = {.is_over = 0};
  pthread_t toucher;
  uint64_t stale = 0;
  pthread_barrier_init(&race.before, 0, 2);
  pthread_barrier_init(&race.after, 0, 2);
  pthread_create(&toucher, 0, touch, &race);
  for (uint64_t i = 0; i < rounds; i++) {
    char *page = memory + i * 4096;
    race.page = touched + i * 4096;
    pthread_barrier_wait(&race.before);
    /* From "before the fault" to "after the install", a little different each time. */
    for (volatile uint64_t k = 0; k < i * 7 % 4000; k++) {
    }
    madvise(page, 4096, advice);
    if (*(volatile char *)page != 0 || *race.page != 0) stale++;
    pthread_barrier_wait(&race.after);
  }
  race.is_over = 1;
  pthread_barrier_wait(&race.before);
  pthread_join(toucher, 0);
  pthread_barrier_destroy(&race.before);
  pthread_barrier_destroy(&race.after);
  return stale;
}

uint64_t client_discard_race(void *memory, uint64_t first, uint64_t rounds) {
  char *start = (char *)memory + first * 4096;
  return run_race(start, start, rounds, MADV_DONTNEED);
}

uint64_t client_remove_race(void *memory, void *sibling, uint64_t rounds) {
  return run_race((char *)memory, (char *)sibling, rounds, MADV_REMOVE);
}

/* The reader is a process that shares this memory: so the race can be run where threads cannot be made. */
struct window_race {
  const char *memory;
  uint64_t granules, seed, wrong;
  uint64_t stretch, waits; /* where each of the two is */
  unsigned char *given;    /* pages that were given back, or are about to be */
};

enum { STRETCH = 64 };

/* Waits until the other one has come as far. */
static void meet(uint64_t *mine, const uint64_t *other) {
  uint64_t now = __atomic_add_fetch(mine, 1, __ATOMIC_ACQ_REL);
  while (__atomic_load_n(other, __ATOMIC_ACQUIRE) < now) sched_yield();
}

static int read_in_order(void *argument) {
  struct window_race *race = argument;
  /* Whoever ends a test that hangs ends this process too: it holds what a test's end is told by. */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (uint64_t page = 0; page < race->granules; page++) {
    if (page % STRETCH == 0) meet(&race->stretch, &race->waits);
    const volatile uint64_t *words = (const volatile uint64_t *)(race->memory + page * 4096);
    uint64_t first = words[0], last = words[511];
    int may_be_zero = __atomic_load_n(&race->given[page], __ATOMIC_ACQUIRE);
    if (first != test_content_word(race->seed, page * 4096) && !(may_be_zero && first == 0)) race->wrong++;
    if (last != test_content_word(race->seed, page * 4096 + 511 * 8) && !(may_be_zero && last == 0)) race->wrong++;
  }
  return 0;
}

uint64_t client_window_race(void *memory, uint64_t granules, uint64_t seed) {
  const uint64_t stack_size = 1 << 16;
  struct window_race race = {.memory = memory, .granules = granules, .seed = seed};
  char *room = mmap(0, granules + stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  race.given = (unsigned char *)room + stack_size;
  int reader = clone(read_in_order, room + stack_size, CLONE_VM | SIGCHLD, &race);
  if (reader < 0) return ~0ull;
  uint64_t stale = 0, random = seed;
  for (uint64_t page = 0; page < granules; page += STRETCH) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    /* In this stretch or in the next one: about to be read, in a window, or behind it. */
    uint64_t chosen = page + (random >> 33) % (2 * STRETCH);
    if (chosen >= granules) chosen = granules - 1;
    char *target = (char *)memory + chosen * 4096;
    meet(&race.waits, &race.stretch);
    for (volatile uint64_t k = 0; k < (random >> 20) % 30000; k++) {
    }
    __atomic_store_n(&race.given[chosen], 1, __ATOMIC_RELEASE);
    madvise(target, 4096, MADV_DONTNEED);
    /* At once, or when whatever was under way is through. */
    if (random >> 63 && *(volatile uint64_t *)target != 0) stale++;
  }
  int status = -1;
  waitpid(reader, &status, 0);
  for (uint64_t page = 0; page < granules; page++)
    if (race.given[page] && *(volatile uint64_t *)((char *)memory + page * 4096) != 0) stale++;
  munmap(room, granules + stack_size);
  return stale + race.wrong + (uint64_t)(status != 0);
}
