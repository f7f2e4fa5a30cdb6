/* SPDX-License-Identifier: Apache-2.0 */
/* Shared memory files of base pages: what is in the page cache, what is mapped, who sees it. */
#define _GNU_SOURCE
#include "kernel_probes.h"
#include "probe_words.h"

#include <string.h>
#include <sys/stat.h>

enum { BOTH = CLINUX_REGISTER_MISSING | CLINUX_REGISTER_MINOR };

/* A one-page memfd, mapped once and registered. */
struct fixture {
  int uffd, file;
  char *memory;
};

static struct fixture fixture(int sharing, uint64_t mode) {
  if (mode & CLINUX_REGISTER_MINOR) PROBE_NEED(MINOR_SHMEM);
  struct fixture made = {.uffd = probe_uffd(0), .file = probe_memfd(probe_page)};
  made.memory = probe_map(made.file, probe_page, sharing);
  probe_register(made.uffd, made.memory, probe_page, mode);
  return made;
}

static int cached_byte(int file) {
  unsigned char byte = 0;
  if (pread(file, &byte, 1, 0) != 1) probe_not_applicable("pread: %s", strerrorname_np(errno));
  return byte;
}

static void continue_absent(void) {
  struct fixture f = fixture(MAP_SHARED, BOTH);
  struct probe_thread thread;
  probe_start_access(&thread, f.memory);
  probe_expect_next(f.uffd, PROBE_MISSING, "an access to a hole");
  probe_expect_code(probe_continue(f.uffd, f.memory, probe_page), -EFAULT, "CONTINUE of a hole");
  probe_expect_asleep(&thread, "the failed CONTINUE");
}

static void continue_twice(void) {
  struct fixture f = fixture(MAP_SHARED, BOTH);
  probe_cache(f.file, 0, 0x5a);
  probe_expect_fault(f.uffd, f.memory, PROBE_MINOR, "an access to a cached page");
  probe_expect_code(probe_continue(f.uffd, f.memory, probe_page), 0, "CONTINUE");
  probe_expect_byte(f.memory, 0x5a, "an access after CONTINUE");
  probe_expect_code(probe_continue(f.uffd, f.memory, probe_page), -EEXIST, "CONTINUE again");
}

static void copy_cached(void) {
  struct fixture f = fixture(MAP_SHARED, BOTH);
  char *source = probe_source(probe_page, 0x77);
  probe_cache(f.file, 0, 0x5a);
  probe_expect_code(probe_copy(f.uffd, f.memory, source, probe_page), -EEXIST,
                    "COPY onto a cached page of a shared mapping");
  probe_expect(cached_byte(f.file), 0x5a, "the cached byte");
}

static void private_copy_shadows(void) {
  struct fixture f = fixture(MAP_PRIVATE, BOTH);
  char *source = probe_source(probe_page, 0x77);
  probe_cache(f.file, 0, 0x5a);
  probe_expect_code(probe_copy(f.uffd, f.memory, source, probe_page), 0,
                    "COPY onto a cached page of a private mapping");
  probe_expect_byte(f.memory, 0x77, "the mapping");
  probe_expect(cached_byte(f.file), 0x5a, "the cached byte");
}

static void private_copy_unpublished(void) {
  struct fixture f = fixture(MAP_PRIVATE, CLINUX_REGISTER_MISSING);
  char *source = probe_source(probe_page, 0x77);
  probe_expect_code(probe_copy(f.uffd, f.memory, source, probe_page), 0, "COPY");
  struct stat info;
  if (fstat(f.file, &info) == 0) probe_expect(info.st_blocks, 0, "blocks of the file");
}

static void private_continue_cow(void) {
  struct fixture f = fixture(MAP_PRIVATE, BOTH);
  probe_cache(f.file, 0, 0x5a);
  probe_expect_code(probe_continue(f.uffd, f.memory, probe_page), 0, "CONTINUE");
  probe_expect_byte(f.memory, 0x5a, "the mapping");
  *(volatile char *)f.memory = 0x33;
  probe_expect_byte(f.memory, 0x33, "the mapping after a store");
  probe_expect(cached_byte(f.file), 0x5a, "the cached byte after the store");
}

static void missing_only_cached(void) {
  struct fixture f = fixture(MAP_SHARED, CLINUX_REGISTER_MISSING);
  probe_cache(f.file, 0, 0x5a);
  probe_expect_byte(f.memory, 0x5a, "a cached page under a missing-only registration");
}

static void minor_only_hole(void) {
  struct fixture f = fixture(MAP_SHARED, CLINUX_REGISTER_MINOR);
  probe_expect_byte(f.memory, 0, "a hole under a minor-only registration");
}

static void copy_publishes(void) {
  struct fixture f = fixture(MAP_SHARED, BOTH);
  char *source = probe_source(probe_page, 0x5a);
  probe_expect_code(probe_copy(f.uffd, f.memory, source, probe_page), 0, "COPY");
  probe_expect_byte(f.memory, 0x5a, "the mapping");
  probe_expect(cached_byte(f.file), 0x5a, "the cached byte");
}

static void zeropage_publishes(void) {
  struct fixture f = fixture(MAP_SHARED, BOTH);
  char *sibling = probe_map(f.file, probe_page, MAP_SHARED);
  probe_register(f.uffd, sibling, probe_page, BOTH);
  probe_expect_code(probe_zeropage(f.uffd, f.memory, probe_page), 0, "ZEROPAGE");
  probe_expect_fault(f.uffd, sibling, PROBE_MINOR, "an access through a sibling mapping");
}

static void publisher(int sharing) {
  struct fixture f = fixture(sharing, BOTH);
  int own = probe_uffd(0);
  char *window = probe_map(f.file, probe_page, MAP_SHARED), *source = probe_source(probe_page, 0x5a);
  struct probe_thread thread;
  probe_register(own, window, probe_page, BOTH);
  probe_start_access(&thread, f.memory);
  probe_expect_next(f.uffd, PROBE_MISSING, "an access to a hole");
  probe_expect_code(probe_copy(own, window, source, probe_page), 0, "COPY into the publisher mapping");
  probe_expect_asleep(&thread, "the publication");
  probe_expect_code(probe_continue(f.uffd, f.memory, probe_page), 0, "CONTINUE in the other mapping");
  probe_expect_access(&thread, 0x5a, "CONTINUE");
}

static void publisher_mapping(void) { publisher(MAP_SHARED); }
static void publisher_private_client(void) { publisher(MAP_PRIVATE); }

static const struct kernel_probe probes[] = {
    {"continue-absent", "CONTINUE of a hole answers EFAULT and wakes nobody", continue_absent},
    {"continue-twice", "CONTINUE of a mapped page answers EEXIST", continue_twice},
    {"copy-publishes", "COPY into a shared mapping puts the page into the file", copy_publishes},
    {"copy-cached", "COPY onto a cached page of a shared mapping answers EEXIST and changes nothing",
     copy_cached},
    {"private-copy-shadows",
     "COPY onto a cached page of a private mapping succeeds and leaves the file alone",
     private_copy_shadows},
    {"private-copy-unpublished", "COPY into a private mapping leaves a hole of the file a hole",
     private_copy_unpublished},
    {"private-continue-cow", "CONTINUE in a private mapping is copy on write", private_continue_cow},
    {"missing-only-cached", "a cached page raises no message under a missing-only registration",
     missing_only_cached},
    {"minor-only-hole", "a hole raises no message under a minor-only registration and reads zero",
     minor_only_hole},
    {"zeropage-publishes", "ZEROPAGE in a shared mapping is a minor fault for its siblings",
     zeropage_publishes},
    {"publisher-mapping", "COPY into an own shared mapping and CONTINUE in another one serves a fault",
     publisher_mapping},
    {"publisher-private-client", "the publisher mapping serves private mappings of the file as well",
     publisher_private_client},
};
PROBE_TOPIC(probe_minor, probes);
