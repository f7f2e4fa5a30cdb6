/* SPDX-License-Identifier: Apache-2.0 */
/* Discards, and the ends of things: close, UNREGISTER, munmap, fork. */
#define _GNU_SOURCE
#include "kernel_probes.h"
#include "probe_words.h"

#include <signal.h>

enum { BOTH = CLINUX_REGISTER_MISSING | CLINUX_REGISTER_MINOR };

/* --- Discards ------------------------------------------------------------------------------------- */

static void anonymous_discard(void) {
  int uffd = probe_uffd(0);
  char *page = probe_anonymous(probe_page), *source = probe_source(probe_page, 0x5a);
  probe_register(uffd, page, probe_page, CLINUX_REGISTER_MISSING);
  probe_expect_code(probe_copy(uffd, page, source, probe_page), 0, "COPY");
  probe_expect_code(clinux_madvise(page, probe_page, MADV_DONTNEED), 0, "MADV_DONTNEED");
  probe_expect_fault(uffd, page, PROBE_MISSING, "the discarded page");
}

/* Fills a memfd page, discards it and expects the kind of the next fault. */
static void file_discard(int sharing, int advice, int kind) {
  PROBE_NEED(MINOR_SHMEM);
  int uffd = probe_uffd(0), file = probe_memfd(probe_page);
  char *page = probe_map(file, probe_page, sharing);
  probe_register(uffd, page, probe_page, BOTH);
  probe_cache(file, 0, 0x5a);
  probe_expect_code(probe_continue(uffd, page, probe_page), 0, "CONTINUE");
  probe_expect_code(clinux_madvise(page, probe_page, advice), 0, "madvise");
  probe_expect_fault(uffd, page, kind, "the discarded page");
  if (kind == PROBE_MINOR) {
    probe_expect_code(probe_continue(uffd, page, probe_page), 0, "CONTINUE after the discard");
    probe_expect_byte(page, 0x5a, "the page after CONTINUE");
  }
}

static void shared_dontneed(void) { file_discard(MAP_SHARED, MADV_DONTNEED, PROBE_MINOR); }
static void shared_remove(void) { file_discard(MAP_SHARED, MADV_REMOVE, PROBE_MISSING); }
static void private_dontneed(void) { file_discard(MAP_PRIVATE, MADV_DONTNEED, PROBE_MINOR); }

static const struct kernel_probe discards[] = {
    {"anonymous-dontneed", "anonymous memory is missing after MADV_DONTNEED", anonymous_discard},
    {"shared-dontneed", "a shared memfd page is a minor fault with its content after MADV_DONTNEED",
     shared_dontneed},
    {"shared-remove", "a shared memfd page is missing after MADV_REMOVE", shared_remove},
    {"private-dontneed",
     "a private memfd page is a minor fault with the file's content after MADV_DONTNEED",
     private_dontneed},
};
PROBE_TOPIC(probe_discards, discards);

/* --- Endings -------------------------------------------------------------------------------------- */

static void last_close(void) {
  int uffd = probe_uffd(0);
  char *pages = probe_anonymous(2 * probe_page);
  struct probe_thread thread;
  probe_register(uffd, pages, 2 * probe_page, CLINUX_REGISTER_MISSING);
  probe_start_access(&thread, pages);
  probe_expect_next(uffd, PROBE_MISSING, "the first access");
  close(uffd);
  probe_expect_access(&thread, 0, "the waiting access after the last close");
  probe_expect_byte(pages + probe_page, 0, "a missing page after the last close");
}

static void second_holder(void) {
  int uffd = probe_uffd(0), kept = dup(uffd);
  char *page = probe_anonymous(probe_page), *source = probe_source(probe_page, 0x5a);
  struct probe_thread thread;
  probe_register(uffd, page, probe_page, CLINUX_REGISTER_MISSING);
  probe_start_access(&thread, page);
  probe_expect_next(uffd, PROBE_MISSING, "the first access");
  close(uffd);
  probe_expect_asleep(&thread, "close of one of two descriptors");
  probe_expect_code(probe_wake(kept, page, probe_page), 0, "WAKE by the other one");
  probe_expect_next(kept, PROBE_MISSING, "the same access, on the other descriptor");
  probe_expect_code(probe_copy(kept, page, source, probe_page), 0, "COPY by the other one");
  probe_expect_access(&thread, 0x5a, "COPY by the other one");
}

static void unregister_missing(void) {
  int uffd = probe_uffd(0);
  char *page = probe_anonymous(probe_page);
  struct probe_thread thread;
  probe_register(uffd, page, probe_page, CLINUX_REGISTER_MISSING);
  probe_start_access(&thread, page);
  probe_expect_next(uffd, PROBE_MISSING, "the first access");
  probe_expect_code(clinux_uffd_unregister(uffd, (uint64_t)page, probe_page), 0, "UNREGISTER");
  probe_expect_access(&thread, 0, "UNREGISTER");
}

static void unregister_minor(void) {
  PROBE_NEED(MINOR_SHMEM);
  int uffd = probe_uffd(0), file = probe_memfd(probe_page);
  char *page = probe_map(file, probe_page, MAP_SHARED);
  struct probe_thread thread;
  probe_cache(file, 0, 0x5a);
  probe_register(uffd, page, probe_page, CLINUX_REGISTER_MINOR);
  probe_start_access(&thread, page);
  probe_expect_next(uffd, PROBE_MINOR, "the first access");
  probe_expect_code(clinux_uffd_unregister(uffd, (uint64_t)page, probe_page), 0, "UNREGISTER");
  probe_expect_asleep(&thread, "UNREGISTER");
  probe_wake(uffd, page, probe_page);
  probe_expect_access(&thread, 0x5a, "WAKE");
}

static void munmap_waiter(void) {
  int uffd = probe_uffd(0);
  char *page = probe_anonymous(probe_page);
  struct probe_thread thread;
  probe_register(uffd, page, probe_page, CLINUX_REGISTER_MISSING);
  probe_start_access(&thread, page);
  probe_expect_next(uffd, PROBE_MISSING, "the first access");
  munmap(page, probe_page);
  probe_expect_asleep(&thread, "munmap");
  probe_wake(uffd, page, probe_page);
  probe_expect_access(&thread, PROBE_SIGNAL(SIGSEGV), "WAKE");
}

/* What a forked child sees in a page that is missing and registered in its parent. */
static int look_in_child(int advice) {
  int uffd = probe_uffd(0);
  char *page = probe_anonymous(probe_page);
  probe_register(uffd, page, probe_page, CLINUX_REGISTER_MISSING);
  if (advice) probe_expect_code(clinux_madvise(page, probe_page, advice), 0, "madvise");
  int child = probe_fork();
  if (child == 0) {
    int number = clinux_touch(page, 0);
    _exit(number ? number : 100 + (*(volatile char *)page != 0));
  }
  return probe_reap(child);
}

static void fork_reads_zero(void) { probe_expect(look_in_child(0), 100, "the child (100: it read zero)"); }

static void dontfork(void) {
  probe_expect(look_in_child(MADV_DONTFORK), SIGSEGV, "the child's signal (100: it read zero)");
}

static const struct kernel_probe endings[] = {
    {"last-close", "after the last close a missing page reads zero, for waiting and later accesses",
     last_close},
    {"second-holder", "a second descriptor keeps waiters asleep, and WAKE by it delivers their faults again",
     second_holder},
    {"unregister-missing", "UNREGISTER wakes waiters of missing faults and they read zero",
     unregister_missing},
    {"unregister-minor", "UNREGISTER leaves waiters of minor faults asleep until WAKE", unregister_minor},
    {"munmap-waiter", "munmap wakes nobody; after WAKE the access gets SIGSEGV", munmap_waiter},
    {"fork-zero", "without EVENT_FORK a forked child reads zero in a missing page", fork_reads_zero},
    {"dontfork", "under MADV_DONTFORK a forked child gets SIGSEGV", dontfork},
};
PROBE_TOPIC(probe_endings, endings);
