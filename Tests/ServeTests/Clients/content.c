/* SPDX-License-Identifier: Apache-2.0 */
/* Reads served memory and says what it showed; reads that may cost a signal; where a thread sleeps. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "pattern.h"

enum shown look(const volatile void *memory, uint64_t length, uint64_t offset) {
  const volatile uint64_t *words = memory;
  uint64_t pattern = 0, zero = 0;
  for (uint64_t i = 0; i < length / 8; i++) {
    uint64_t wanted = pattern_at(options->seed, options->object, offset + i * 8), found = words[i];
    if (wanted == 0) {
      /* Behind the end of the object. */
      if (found != 0) return SHOWS_WRONG;
    } else if (found == 0) {
      zero++;
    } else if (found == wanted && zero == 0) {
      pattern++;
    } else {
      return SHOWS_WRONG;
    }
  }
  return pattern == 0 ? SHOWS_ZERO : zero == 0 ? SHOWS_PATTERN : SHOWS_TURNED;
}

void expect_pattern(const volatile void *memory, uint64_t length, uint64_t offset) {
  const volatile uint64_t *words = memory;
  for (uint64_t i = 0; i < length / 8; i++) {
    uint64_t wanted = pattern_at(options->seed, options->object, offset + i * 8), found = words[i];
    if (found != wanted)
      fail("WRONG BYTES at %p: byte %lu of the object shows %#lx, not %#lx", (void *)&words[i], offset + i * 8,
           found, wanted);
  }
}

void expect_zero(const volatile void *memory, uint64_t length) {
  const volatile uint64_t *words = memory;
  for (uint64_t i = 0; i < length / 8; i++)
    if (words[i] != 0) fail("WRONG BYTES at %p: %#lx, not zero", (void *)&words[i], words[i]);
}

static uint64_t common_divisor(uint64_t a, uint64_t b) { return b ? common_divisor(b, a % b) : a; }

void verify_region(const struct client *client, uint64_t index, uint64_t random) {
  const struct region *region = &client->regions[index];
  uint64_t pages = PAGES(client, index), stride = 1, at = 0;
  if (random) {
    /* A stride that is prime to the count visits every page once. */
    struct chance chance = {random};
    at = draw_below(&chance, pages);
    stride = draw_below(&chance, pages) + 1;
    while (common_divisor(stride, pages) != 1) stride++;
  }
  for (uint64_t i = 0; i < pages; i++, at = (at + stride) % pages)
    expect_pattern(region->start + at * client->page, client->page, region->offset + at * client->page);
  COUNT(pages, pages);
}

/* --- Signals ------------------------------------------------------------------------------------ */

static _Thread_local sigjmp_buf back;
static _Thread_local volatile sig_atomic_t is_trying;

static void on_signal(int signal_number, siginfo_t *info, void *context) {
  (void)context;
  if (is_trying) siglongjmp(back, signal_number);
  dprintf(2, "client %d: %s: signal %d at %p, which nobody expected\n", getpid(), options->scenario, signal_number,
          info->si_addr);
  _exit(1);
}

int try_read(const volatile void *memory, uint64_t *word) {
  static int is_ready;
  if (!__atomic_exchange_n(&is_ready, 1, __ATOMIC_ACQ_REL)) {
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
  }
  int signal_number = sigsetjmp(back, 1);
  if (signal_number == 0) {
    is_trying = 1;
    *word = *(const volatile uint64_t *)memory;
  }
  is_trying = 0;
  return signal_number;
}

/* --- Sleepers ----------------------------------------------------------------------------------- */

int sleeps_in(pid_t tid, const char *function) {
  char path[64], text[128];
  snprintf(path, sizeof path, "/proc/self/task/%d/wchan", tid);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  if (length < 0) return 0;
  text[length] = 0;
  return strstr(text, function) != NULL;
}

int waits_until_asleep(pid_t tid) {
  for (int i = 0; i < 2000; i++) {
    if (sleeps_in(tid, "handle_userfault")) return 1;
    pause_ns(1000000);
  }
  return 0;
}

static void *sleep_on_page(void *argument) {
  struct sleeper *sleeper = argument;
  __atomic_store_n(&sleeper->tid, gettid(), __ATOMIC_RELEASE);
  sleeper->signal_number = try_read(sleeper->at, &sleeper->word);
  return NULL;
}

int sleeper_start(struct sleeper *sleeper, const volatile void *at) {
  *sleeper = (struct sleeper){.at = at};
  pthread_create(&sleeper->thread, NULL, sleep_on_page, sleeper);
  while (!__atomic_load_n(&sleeper->tid, __ATOMIC_ACQUIRE)) pause_ns(100000);
  return waits_until_asleep(sleeper->tid);
}
