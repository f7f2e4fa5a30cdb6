/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A balloon that breathes: threads give random ranges back while others fault, write and verify. The ledger knows
 * what each page must show; threads without it look at pages that are being changed, which may show first the
 * object and then zero, and never the object again.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "client.h"

struct storm {
  struct client *client;
  struct ledger *ledger;
  uint64_t started, deadline;
  /* Readers of it discard; once it was written, nobody does so any more. */
  pthread_rwlock_t discards;
  int discards_are_over;
};

/* Mostly a page of a small window, which moves over the memory once: there all meet at pages that are missing. */
static uint64_t choose_page(struct storm *storm, struct chance *chance) {
  uint64_t count = storm->ledger->count, window = count / 64 + 2, time = now_ns() - storm->started;
  if (draw_below(chance, 8) == 0) return draw_below(chance, count);
  uint64_t first = (uint64_t)((double)time / (double)(storm->deadline - storm->started) * (double)count);
  return (first + draw_below(chance, window)) % count;
}

static void start(struct storm *storm) {
  *storm = (struct storm){.discards = PTHREAD_RWLOCK_INITIALIZER};
  storm->client = client_open(UFFD_FEATURE_EVENT_REMOVE);
  storm->ledger = ledger_new(storm->client);
  storm->started = now_ns();
  storm->deadline = storm->started + (uint64_t)(options->seconds * 1e9);
  step("the storm");
}

static void end(struct storm *storm) {
  step("verifying everything");
  ledger_check_all(storm->ledger, options->random);
  check_settled(storm->client);
}

static void discard_some(struct storm *storm, struct chance *chance) {
  uint64_t first = choose_page(storm, chance);
  uint64_t most = storm->client->page == 4096 ? 8 : 2, count = 1 + draw_below(chance, most);
  int advice = is_shared(storm->client->memory) && draw_below(chance, 2) ? MADV_REMOVE : MADV_DONTNEED;
  pthread_rwlock_rdlock(&storm->discards);
  if (!storm->discards_are_over) ledger_discard(storm->ledger, first, count, advice);
  pthread_rwlock_unlock(&storm->discards);
}

/* Looks without a lock. Only word 3 is ever written. */
static void peek(struct storm *storm, struct chance *chance) {
  struct entry *entry = &storm->ledger->entries[choose_page(storm, chance)];
  uint64_t length = storm->client->page - 32;
  int was_gone = __atomic_load_n(&entry->is_gone, __ATOMIC_ACQUIRE);
  enum shown shown = look(entry->at + 32, length, entry->offset + 32);
  if (shown == SHOWS_WRONG) fail("WRONG BYTES at %p", entry->at);
  if (was_gone && shown != SHOWS_ZERO) fail("WRONG BYTES: the page at %p came back", entry->at);
}

static void *breathe(void *argument) {
  struct storm *storm = argument;
  struct chance chance = {options->random * 1000 + thread_number};
  while (now_ns() < storm->deadline) {
    uint64_t index = choose_page(storm, &chance);
    uint64_t choice = thread_number % 4 == 3 ? 32 : draw_below(&chance, 64);
    if (choice < 4) {
      discard_some(storm, &chance);
    } else if (choice < 12) {
      ledger_write(storm->ledger, index, draw(&chance));
    } else if (choice < 40) {
      peek(storm, &chance);
    } else {
      ledger_check(storm->ledger, index);
    }
    COUNT(rounds, 1);
  }
  return NULL;
}

void scenario_storm(void) {
  struct storm storm;
  start(&storm);
  run_threads(options->threads, breathe, &storm);
  end(&storm);
}

/* The same while the server fills the memory by itself, on the client's wish, and lets go. */
static void *breathe_and_drain(void *argument) {
  struct storm *storm = argument;
  if (thread_number > 0) return breathe(argument);
  pause_ns((uint64_t)(options->seconds * 3e8));
  /* When nobody watches it any more, a private mapping that is given back shows its file again. */
  if (storm->client->memory == SHMEM_PRIVATE) {
    pthread_rwlock_wrlock(&storm->discards);
    storm->discards_are_over = 1;
    pthread_rwlock_unlock(&storm->discards);
  }
  native_drain(storm->client);
  return NULL;
}

void scenario_storm_drain(void) {
  if (options->dialect != NATIVE) fail("only the native dialect has a drain");
  struct storm storm;
  start(&storm);
  run_threads(options->threads + 1, breathe_and_drain, &storm);
  if (native_missing(storm.client)) fail("the drain left pages missing");
  expect_watched(storm.client, 0);
  end(&storm);
}
