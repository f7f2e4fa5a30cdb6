/* SPDX-License-Identifier: Apache-2.0 */
/* The conditions of a measurement: content, placement, memory that is really there, and what else runs. */
#define _GNU_SOURCE
#include "internal.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A store into a mapping of a full disk would be SIGBUS: write(2), with an answer. */
static int32_t write_content(int fd, uint64_t bytes) {
  static uint64_t words[1 << 17];
  uint64_t state = 1;
  for (uint64_t done = 0; done < bytes;) {
    uint64_t length = bytes - done < sizeof words ? bytes - done : sizeof words;
    for (uint64_t i = 0; i < length / 8; i++) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      /* No byte is zero: a page of zeroes is never right. */
      words[i] = (state ^ state >> 29) | 0x0101010101010101u;
    }
    ssize_t written = pwrite(fd, words, length, (off_t)done);
    if (written <= 0) return cbench_failed("write of the content");
    done += (uint64_t)written;
  }
  return fsync(fd) ? cbench_failed("fsync of the content") : 0;
}

int32_t cbench_make_image(const char *folder, uint64_t bytes, int32_t is_hole) {
  int fd = folder ? open(folder, O_TMPFILE | O_RDWR, 0600) : memfd_create("uffdhost-bench-content", 0);
  /* Not among the first numbers, where a child has its report. */
  int moved = fd < 0 ? -1 : fcntl(fd, F_DUPFD, 10);
  int32_t error = moved < 0 ? cbench_failed(folder ? "open with O_TMPFILE" : "memfd_create") : 0;
  if (fd >= 0) close(fd);
  if (error) return error;
  if (ftruncate(moved, (off_t)bytes)) error = cbench_failed("ftruncate");
  if (error == 0 && !is_hole) error = write_content(moved, bytes);
  if (error == 0) return moved;
  close(moved);
  return error;
}

int32_t cbench_pin(void) {
  cpu_set_t allowed, one;
  if (sched_getaffinity(0, sizeof allowed, &allowed)) return cbench_failed("sched_getaffinity");
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return sched_setaffinity(0, sizeof one, &one) ? cbench_failed("sched_setaffinity") : cpu;
  }
  return -ENOENT;
}

int32_t cbench_cpu_count(void) {
  cpu_set_t allowed;
  return sched_getaffinity(0, sizeof allowed, &allowed) ? 1 : CPU_COUNT(&allowed);
}

static char *map_small_pages(uint64_t bytes) {
  char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return NULL;
  madvise(memory, bytes, MADV_NOHUGEPAGE);
  return memory;
}

int32_t cbench_keep_backed(uint64_t bytes) {
  const uint64_t group = 16 * 4096;
  bytes &= ~(group - 1);
  char *memory = bytes ? map_small_pages(bytes) : NULL;
  if (!memory) return bytes ? cbench_failed("mmap") : 0;
  for (uint64_t i = 0; i < bytes; i += 4096) *(volatile char *)(memory + i) = 1;
  for (uint64_t i = 0; i < bytes; i += group)
    if (madvise(memory + i + 4096, group - 4096, MADV_DONTNEED)) return cbench_failed("MADV_DONTNEED");
  return 0;
}

static int ascending(const void *a, const void *b) {
  uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
  return left < right ? -1 : left > right;
}

uint64_t cbench_fresh_page(void) {
  enum { PAGES = 512 };
  uint64_t times[PAGES];
  char *memory = map_small_pages(PAGES * 4096);
  if (!memory) return 0;
  for (int i = 0; i < PAGES; i++) {
    uint64_t before = clinux_now();
    *(volatile char *)(memory + i * 4096) = 1;
    times[i] = clinux_now() - before;
  }
  munmap(memory, PAGES * 4096);
  qsort(times, PAGES, sizeof *times, ascending);
  return times[PAGES / 2];
}

static int read_text(const char *path, char *text, size_t room) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read(fd, text, room - 1);
  if (fd >= 0) close(fd);
  text[length > 0 ? length : 0] = 0;
  return length > 0;
}

uint64_t cbench_busy(void) {
  char text[4096];
  unsigned long long user, nice, system, idle, waiting, interrupt, soft, stolen;
  if (!read_text("/proc/stat", text, sizeof text)) return 0;
  if (sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &waiting,
             &interrupt, &soft, &stolen) != 8)
    return 0;
  /* A tick of this file is 10 ms, whatever the kernel's own is (USER_HZ). */
  return (uint64_t)(user + nice + system + interrupt + soft + stolen) * 10000000u;
}

uint64_t cbench_free_huge_pages(void) {
  char text[64];
  unsigned long long free = 0, reserved = 0;
  if (read_text("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", text, sizeof text))
    sscanf(text, "%llu", &free);
  if (read_text("/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", text, sizeof text))
    sscanf(text, "%llu", &reserved);
  return free > reserved ? free - reserved : 0;
}

uint64_t cbench_available_memory(void) {
  char text[4096];
  unsigned long long kibibytes = 0;
  if (!read_text("/proc/meminfo", text, sizeof text)) return 0;
  const char *line = strstr(text, "MemAvailable:");
  if (line) sscanf(line, "MemAvailable: %llu", &kibibytes);
  return (uint64_t)kibibytes << 10;
}
