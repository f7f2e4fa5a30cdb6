/* SPDX-License-Identifier: Apache-2.0 */
/* Faults one by one: the kernel's own, the minimal handler's, the peers'. */
#define _GNU_SOURCE
#include "internal.h"

#include <string.h>

static void addresses(const struct cbench_areas *areas, uint32_t count, uint64_t *starts) {
  for (uint32_t i = 0; i < count; i++) starts[i] = (uint64_t)(uintptr_t)areas->start[i];
}

/* Faults that the kernel resolves by itself. */
static int32_t by_kernel(const struct cbench_job *job, struct cbench_result *result) {
  struct cbench_areas areas;
  /* Anonymous content is the image, copied on write. */
  int private_file = job->memory == CBENCH_ANON && job->operation == CBENCH_COPY;
  int32_t error = cbench_map(job, private_file, &areas);
  if (error == 0 && job->operation == CBENCH_CONTINUE) error = cbench_publish(job, &areas);
  if (error == 0) error = cbench_touch(job, areas.start, result);
  if (error || job->operation == CBENCH_ZERO) return error;
  /* Fresh pages of shared memory are zeroed, not copied: there is no content to compare. */
  if (!private_file && job->operation == CBENCH_COPY) return 0;
  return cbench_verify(job, areas.start, 1, result);
}

static int32_t by_handler(const struct cbench_job *job, struct cbench_result *result) {
  static struct cbench_server server;
  struct cbench_job mine = *job;
  struct cbench_areas areas;
  uint64_t starts[CBENCH_MOST_AREAS];
  int32_t error = cbench_map(job, 0, &areas);
  if (error == 0 && job->operation == CBENCH_CONTINUE) error = cbench_publish(job, &areas);
  if (error) return error;
  if (job->operation == CBENCH_POISON) {
    mine.image = cbench_make_image(NULL, job->bytes, 0);
    if (mine.image < 0) return mine.image;
  }
  int uffd = cbench_watch(job, &areas, 0, job->regions, job->subject == CBENCH_C && job->wait == CBENCH_READ);
  if (uffd < 0) return uffd;
  /* A hole that is mapped and read is none any more. */
  const char *content = job->operation == CBENCH_ZERO ? NULL : cbench_map_image(&mine);
  if (!content && job->operation != CBENCH_ZERO) return -EIO;
  /* From now on nothing can be read there. */
  if (job->operation == CBENCH_POISON && ftruncate(mine.image, 0)) return cbench_failed("ftruncate");
  addresses(&areas, job->regions, starts);
  error = cbench_server_init(&server, &mine, uffd, 0, job->regions, starts, content);
  if (job->is_spied) server.calls = cbench_spy_table();
  if (error == 0) error = cbench_server_start(&server, job->subject == CBENCH_PEER);
  if (error == 0) error = cbench_touch(job, areas.start, result);
  if (error) return error;
  cbench_server_stop(&server);
  if (job->is_spied) cbench_spy_report(result);
  return cbench_verify(job, areas.start, 1, result);
}

int32_t cbench_demand(const struct cbench_job *job, struct cbench_result *result) {
  memset(result, 0, sizeof *result);
  if (job->subject == CBENCH_KERNEL) return by_kernel(job, result);
  return job->clients > 0 ? cbench_demand_elsewhere(job, result) : by_handler(job, result);
}
