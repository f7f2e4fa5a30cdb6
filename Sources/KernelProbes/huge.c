/* SPDX-License-Identifier: Apache-2.0 */
/* Huge pages: the pool's special answers, and files that the kernel itself makes huge. */
#define _GNU_SOURCE
#include "kernel_probes.h"
#include "probe_words.h"

#include <signal.h>

enum { BOTH = CLINUX_REGISTER_MISSING | CLINUX_REGISTER_MINOR };

struct fixture {
  int uffd, file;
  char *memory;
};

static struct fixture fixture(size_t length, uint64_t mode) {
  if (mode & CLINUX_REGISTER_MINOR) PROBE_NEED(MINOR_HUGETLBFS);
  struct fixture made = {.uffd = probe_uffd(0), .file = probe_huge_memfd(length)};
  made.memory = probe_map(made.file, length, MAP_SHARED);
  probe_register(made.uffd, made.memory, length, mode);
  return made;
}

static void no_zeropage(void) {
  struct fixture f = fixture(PROBE_HUGE, CLINUX_REGISTER_MISSING);
  probe_expect_code(probe_zeropage(f.uffd, f.memory, PROBE_HUGE), -EINVAL, "ZEROPAGE of a huge page");
  char *zeroes = probe_source(PROBE_HUGE, 0);
  probe_expect_code(probe_copy(f.uffd, f.memory, zeroes, PROBE_HUGE), 0, "COPY of zeroes");
}

static void whole_pages(void) {
  struct fixture f = fixture(PROBE_HUGE, CLINUX_REGISTER_MISSING);
  char *source = probe_source(probe_page, 0x5a);
  probe_expect_code(probe_copy(f.uffd, f.memory, source, probe_page), -EINVAL,
                    "COPY of a part of a huge page");
  probe_expect_fault(f.uffd, f.memory + probe_page, PROBE_MISSING, "an access after the refusal");
}

/* One huge page of quota, two pages of mapping: the second COPY finds nothing to take. */
static void exhausted(void) {
  PROBE_NEED(MISSING_HUGETLBFS);
  static const char *const options[][2] = {{"pagesize", "2M"}, {"size", "2M"}, {NULL, NULL}};
  int uffd = probe_uffd(0), file = probe_file_on_own_mount("hugetlbfs", options, 2 * PROBE_HUGE);
  char *memory = probe_map(file, 2 * PROBE_HUGE, MAP_SHARED | MAP_NORESERVE);
  char *source = probe_source(PROBE_HUGE, 0x5a), *second = memory + PROBE_HUGE;
  probe_register(uffd, memory, 2 * PROBE_HUGE, CLINUX_REGISTER_MISSING);
  if (probe_copy(uffd, memory, source, PROBE_HUGE)) probe_not_applicable("no 2 MiB page is free");
  int code = probe_copy(uffd, second, source, PROBE_HUGE);
  if (code != -ENOMEM) probe_expect_code(code, -EEXIST, "COPY with the quota used up");
  PROBE_NEED(POISON);
  probe_expect_code(probe_poison(uffd, memory, PROBE_HUGE), -EEXIST, "POISON of the present page");
  probe_expect_code(probe_poison(uffd, second, PROBE_HUGE), 0, "POISON of the absent page");
}

static void poison_tells_presence(void) {
  PROBE_NEED(POISON);
  struct fixture f = fixture(2 * PROBE_HUGE, CLINUX_REGISTER_MISSING);
  char *source = probe_source(PROBE_HUGE, 0x5a);
  probe_expect_code(probe_copy(f.uffd, f.memory, source, PROBE_HUGE), 0, "COPY");
  probe_expect_code(probe_poison(f.uffd, f.memory, PROBE_HUGE), -EEXIST, "POISON of a present page");
  probe_expect_byte(f.memory, 0x5a, "the present page");
  probe_expect_code(probe_poison(f.uffd, f.memory + PROBE_HUGE, PROBE_HUGE), 0,
                    "POISON of an absent page");
  probe_expect_byte(f.memory + PROBE_HUGE, PROBE_SIGNAL(SIGBUS), "the absent page");
}

static void publisher(void) {
  struct fixture f = fixture(PROBE_HUGE, BOTH);
  int own = probe_uffd(0);
  char *window = probe_map(f.file, PROBE_HUGE, MAP_SHARED), *source = probe_source(PROBE_HUGE, 0x5a);
  struct probe_thread thread;
  probe_register(own, window, PROBE_HUGE, BOTH);
  probe_start_access(&thread, f.memory);
  probe_expect_next(f.uffd, PROBE_MISSING, "an access to a hole");
  probe_expect_code(probe_copy(own, window, source, PROBE_HUGE), 0, "COPY into the publisher mapping");
  probe_expect_code(probe_continue(f.uffd, f.memory, PROBE_HUGE), 0, "CONTINUE in the other mapping");
  probe_expect_access(&thread, 0x5a, "CONTINUE");
}

static void huge_tmpfs_neighbour(void) {
  PROBE_NEED(MINOR_SHMEM);
  static const char *const options[][2] = {{"huge", "always"}, {NULL, NULL}};
  int uffd = probe_uffd(0), file = probe_file_on_own_mount("tmpfs", options, PROBE_HUGE);
  char *memory = probe_map(file, PROBE_HUGE, MAP_SHARED), *source = probe_source(probe_page, 0x5a);
  probe_register(uffd, memory, PROBE_HUGE, BOTH);
  probe_expect_code(probe_copy(uffd, memory, source, probe_page), 0, "COPY of one base page");
  probe_expect_fault(uffd, memory + probe_page, PROBE_MISSING, "the neighbour");
}

static const struct kernel_probe probes[] = {
    {"hugetlb-no-zeropage", "ZEROPAGE of a huge page answers EINVAL, COPY of zeroes serves instead",
     no_zeropage},
    {"hugetlb-whole-pages", "COPY of a part of a huge page answers EINVAL", whole_pages},
    {"hugetlb-exhausted",
     "COPY without a free huge page fails with EEXIST or ENOMEM, and POISON finds the page absent",
     exhausted},
    {"hugetlb-poison-probe", "POISON tells a present huge page (EEXIST) from an absent one (success)",
     poison_tells_presence},
    {"hugetlb-publisher", "the publisher mapping serves huge pages", publisher},
    {"tmpfs-huge-neighbour", "COPY of one base page into a huge=always tmpfs leaves its neighbour missing",
     huge_tmpfs_neighbour},
};
PROBE_TOPIC(probe_huge, probes);
