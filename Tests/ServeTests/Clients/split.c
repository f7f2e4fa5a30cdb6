/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel splits a mapping where its protection or its locking changes. One COPY may not cross such a border:
 * a server that fills runs of pages gets ENOENT, and has to go on page by page.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "client.h"

static void split_up(struct client *client, struct chance *chance) {
  const struct region *region = &client->regions[0];
  uint64_t page = client->page, pages = region->length / page;
  for (uint64_t i = 0; i + 3 < pages; i += 1 + draw_below(chance, 6)) {
    char *at = region->start + i * page;
    uint64_t length = (1 + draw_below(chance, 3)) * page;
    switch (draw_below(chance, 4)) {
      case 0:
        if (mprotect(at, length, PROT_READ)) fail_errno("mprotect");
        break;
      case 1:
        if (mlock2(at, length, MLOCK_ONFAULT)) fail_errno("mlock2");
        break;
      case 2:
        if (madvise(at, length, MADV_DONTFORK)) fail_errno("madvise");
        break;
      default: /* Locks what it faults in. */
        if (page == 4096 && i % 16 == 0 && mlock(at, page)) fail_errno("mlock");
    }
    COUNT(rounds, 1);
  }
}

static void *verify_all(void *argument) {
  verify_region(argument, 0, options->random + thread_number);
  return NULL;
}

void scenario_split(void) {
  struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE);
  struct chance chance = {options->random};
  step("splitting");
  split_up(client, &chance);
  step("verifying");
  run_threads(options->threads, verify_all, client);
  /* What is inaccessible is no fault of the server's. */
  char *at = client->regions[0].start;
  uint64_t word;
  if (mprotect(at, client->page, PROT_NONE)) fail_errno("mprotect");
  if (try_read(at, &word) != SIGSEGV) fail("PROT_NONE can be read");
  if (mprotect(at, client->page, PROT_READ)) fail_errno("mprotect");
  expect_pattern(at, client->page, client->regions[0].offset);
  if (options->dialect == NATIVE) {
    step("draining what is split");
    native_drain(client);
  }
  check_settled(client);
}
