/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client: touches memory in an order that was made before (order.c), times the first touch of each
 * page, and compares the bytes afterwards. The same code for every subject; it does not know who serves.
 */
#define _GNU_SOURCE
#include "internal.h"

#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static inline char *address(const struct cbench_job *job, void *const *areas, uint64_t page) {
  uint64_t per_area = cbench_area_bytes(job) / job->page;
  return (char *)areas[page / per_area] + page % per_area * job->page;
}

/* --- Touching --------------------------------------------------------------------------------------------- */

struct share {
  const struct cbench_job *job;
  void *const *areas;
  const uint32_t *order;
  uint64_t count;
  uint32_t *samples; /* room for `count` */
  uint64_t touched, unpoisoned, first_unpoisoned;
  pthread_barrier_t *barrier;
  pthread_t thread;
};

static _Thread_local sigjmp_buf on_signal;

static void caught(int number) {
  (void)number;
  siglongjmp(on_signal, 1);
}

/* Whether the access raised SIGBUS. */
static int raises(const volatile char *place) {
  if (sigsetjmp(on_signal, 0)) return 1;
  char value = *place;
  (void)value;
  return 0;
}

static inline void record(struct share *share, uint64_t nanoseconds) {
  share->samples[share->touched++] = nanoseconds > UINT32_MAX ? UINT32_MAX : (uint32_t)nanoseconds;
}

static void touch_guarded(struct share *share) {
  for (uint64_t i = 0; i < share->count; i++) {
    uint32_t page = share->order[i] & ~CBENCH_FIRST;
    const char *place = address(share->job, share->areas, page);
    uint64_t before = clinux_now();
    int is_poisoned = raises(place);
    record(share, clinux_now() - before);
    if (is_poisoned) continue;
    if (share->unpoisoned++ == 0) share->first_unpoisoned = page * share->job->page;
  }
}

static inline void touch_all(struct share *share, const int write) {
  for (uint64_t i = 0; i < share->count; i++) {
    uint32_t entry = share->order[i];
    volatile char *place = address(share->job, share->areas, entry & ~CBENCH_FIRST);
    uint64_t before = entry & CBENCH_FIRST ? clinux_now() : 0;
    if (write)
      *place = CBENCH_MARK;
    else
      (void)*place;
    if (entry & CBENCH_FIRST) record(share, clinux_now() - before);
  }
}

static void *touch(void *argument) {
  struct share *share = argument;
  pthread_barrier_wait(share->barrier);
  if (share->job->operation == CBENCH_POISON)
    touch_guarded(share);
  else if (share->job->operation == CBENCH_ZERO)
    touch_all(share, 0);
  else
    touch_all(share, 1);
  return NULL;
}

/* --- Numbers ------------------------------------------------------------------------------------------------ */

static int ascending(const void *a, const void *b) {
  uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
  return left < right ? -1 : left > right;
}

static void summarise(struct share *shares, uint32_t threads, uint32_t *samples, const struct cbench_job *job,
                      struct cbench_result *result) {
  uint64_t count = 0, sum = 0;
  for (uint32_t i = 0; i < threads; i++) {
    memmove(samples + count, shares[i].samples, shares[i].touched * sizeof *samples);
    count += shares[i].touched;
    if (shares[i].unpoisoned && result->wrong == 0) result->first_wrong = shares[i].first_unpoisoned;
    result->wrong += shares[i].unpoisoned;
  }
  qsort(samples, count, sizeof *samples, ascending);
  for (uint64_t i = 0; i < count; i++) sum += samples[i];
  result->touched = count;
  result->bytes = count * job->page;
  if (count == 0) return;
  result->mean = sum / count;
  result->p50 = samples[count / 2];
  result->p99 = samples[count * 99 / 100];
  result->maximum = samples[count - 1];
}

int32_t cbench_touch(const struct cbench_job *job, void *const *areas, struct cbench_result *result) {
  uint64_t pages = job->bytes / job->page;
  uint32_t *order = malloc(pages * sizeof *order), *samples = malloc(pages * sizeof *samples);
  struct share shares[CBENCH_MOST_THREADS];
  pthread_barrier_t barrier;
  if (!order || !samples) return cbench_failed("malloc");
  memset(samples, 0xff, pages * sizeof *samples);
  uint64_t touches = cbench_make_order(job, order), first = 0;
  if (touches == 0) return cbench_failed("reading the recorded order");
  struct sigaction action = {.sa_handler = caught, .sa_flags = SA_NODEFER};
  if (job->operation == CBENCH_POISON) sigaction(SIGBUS, &action, NULL);
  pthread_barrier_init(&barrier, NULL, job->threads + 1);
  for (uint32_t i = 0; i < job->threads; i++) {
    uint64_t end = touches * (i + 1) / job->threads;
    shares[i] = (struct share){.job = job, .areas = areas, .order = order + first, .count = end - first,
                               .samples = samples + first, .barrier = &barrier};
    first = end;
    errno = pthread_create(&shares[i].thread, NULL, touch, &shares[i]);
    if (errno) return cbench_failed("pthread_create");
  }
  uint64_t before = clinux_now();
  pthread_barrier_wait(&barrier);
  for (uint32_t i = 0; i < job->threads; i++) pthread_join(shares[i].thread, NULL);
  result->elapsed = clinux_now() - before;
  pthread_barrier_destroy(&barrier);
  summarise(shares, job->threads, samples, job, result);
  free(samples);
  free(order);
  return 0;
}

/* --- Comparing ---------------------------------------------------------------------------------------------- */

static int is_zero(const char *page, uint64_t length) {
  return page[0] == 0 && memcmp(page, page + 1, length - 1) == 0;
}

int32_t cbench_verify(const struct cbench_job *job, void *const *areas, int32_t is_marked,
                      struct cbench_result *result) {
  uint64_t pages = job->bytes / job->page;
  uint32_t *order = malloc(pages * sizeof *order);
  const char *image = NULL;
  /* Poisoned pages were looked at when they were touched. */
  if (job->operation == CBENCH_POISON) return 0;
  if (!order) return cbench_failed("malloc");
  if (job->operation != CBENCH_ZERO && !(image = cbench_map_image(job))) return -EIO;
  uint64_t touches = cbench_make_order(job, order);
  if (touches == 0) return cbench_failed("reading the recorded order");
  for (uint64_t i = 0; i < touches; i++) {
    if (!(order[i] & CBENCH_FIRST)) continue;
    uint64_t page = order[i] & ~CBENCH_FIRST;
    const char *memory = address(job, areas, page), *content = image + page * job->page;
    int is_right = !image      ? is_zero(memory, job->page)
                   : is_marked ? memory[0] == CBENCH_MARK && memcmp(memory + 1, content + 1, job->page - 1) == 0
                               : memcmp(memory, content, job->page) == 0;
    if (is_right) continue;
    if (result->wrong++ == 0) result->first_wrong = page * job->page;
  }
  free(order);
  return 0;
}
