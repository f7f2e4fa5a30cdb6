/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel replaced, so that what is left is the handler's own code: a read that hands out full batches of
 * faults, installs that do nothing. One feed at a time, read by one thread.
 */
#define _GNU_SOURCE
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static uint64_t *faults;
static uint64_t fault_count, next_fault, begun, ended;
static uint64_t is_swallowing;
static uint64_t fault_flags;

/* Whether calls are ours. The feed ends with the read that finds no more. */
static inline int is_replaced(void) { return clinux_load_relaxed(&is_swallowing) != 0; }

/* CPU time of the calling thread: on a busy machine it is not always running. */
static uint64_t cpu_time(void) {
  struct timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static int64_t mock_read(int fd, void *buffer, uint64_t length) {
  struct uffd_msg *messages = buffer;
  uint64_t room = length / sizeof *messages, left = fault_count - next_fault;
  if (!is_replaced() || fault_count == 0) return clinux_uffd_kernel.read(fd, buffer, length);
  if (next_fault == 0) begun = cpu_time();
  if (left == 0) {
    ended = cpu_time();
    clinux_store_release(&is_swallowing, 0);
    return clinux_uffd_kernel.read(fd, buffer, length);
  }
  uint64_t count = left < room ? left : room;
  for (uint64_t i = 0; i < count; i++) {
    messages[i].event = UFFD_EVENT_PAGEFAULT;
    messages[i].arg.pagefault.flags = fault_flags;
    messages[i].arg.pagefault.address = faults[next_fault + i];
  }
  next_fault += count;
  return (int64_t)(count * sizeof *messages);
}

static int32_t mock_copy(int fd, uint64_t dst, uint64_t src, uint64_t length, uint64_t mode, int64_t *done) {
  if (!is_replaced()) return clinux_uffd_kernel.copy(fd, dst, src, length, mode, done);
  *done = (int64_t)length;
  return 0;
}

static int32_t mock_zeropage(int fd, uint64_t start, uint64_t length, uint64_t mode, int64_t *done) {
  if (!is_replaced()) return clinux_uffd_kernel.zeropage(fd, start, length, mode, done);
  *done = (int64_t)length;
  return 0;
}

static int32_t mock_continue(int fd, uint64_t start, uint64_t length, uint64_t mode, int64_t *done) {
  if (!is_replaced()) return clinux_uffd_kernel.continue_(fd, start, length, mode, done);
  *done = (int64_t)length;
  return 0;
}

static int32_t mock_poison(int fd, uint64_t start, uint64_t length, uint64_t mode, int64_t *done) {
  if (!is_replaced()) return clinux_uffd_kernel.poison(fd, start, length, mode, done);
  *done = (int64_t)length;
  return 0;
}

static int32_t mock_wake(int fd, uint64_t start, uint64_t length) {
  return is_replaced() ? 0 : clinux_uffd_kernel.wake(fd, start, length);
}

static const struct clinux_uffd_ops table = {
    .read = mock_read,
    .copy = mock_copy,
    .zeropage = mock_zeropage,
    .continue_ = mock_continue,
    .poison = mock_poison,
    .wake = mock_wake,
};

const void *cbench_mock_table(void) { return &table; }

void cbench_mock_swallow(void) { clinux_store_release(&is_swallowing, 1); }

int32_t cbench_mock_feed(const struct cbench_job *job, void *const *areas) {
  /* The last page of an area is for the real fault that rings the reader. */
  uint64_t pages = job->bytes / job->page - 1, count = pages * job->regions, seed = job->seed;
  uint64_t *list = malloc(count * sizeof *list);
  if (!list) return cbench_failed("malloc");
  /* Full batches only: after a short one a reader waits before it reads again. */
  count -= count % 16;
  for (uint64_t i = 0; i < count; i++)
    list[i] = (uint64_t)(uintptr_t)areas[i / pages] + i % pages * job->page;
  for (uint64_t i = count; i > 1; i--) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    uint64_t other = (seed >> 33) % i, kept = list[i - 1];
    list[i - 1] = list[other];
    list[other] = kept;
  }
  free(faults);
  faults = list;
  next_fault = begun = ended = 0;
  fault_flags = job->operation == CBENCH_CONTINUE ? CLINUX_FAULT_MINOR : 0;
  fault_count = count;
  clinux_store_release(&is_swallowing, 1);
  return 0;
}

uint64_t cbench_mock_messages(void) { return next_fault; }

uint64_t cbench_mock_nanoseconds(void) { return is_replaced() ? 0 : ended - begun; }

int32_t cbench_language(const struct cbench_job *job, struct cbench_result *result) {
  static struct cbench_server server;
  void *areas[CBENCH_MOST_AREAS];
  uint64_t starts[CBENCH_MOST_AREAS];
  /* Each region has the whole content, and nothing is ever installed in it. */
  struct cbench_job shape = *job;
  shape.bytes = job->bytes * job->regions;
  memset(result, 0, sizeof *result);
  for (uint32_t i = 0; i < job->regions; i++) {
    areas[i] = mmap(NULL, job->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (areas[i] == MAP_FAILED) return cbench_failed("mmap");
    starts[i] = (uint64_t)(uintptr_t)areas[i];
  }
  int32_t error = cbench_server_init(&server, &shape, -1, 0, job->regions, starts, areas[0]);
  if (error == 0) error = cbench_mock_feed(job, areas);
  if (error) return error;
  server.calls = &table;
  for (int pass = 0; pass <= CBENCH_LANGUAGE_PASSES; pass++) {
    if (pass > 0 && (error = cbench_mock_feed(job, areas))) return error;
    cbench_server_drain(&server);
    /* The first one brings code and tables into the caches. */
    if (pass == 0) continue;
    result->touched += cbench_mock_messages();
    result->elapsed += cbench_mock_nanoseconds();
  }
  result->p50 = result->mean = result->elapsed * 100 / result->touched;
  return 0;
}
