/* SPDX-License-Identifier: Apache-2.0 */
/* Delivery of faults: waking, delivering again, order. */
#define _GNU_SOURCE
#include "kernel_probes.h"
#include "probe_words.h"


static void eexist_no_wake(void) {
  int uffd = probe_uffd(0);
  char *page = probe_anonymous(probe_page), *source = probe_source(probe_page, 0x5a);
  int64_t done;
  struct probe_thread thread;
  probe_register(uffd, page, probe_page, CLINUX_REGISTER_MISSING);
  probe_start_access(&thread, page);
  probe_expect_next(uffd, PROBE_MISSING, "the first access");
  probe_expect_code(
      probe_copy_done(uffd, page, source, probe_page, UFFDIO_COPY_MODE_DONTWAKE, &done), 0,
      "COPY with DONTWAKE");
  probe_expect_code(probe_copy(uffd, page, source, probe_page), -EEXIST, "COPY onto the page");
  probe_expect_asleep(&thread, "EEXIST");
  probe_wake(uffd, page, probe_page);
  probe_expect_access(&thread, 0x5a, "WAKE");
}

static void wake_redelivers(void) {
  int uffd = probe_uffd(0);
  char *page = probe_anonymous(probe_page);
  struct probe_thread thread;
  probe_register(uffd, page, probe_page, CLINUX_REGISTER_MISSING);
  probe_start_access(&thread, page);
  probe_expect_next(uffd, PROBE_MISSING, "the first access");
  probe_expect_code(probe_wake(uffd, page, probe_page), 0, "WAKE");
  probe_expect_next(uffd, PROBE_MISSING, "WAKE without a page");
  probe_expect_asleep(&thread, "the repeated fault");
}

static void wake_safe(void) {
  int uffd = probe_uffd(0);
  char *never = probe_anonymous(probe_page), *gone = probe_anonymous(probe_page);
  munmap(gone, probe_page);
  probe_expect_code(probe_wake(uffd, never, probe_page), 0, "WAKE of unregistered memory");
  probe_expect_code(probe_wake(uffd, gone, probe_page), 0, "WAKE of unmapped memory");
}

static void copy_wakes_range(void) {
  int uffd = probe_uffd(0);
  char *pages = probe_anonymous(2 * probe_page), *source = probe_source(probe_page, 0x5a);
  struct probe_thread first, second;
  probe_register(uffd, pages, 2 * probe_page, CLINUX_REGISTER_MISSING);
  probe_start_access(&first, pages);
  probe_expect_next(uffd, PROBE_MISSING, "the first page");
  probe_start_access(&second, pages + probe_page);
  probe_expect_next(uffd, PROBE_MISSING, "the second page");
  probe_expect_code(probe_copy(uffd, pages, source, probe_page), 0, "COPY");
  probe_expect_access(&first, 0x5a, "COPY of the first page");
  probe_expect_asleep(&second, "COPY of the other page");
}

static void faults_first(void) {
  PROBE_NEED(EVENT_REMOVE);
  int uffd = probe_uffd(CLINUX_FEATURE_EVENT_REMOVE);
  char *pages = probe_anonymous(2 * probe_page), *source = probe_source(probe_page, 0x5a);
  probe_register(uffd, pages, 2 * probe_page, CLINUX_REGISTER_MISSING);
  probe_expect_code(probe_copy(uffd, pages, source, probe_page), 0, "COPY");
  struct probe_thread event = {.address = pages, .length = probe_page};
  probe_start(&event, probe_discard);
  probe_await_readable(uffd, "MADV_DONTNEED");
  struct probe_thread access;
  probe_start_access(&access, pages + probe_page);
  for (int i = 0; i < 4000 && probe_unread_faults(uffd) == 0; i++) usleep(500);
  probe_expect_next(uffd, PROBE_MISSING, "the first message, with an older event waiting");
  probe_expect_next(uffd, CLINUX_EVENT_REMOVE, "the second message");
}

static void one_message_per_thread(void) {
  int uffd = probe_uffd(0);
  char *page = probe_anonymous(probe_page), *source = probe_source(probe_page, 0x5a);
  struct probe_thread threads[2];
  probe_register(uffd, page, probe_page, CLINUX_REGISTER_MISSING);
  for (int i = 0; i < 2; i++) probe_start_access(&threads[i], page);
  for (int i = 0; i < 2; i++) probe_expect_next(uffd, PROBE_MISSING, "each of two threads on one page");
  probe_expect_code(probe_copy(uffd, page, source, probe_page), 0, "COPY");
  for (int i = 0; i < 2; i++) probe_expect_access(&threads[i], 0x5a, "COPY");
}

static const struct kernel_probe probes[] = {
    {"eexist-no-wake", "EEXIST does not wake the threads that wait for the page", eexist_no_wake},
    {"wake-redelivers", "WAKE without an install makes the same fault arrive again", wake_redelivers},
    {"wake-safe", "WAKE of unregistered or unmapped memory succeeds", wake_safe},
    {"copy-wakes-range", "COPY wakes the waiters of its own range and no others", copy_wakes_range},
    {"faults-first", "faults are delivered before older events", faults_first},
    {"message-per-thread", "every thread that faults on a page sends a message of its own",
     one_message_per_thread},
};
PROBE_TOPIC(probe_faults, probes);
