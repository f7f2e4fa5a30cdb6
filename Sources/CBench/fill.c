/* SPDX-License-Identifier: Apache-2.0 */
/* Everything at once: installs in large pieces, the same a page at a time, and what the kernel offers for it. */
#define _GNU_SOURCE
#include "internal.h"

#include <string.h>

/* As long as uffdhost's largest install: an event's sender waits while one runs. */
#define PIECE (256ull << 10)

struct part {
  const struct cbench_job *job;
  const char *content;
  char *memory;
  uint64_t start, end; /* bytes from the beginning */
  int uffd;
  int32_t error;
  pthread_t thread;
};

static int32_t install(const struct part *part, uint64_t offset, const char *source, uint64_t length) {
  uint64_t address = (uint64_t)(uintptr_t)part->memory + offset;
  int64_t done;
  if (part->job->operation == CBENCH_CONTINUE)
    return clinux_uffd_kernel.continue_(part->uffd, address, length, 0, &done);
  cbench_reach((uint64_t)(uintptr_t)source, length, part->job->page);
  return clinux_uffd_kernel.copy(part->uffd, address, (uint64_t)(uintptr_t)source, length, 0, &done);
}

static void *in_pieces(void *argument) {
  struct part *part = argument;
  uint64_t piece = part->job->page > PIECE ? part->job->page : PIECE;
  for (uint64_t offset = part->start; offset < part->end && part->error == 0; offset += piece) {
    uint64_t length = part->end - offset < piece ? part->end - offset : piece;
    part->error = install(part, offset, part->content + offset, length);
  }
  return NULL;
}

/* A page for each round of a loop that looks for faults first, as background copying of most handlers is. */
static void *page_by_page(void *argument) {
  struct part *part = argument;
  uint64_t page = part->job->page;
  char *buffer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct pollfd slot = {.fd = part->uffd, .events = POLLIN};
  for (uint64_t offset = part->start; offset < part->end && part->error == 0; offset += page) {
    poll(&slot, 1, 0);
    if (pread(part->job->image, buffer, page, (off_t)offset) != (ssize_t)page) part->error = -EIO;
    if (part->error == 0) part->error = install(part, offset, buffer, page);
  }
  return NULL;
}

static void *populate(void *argument) {
  struct part *part = argument;
  if (madvise(part->memory + part->start, part->end - part->start, CLINUX_MADV_POPULATE_WRITE))
    part->error = cbench_failed("MADV_POPULATE_WRITE");
  return NULL;
}

/* Runs `body` on equal parts, one for each thread; the calling thread has the first. */
static int32_t divide(const struct cbench_job *job, struct cbench_areas *areas, const char *content, int uffd,
                      void *(*body)(void *)) {
  struct part parts[CBENCH_MOST_THREADS];
  uint64_t pages = job->bytes / job->page;
  int32_t error = 0;
  for (uint32_t i = 0; i < job->threads; i++)
    parts[i] = (struct part){.job = job, .content = content, .memory = areas->start[0], .uffd = uffd,
                             .start = pages * i / job->threads * job->page,
                             .end = pages * (i + 1) / job->threads * job->page};
  for (uint32_t i = 1; i < job->threads; i++) {
    errno = pthread_create(&parts[i].thread, NULL, body, &parts[i]);
    if (errno) return cbench_failed("pthread_create");
  }
  body(&parts[0]);
  for (uint32_t i = 1; i < job->threads; i++) pthread_join(parts[i].thread, NULL);
  for (uint32_t i = 0; i < job->threads; i++)
    if (parts[i].error) error = parts[i].error;
  if (error == 0) return 0;
  errno = -error;
  return cbench_failed("UFFDIO_COPY, UFFDIO_CONTINUE or MADV_POPULATE_WRITE");
}

int32_t cbench_fill(const struct cbench_job *job, struct cbench_result *result) {
  struct cbench_areas areas;
  int is_kernel = job->subject == CBENCH_KERNEL;
  int private_file = is_kernel && job->memory == CBENCH_ANON;
  const char *content = NULL;
  int uffd = -1;
  memset(result, 0, sizeof *result);
  int32_t error = cbench_map(job, private_file, &areas);
  if (error == 0 && job->operation == CBENCH_CONTINUE) error = cbench_publish(job, &areas);
  if (error) return error;
  if (!is_kernel) uffd = cbench_watch(job, &areas, 0, 1, 0);
  if (!is_kernel && uffd < 0) return uffd;
  if (!(content = cbench_map_image(job))) return -EIO;
  uint64_t before = clinux_now();
  error = divide(job, &areas, content, uffd,
                 is_kernel                      ? populate
                 : job->subject == CBENCH_PEER ? page_by_page
                                                : in_pieces);
  /* Filled memory is let go, as uffdhost lets go of it. */
  if (error == 0 && uffd >= 0)
    error = clinux_uffd_unregister(uffd, (uint64_t)(uintptr_t)areas.start[0], job->bytes);
  result->elapsed = clinux_now() - before;
  result->touched = job->bytes / job->page;
  result->bytes = job->bytes;
  result->p50 = result->mean = result->elapsed / result->touched;
  if (error) return error;
  /* Fresh shared memory of the kernel is zeroed, not filled. */
  if (is_kernel && !private_file && job->operation == CBENCH_COPY) return 0;
  return cbench_verify(job, areas.start, 0, result);
}
