/* SPDX-License-Identifier: Apache-2.0 */
/* Many clients at once, and a quiet one beside one that storms. Each is a process. */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"

static void *verify_some(void *argument) {
  struct client *client = argument;
  verify_region(client, thread_number % client->count, options->random + thread_number);
  return NULL;
}

/* All hand over before any of them faults. */
void scenario_crowd(void) {
  int gate[2];
  pid_t children[256];
  if (options->clients > 256) fail("256 clients are the most");
  if (pipe(gate)) fail_errno("pipe");
  for (uint64_t i = 0; i < options->clients; i++) {
    step("starting client %lu", i);
    children[i] = fork();
    if (children[i] < 0) fail_errno("fork");
    if (children[i]) continue;
    char byte;
    watch();
    close(gate[1]);
    struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE);
    step("waiting for the others");
    if (read(gate[0], &byte, 1) != 0) fail_errno("read");
    step("verifying");
    run_threads(options->threads, verify_some, client);
    check_settled(client);
    _exit(0);
  }
  close(gate[0]);
  pause_ns(300000000);
  close(gate[1]);
  for (uint64_t i = 0; i < options->clients; i++) {
    step("waiting for client %lu", i);
    expect_success(children[i]);
    COUNT(rounds, 1);
  }
}

/* --- Quiet -------------------------------------------------------------------------------------- */

static void *storm_for_ever(void *argument) {
  struct client *client = argument;
  struct chance chance = {options->random + thread_number};
  int advice = is_shared(client->memory) ? MADV_REMOVE : MADV_DONTNEED;
  for (;;) {
    uint64_t pages = PAGES(client, 0), index = draw_below(&chance, pages);
    char *at = client->regions[0].start + index * client->page;
    uint64_t run = draw_below(&chance, 64) + 1;
    if (index + run > pages) run = pages - index;
    for (uint64_t i = 0; i < run; i++) (void)*(volatile char *)(at + i * client->page);
    if (madvise(at, run * client->page, advice)) fail_errno("madvise");
  }
  return NULL;
}

static pid_t start_storm(void) {
  pid_t child = fork();
  if (child < 0) fail_errno("fork");
  if (child > 0) return child;
  watch();
  struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE);
  run_threads(options->threads, storm_for_ever, client);
  _exit(1);
}

/* Touches a new page every millisecond, and says how long each took: alone, or beside `--clients` storms. */
void scenario_quiet(void) {
  pid_t children[64];
  if (options->clients > 64) fail("64 storms are the most");
  for (uint64_t i = 0; i < options->clients; i++) children[i] = start_storm();
  struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE);
  uint64_t page = client->page, pages = PAGES(client, 0), *samples = malloc(pages * sizeof *samples);
  if (!samples) fail_errno("malloc");
  pause_ns(200000000);
  step("touching a page every millisecond");
  uint64_t deadline = now_ns() + (uint64_t)(options->seconds * 1e9), count = 0;
  for (; count < pages && now_ns() < deadline; count++) {
    char *at = client->regions[0].start + count * page;
    uint64_t before = now_ns();
    (void)*(volatile char *)at;
    samples[count] = now_ns() - before;
    expect_pattern(at, page, client->regions[0].offset + count * page);
    pause_ns(1000000);
  }
  COUNT(pages, count);
  count_latencies(samples, count);
  for (uint64_t i = 0; i < options->clients; i++) {
    int status;
    if (waitpid(children[i], &status, WNOHANG) != 0) fail("a storm ended by itself, with %#x", status);
    kill(children[i], SIGKILL);
    waitpid(children[i], &status, 0);
    COUNT(killed, 1);
  }
  check_settled(client);
}
