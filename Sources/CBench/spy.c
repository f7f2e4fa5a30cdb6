/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's calls with a clock beside them: how long a handler's own code takes between the read that brought
 * a message and the install that answers it, with real faults, and so with the caches as faults leave them. For
 * one reader, and one message at a time: a batch of several counts until the first install only.
 */
#define _GNU_SOURCE
#include "internal.h"

#include <stdlib.h>

#define MOST (1u << 18)

static uint32_t samples[MOST];
static uint32_t count;
static uint64_t read_at;

static int64_t spy_read(int fd, void *buffer, uint64_t length) {
  int64_t result = clinux_uffd_kernel.read(fd, buffer, length);
  read_at = result > 0 ? clinux_now() : 0;
  return result;
}

static inline void installs(void) {
  if (read_at == 0 || count == MOST) return;
  samples[count++] = (uint32_t)(clinux_now() - read_at);
  read_at = 0;
}

static int32_t spy_copy(int fd, uint64_t dst, uint64_t src, uint64_t length, uint64_t mode, int64_t *done) {
  installs();
  return clinux_uffd_kernel.copy(fd, dst, src, length, mode, done);
}

static int32_t spy_zeropage(int fd, uint64_t start, uint64_t length, uint64_t mode, int64_t *done) {
  installs();
  return clinux_uffd_kernel.zeropage(fd, start, length, mode, done);
}

static int32_t spy_continue(int fd, uint64_t start, uint64_t length, uint64_t mode, int64_t *done) {
  installs();
  return clinux_uffd_kernel.continue_(fd, start, length, mode, done);
}

static int32_t spy_poison(int fd, uint64_t start, uint64_t length, uint64_t mode, int64_t *done) {
  return clinux_uffd_kernel.poison(fd, start, length, mode, done);
}

static int32_t spy_wake(int fd, uint64_t start, uint64_t length) {
  return clinux_uffd_kernel.wake(fd, start, length);
}

static const struct clinux_uffd_ops table = {
    .read = spy_read,
    .copy = spy_copy,
    .zeropage = spy_zeropage,
    .continue_ = spy_continue,
    .poison = spy_poison,
    .wake = spy_wake,
};

const void *cbench_spy_table(void) { return &table; }

static int ascending(const void *a, const void *b) {
  uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
  return left < right ? -1 : left > right;
}

void cbench_spy_report(struct cbench_result *result) {
  uint64_t sum = 0;
  if (count == 0) return;
  qsort(samples, count, sizeof *samples, ascending);
  for (uint32_t i = 0; i < count; i++) sum += samples[i];
  result->touched = count;
  result->elapsed = sum;
  result->mean = sum / count;
  result->p50 = samples[count / 2];
  result->p99 = samples[(uint64_t)count * 99 / 100];
  result->maximum = samples[count - 1];
}
