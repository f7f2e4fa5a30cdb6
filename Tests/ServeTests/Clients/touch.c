/* SPDX-License-Identifier: Apache-2.0 */
/* Reads everything: in order and at random, from many threads, by system calls, under a storm of signals. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

/* The first thread goes through the memory in order, the others each in an order of their own. */
static void *touch_all(void *argument) {
  struct client *client = argument;
  for (uint64_t i = 0; i < client->count; i++) {
    uint64_t region = (i + thread_number) % client->count;
    verify_region(client, region, thread_number ? options->random + thread_number : 0);
  }
  return NULL;
}

void scenario_touch(void) {
  struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE);
  expect_watched(client, 1);
  if (present_pages(client)) fail("%lu pages are there before the first touch", present_pages(client));
  step("touching %lu bytes", options->bytes);
  run_threads(options->threads, touch_all, client);
  if (present_pages(client) != all_pages(client)) fail("only %lu pages are there", present_pages(client));
  expect_watched(client, 1);
  check_settled(client);
}

/* --- The kernel's own accesses ------------------------------------------------------------------ */

/* The kernel reads the first half from a pipe into missing memory, and writes the second half out of it. */
void scenario_syscalls(void) {
  struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE);
  uint64_t page = client->page, pages = PAGES(client, 0);
  const struct region *region = &client->regions[0];
  int file = memfd_create("copy", MFD_CLOEXEC);
  char *copy = malloc(page);
  if (file < 0 || !copy) fail_errno("memfd_create");
  step("writing out of missing memory");
  for (uint64_t i = pages / 2; i < pages; i++) {
    char *at = region->start + i * page;
    if (pwrite(file, at, page, (off_t)(i * page)) != (ssize_t)page) fail_errno("pwrite");
    if (pread(file, copy, page, (off_t)(i * page)) != (ssize_t)page) fail_errno("pread");
    expect_pattern(copy, page, region->offset + i * page);
  }
  step("reading into missing memory");
  memset(copy, 0x5a, page);
  if (pwrite(file, copy, page, 0) != (ssize_t)page) fail_errno("pwrite");
  for (uint64_t i = 0; i < pages / 2; i++) {
    char *at = region->start + i * page;
    /* The middle of the page: what lies around it must be the object's. */
    if (pread(file, at + page / 4, page / 2, 0) != (ssize_t)(page / 2)) fail_errno("pread");
    expect_pattern(at, page / 4, region->offset + i * page);
    if (memcmp(at + page / 4, copy, page / 2)) fail("page %lu lost what read(2) put there", i);
    expect_pattern(at + page / 4 * 3, page / 4, region->offset + i * page + page / 4 * 3);
    COUNT(writes, 1);
  }
  COUNT(pages, pages);
  check_settled(client);
}

/* --- Signals ------------------------------------------------------------------------------------ */

static void on_alarm(int number) {
  (void)number;
  COUNT(signals, 1);
}

/* 1,000 signals a second interrupt threads that sleep on their pages. */
void scenario_signals(void) {
  struct sigaction action = {.sa_handler = on_alarm};
  sigaction(SIGUSR1, &action, NULL);
  struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE);
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  struct itimerspec interval = {.it_interval = {0, 1000000}, .it_value = {0, 1000000}};
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &interval, NULL))
    fail_errno("timer_create");
  step("touching under signals");
  uint64_t deadline = now_ns() + (uint64_t)(options->seconds * 1e9);
  for (uint64_t i = 0; i < client->count; i++) {
    uint64_t page = client->page, pages = PAGES(client, i);
    for (uint64_t j = 0; j < pages; j++) {
      char *at = client->regions[i].start + j * page;
      expect_pattern(at, page, client->regions[i].offset + j * page);
      /* Discarded pages fault again, so that it goes on for as long as it should. */
      if (now_ns() < deadline && j % 2) {
        if (madvise(at, page, is_shared(client->memory) ? MADV_REMOVE : MADV_DONTNEED)) fail_errno("madvise");
        expect_zero(at, page);
        COUNT(discards, 1);
      }
      COUNT(pages, 1);
    }
  }
  timer_delete(timer);
  check_settled(client);
}

/* --- Latency ------------------------------------------------------------------------------------ */

/* Time of the first touch of each page, one at a time. */
void scenario_latency(void) {
  struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE);
  uint64_t pages = PAGES(client, 0), page = client->page, *samples = malloc(pages * sizeof *samples);
  const struct region *region = &client->regions[0];
  if (!samples) fail_errno("malloc");
  step("measuring");
  for (uint64_t i = 0; i < pages; i++) {
    uint64_t before = now_ns();
    (void)*(volatile char *)(region->start + i * page);
    samples[i] = now_ns() - before;
  }
  count_latencies(samples, pages);
  verify_region(client, 0, 0);
  check_settled(client);
}
