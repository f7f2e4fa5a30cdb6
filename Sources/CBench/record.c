/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In which order a program touches its pages for the first time: the store (store.c) is built where nobody
 * watches, then used in memory that the minimal handler fills from there page by page, as after a restore. The
 * handler's COPY writes each page down. A thread that faults sleeps until then, so that nothing is overtaken.
 */
#define _GNU_SOURCE
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static uint32_t *pages;
static uint64_t count, start;

static int32_t note_and_copy(int fd, uint64_t dst, uint64_t src, uint64_t length, uint64_t mode, int64_t *done) {
  int32_t result = clinux_uffd_kernel.copy(fd, dst, src, length, mode, done);
  if (result == 0) pages[count++] = (uint32_t)((dst - start) / length);
  return result;
}

static int32_t write_order(int file) {
  uint64_t length = count * sizeof *pages;
  for (uint64_t done = 0; done < length;) {
    ssize_t written = pwrite(file, (const char *)pages + done, length - done, (off_t)done);
    if (written <= 0) return cbench_failed("write of the recorded order");
    done += (uint64_t)written;
  }
  return 0;
}

int32_t cbench_record(const struct cbench_job *job, struct cbench_result *result) {
  static struct cbench_server server;
  struct clinux_uffd_ops calls = clinux_uffd_kernel;
  struct cbench_areas built, areas;
  memset(result, 0, sizeof *result);
  pages = malloc(job->bytes / job->page * sizeof *pages);
  if (!pages) return cbench_failed("malloc");
  int32_t error = cbench_map(job, 0, &built);
  if (error == 0) error = cbench_map(job, 0, &areas);
  if (error) return error;
  cbench_store_build(built.start[0], job->bytes, job->seed);
  int uffd = cbench_watch(job, &areas, 0, 1, 0);
  if (uffd < 0) return uffd;
  start = (uint64_t)(uintptr_t)areas.start[0];
  error = cbench_server_init(&server, job, uffd, 0, 1, &start, built.start[0]);
  calls.copy = note_and_copy;
  server.calls = &calls;
  if (error == 0) error = cbench_server_start(&server, 0);
  if (error) return error;
  result->wrong = cbench_store_use(areas.start[0], job->seed);
  cbench_server_stop(&server);
  result->touched = count;
  result->bytes = count * job->page;
  return write_order(job->recorded);
}
