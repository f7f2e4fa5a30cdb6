/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a repetition: areas of each kind, the content, the uffd that watches them. */
#define _GNU_SOURCE
#include "internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char failure[160];

const char *cbench_failure(void) { return failure; }

int32_t cbench_failed(const char *call) {
  int error = errno ? errno : EIO;
  const char *name = clinux_errno_name(error);
  snprintf(failure, sizeof failure, "%s (%s)", call, name ? name : "an unknown errno");
  return -error;
}

uint64_t cbench_now(void) { return clinux_now(); }

static int make_backing(const struct cbench_job *job) {
  unsigned flags = MFD_CLOEXEC | (job->memory == CBENCH_HUGETLB ? MFD_HUGETLB | MFD_HUGE_2MB : 0);
  int fd = clinux_memfd_create("uffdhost-bench", flags);
  if (fd < 0) {
    errno = -fd;
    return -1;
  }
  return ftruncate(fd, (off_t)job->bytes) ? -1 : fd;
}

int32_t cbench_map(const struct cbench_job *job, int private_file, struct cbench_areas *areas) {
  uint64_t length = cbench_area_bytes(job);
  areas->fd = -1;
  if (!private_file && job->memory != CBENCH_ANON) {
    areas->fd = make_backing(job);
    if (areas->fd < 0) return cbench_failed("memfd_create");
  }
  for (uint32_t i = 0; i < job->regions; i++) {
    off_t offset = (off_t)(i * length);
    void *start;
    if (private_file)
      start = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE, job->image, offset);
    else if (areas->fd >= 0)
      start = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, areas->fd, offset);
    else
      start = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) return cbench_failed("mmap");
    /* A huge page that the kernel chose would be other work. It refuses this for hugetlb, where it is none. */
    madvise(start, length, MADV_NOHUGEPAGE);
    areas->start[i] = start;
  }
  return 0;
}

/*
 * Mapped and not populated, as a handler has its image: the pages are in the page cache (cbench_warm), and the
 * kernel maps them as COPY reads them. What a handler does to reach its source is a part of its time.
 */
const char *cbench_map_image(const struct cbench_job *job) {
  const char *image = mmap(NULL, job->bytes, PROT_READ, MAP_SHARED, job->image, 0);
  if (image == MAP_FAILED) {
    cbench_failed("mmap of the content");
    return NULL;
  }
  return image;
}

int32_t cbench_warm(const struct cbench_job *job) {
  const char *image = cbench_map_image(job);
  if (!image) return -EIO;
  int32_t error = madvise((void *)image, job->bytes, CLINUX_MADV_POPULATE_READ)
                      ? cbench_failed("MADV_POPULATE_READ of the content")
                      : 0;
  munmap((void *)image, job->bytes);
  return error;
}

int32_t cbench_publish(const struct cbench_job *job, struct cbench_areas *areas) {
  const char *image = cbench_map_image(job);
  if (!image) return -EIO;
  /* hugetlbfs has no write(2). */
  char *backing = mmap(NULL, job->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, areas->fd, 0);
  if (backing == MAP_FAILED) return cbench_failed("mmap of the backing");
  madvise(backing, job->bytes, MADV_NOHUGEPAGE);
  memcpy(backing, image, job->bytes);
  munmap(backing, job->bytes);
  munmap((void *)image, job->bytes);
  return 0;
}

static int open_uffd(int flags) {
  int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
  if (device >= 0) {
    int fd = clinux_uffd_from_device(device, flags);
    close(device);
    if (fd >= 0) return fd;
  }
  int fd = clinux_uffd_from_syscall(flags);
  return fd >= 0 ? fd : clinux_uffd_from_syscall(flags | CLINUX_UFFD_USER_MODE_ONLY);
}

int32_t cbench_watch(const struct cbench_job *job, struct cbench_areas *areas, uint32_t first, uint32_t count,
                     int blocking) {
  int uffd = open_uffd(O_CLOEXEC | (blocking ? 0 : O_NONBLOCK));
  uint64_t features = CLINUX_FEATURE_EVENT_REMOVE, ioctls;
  uint64_t modes = CLINUX_REGISTER_MISSING | (areas->fd >= 0 ? CLINUX_REGISTER_MINOR : 0);
  if (uffd < 0) {
    errno = -uffd;
    return cbench_failed("userfaultfd");
  }
  int32_t result = clinux_uffd_api(uffd, &features, &ioctls);
  for (uint32_t i = first; i < first + count && result == 0; i++)
    result = clinux_uffd_register(uffd, (uint64_t)(uintptr_t)areas->start[i], cbench_area_bytes(job), modes,
                                  &ioctls);
  if (result == 0) return uffd;
  errno = -result;
  return cbench_failed("UFFDIO_API or UFFDIO_REGISTER");
}
