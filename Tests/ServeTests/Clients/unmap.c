/* SPDX-License-Identifier: Apache-2.0 */
/* munmap of served memory: in part, wider than a region, under sleeping threads, and mapped anew at its address. */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client.h"

#define UNMAP_EVENTS (UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP)

/* Random holes, while the rest is verified. */
void scenario_unmap(void) {
  struct client *client = client_open(UNMAP_EVENTS);
  struct ledger *ledger = ledger_new(client);
  struct chance chance = {options->random};
  for (uint64_t round = 0; round < options->rounds; round++) {
    step("round %lu", round);
    uint64_t first = draw_below(&chance, ledger->count), count = 1 + draw_below(&chance, 8);
    for (uint64_t i = first; i < first + count && i < ledger->count; i++) {
      struct entry *entry = &ledger->entries[i];
      if (i > first && entry->at != ledger->entries[first].at + (i - first) * client->page) break;
      if (entry->state == IS_UNMAPPED) continue;
      if (draw_below(&chance, 2)) ledger_check(ledger, i);
      if (munmap(entry->at, client->page)) fail_errno("munmap");
      entry->state = IS_UNMAPPED;
    }
    uint64_t word;
    struct entry *gone = &ledger->entries[first];
    if (try_read(gone->at, &word) != SIGSEGV) fail("what was unmapped at %p can be read", gone->at);
    ledger_check(ledger, draw_below(&chance, ledger->count));
    COUNT(rounds, 1);
  }
  ledger_check_all(ledger, options->random);
  check_settled(client);
}

/* --- Sleepers ----------------------------------------------------------------------------------- */

/* Threads that sleep on a missing page when it is unmapped get SIGSEGV. Takes a provider that is slow. */
void scenario_unmap_asleep(void) {
  struct client *client = client_open(UNMAP_EVENTS);
  enum { COUNT_OF_SLEEPERS = 6 };
  struct sleeper sleepers[COUNT_OF_SLEEPERS];
  struct region *region = &client->regions[0];
  uint64_t half = PAGES(client, 0) / 2, page = client->page;
  if (half < COUNT_OF_SLEEPERS) fail("the memory is too small");
  step("waiting until all sleep on their pages");
  for (uint64_t i = 0; i < COUNT_OF_SLEEPERS; i++)
    /* Two on each page of the part that goes. */
    if (!sleeper_start(&sleepers[i], region->start + (half + i / 2) * page))
      fail("thread %lu does not sleep: is the provider slow?", i);
  step("unmapping under them");
  if (munmap(region->start + half * page, region->length - half * page)) fail_errno("munmap");
  for (uint64_t i = 0; i < COUNT_OF_SLEEPERS; i++) {
    step("waiting for thread %lu", i);
    pthread_join(sleepers[i].thread, NULL);
    if (sleepers[i].signal_number != SIGSEGV)
      fail("thread %lu got signal %d and the word %#lx", i, sleepers[i].signal_number, sleepers[i].word);
    COUNT(signals, 1);
  }
  step("verifying what is left");
  region->length = half * page;
  verify_region(client, 0, 0);
  check_settled(client);
}

/* --- Wider than a region ------------------------------------------------------------------------ */

/* One madvise and one munmap over parts of three regions, which lie without gaps. Beginning and end are left. */
void scenario_unmap_wide(void) {
  step("mapping three regions side by side");
  struct client *client = client_map();
  uint64_t page = client->page, length = client->regions[0].length;
  char *memory = reserve(length * 3);
  client->count = 3;
  for (uint64_t i = 0; i < 3; i++) {
    /* The middle one shows something else than its neighbours. */
    uint64_t offset = options->offset + (i == 1 ? 0 : i == 0 ? length : length * 2);
    if (offset + length > options->object) fail("the object is too small for three regions");
    client->regions[i] = (struct region){memory + i * length, length, offset};
  }
  if (client->memfd >= 0) skip("wide ranges of files are the same case");
  for (uint64_t i = 0; i < 3; i++) map_at(client, memory + i * length, length, 0);
  client_register(client, UNMAP_EVENTS);
  client_hand_over(client);
  step("discarding over three regions");
  if (madvise(memory + length - page * 2, length + page * 4, MADV_DONTNEED)) fail_errno("madvise");
  COUNT(discards, 1);
  expect_zero(memory + length - page * 2, length + page * 4);
  expect_pattern(memory + length - page * 3, page, client->regions[0].offset + length - page * 3);
  expect_pattern(memory + length * 2 + page * 2, page, client->regions[2].offset + page * 2);
  step("unmapping over three regions");
  if (munmap(memory + length - page * 4, length + page * 8)) fail_errno("munmap");
  client->regions[0].length = length - page * 4;
  client->regions[2] = (struct region){
      memory + length * 2 + page * 4, length - page * 4, client->regions[2].offset + page * 4};
  verify_region(client, 0, options->random);
  verify_region(client, 2, options->random);
  check_settled(client);
}

/* --- Many pieces -------------------------------------------------------------------------------- */

/* Every second page is unmapped: each one between is a region of its own. Then all of them with one call. */
void scenario_unmap_many(void) {
  struct client *client = client_open(UNMAP_EVENTS);
  struct region *region = &client->regions[0];
  uint64_t page = client->page, pages = PAGES(client, 0);
  for (uint64_t i = 1; i < pages; i += 2) {
    step("hole %lu", i);
    if (munmap(region->start + i * page, page)) fail_errno("munmap");
  }
  step("a look at some of the pieces");
  for (uint64_t i = 0; i < pages; i += pages / 64 * 2)
    expect_pattern(region->start + i * page, page, region->offset + i * page);
  uint64_t before = now_ns(), word;
  step("unmapping all pieces but the last one");
  if (munmap(region->start, (pages - 2) * page)) fail_errno("munmap");
  counts.worst = now_ns() - before;
  expect_pattern(region->start + (pages - 2) * page, page, region->offset + (pages - 2) * page);
  if (try_read(region->start, &word) != SIGSEGV) fail("what was unmapped can be read");
  check_settled(client);
}

/* --- Anew --------------------------------------------------------------------------------------- */

/* The last region is replaced; others lie below it in memory. */
static struct region *victim(struct client *client) { return &client->regions[client->count - 1]; }

static void *touch_until_gone(void *argument) {
  struct client *client = argument;
  struct chance chance = {options->random * 1000 + thread_number + now_ns()};
  uint64_t word;
  for (int i = 0; i < 64; i++) {
    uint64_t index = draw_below(&chance, victim(client)->length / client->page);
    if (try_read(victim(client)->start + index * client->page, &word)) break;
  }
  return NULL;
}

static void *replace(void *argument) {
  struct client *client = argument;
  struct region *region = victim(client);
  if (thread_number > 0) return touch_until_gone(client);
  struct chance chance = {options->random + now_ns()};
  pause_ns(draw_below(&chance, 2000000));
  if (munmap(region->start, region->length)) fail_errno("munmap");
  return NULL;
}

/*
 * Unmapped while others fault, mapped again at the same address, registered, and handed over as another part of
 * the object: nothing that was under way for the old memory may arrive in the new one.
 */
void scenario_unmap_anew(void) {
  if (options->dialect != NATIVE) fail("only the native dialect can add regions");
  struct client *client = client_open(UNMAP_EVENTS);
  struct region *region = victim(client);
  uint64_t parts = options->object / region->length, last = client->count - 1;
  if (parts < 2) fail("the object is too small for other parts");
  for (uint64_t round = 1; round <= options->rounds; round++) {
    step("round %lu", round);
    run_threads(options->threads, replace, client);
    region->offset = round % parts * region->length;
    map_at(client, region->start, region->length, region->offset);
    register_range(client, region->start, region->length);
    native_add(client, last);
    /* Some rounds leave most pages missing. */
    if (round % 2) {
      verify_region(client, last, options->random + round);
    } else {
      expect_pattern(region->start, client->page, region->offset);
    }
    COUNT(rounds, 1);
  }
  check_settled(client);
}
