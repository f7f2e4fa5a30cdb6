/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is given back reads zero, whatever was in flight for it. */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "client.h"

#ifndef MADV_FREE
#define MADV_FREE 8
#endif

struct race {
  struct client *client;
  pthread_barrier_t before, after;
  int advice;
  /* How far behind a page the same page of another mapping is, through which the others fault it; 0: none. */
  int64_t sibling;
};

/* One round: everybody but thread 0 faults the page that thread 0 discards. */
static void play(const struct race *race, char *at, uint64_t offset, struct chance *chance) {
  uint64_t length = race->client->page;
  if (thread_number > 0) {
    for (uint64_t i = draw_below(chance, 400); i > 0; i--) __asm__ volatile("");
    /* What was there before the discard, or zero; while it happens, first the one and then the other. */
    if (look(at + race->sibling, length, offset) == SHOWS_WRONG) fail("WRONG BYTES at %p", (void *)at);
    return;
  }
  /* From before the others' faults to behind the installs. */
  for (uint64_t i = draw_below(chance, 8000); i > 0; i--) __asm__ volatile("");
  if (madvise(at, length, race->advice)) fail_errno("madvise");
  COUNT(discards, 1);
  if (race->advice != MADV_FREE) expect_zero(at, length);
  if (race->sibling) expect_zero(at + race->sibling, length);
}

static void *race_rounds(void *argument) {
  struct race *race = argument;
  struct client *client = race->client;
  struct chance chance = {options->random * 1000 + thread_number};
  uint64_t pages = PAGES(client, 0), rounds = options->rounds < pages ? options->rounds : pages;
  for (uint64_t i = 0; i < rounds; i++) {
    char *at = client->regions[0].start + i * client->page;
    uint64_t offset = client->regions[0].offset + i * client->page;
    if (thread_number == 0) step("round %lu", i);
    pthread_barrier_wait(&race->before);
    play(race, at, offset, &chance);
    pthread_barrier_wait(&race->after);
    /* Behind the discard, for all. */
    enum shown shown = look(at, client->page, offset);
    if (race->advice == MADV_FREE ? shown == SHOWS_WRONG : shown != SHOWS_ZERO && shown != SHOWS_PATTERN)
      fail("WRONG BYTES: the page at %p is torn", (void *)at);
    if (race->advice != MADV_FREE) expect_zero(at, client->page);
    if (thread_number == 0) {
      if (shown == SHOWS_ZERO) COUNT(zero, 1);
      COUNT(rounds, 1);
    }
  }
  return NULL;
}

static void race(struct client *client, int advice, int64_t sibling) {
  struct race race = {.client = client, .advice = advice, .sibling = sibling};
  uint64_t threads = options->threads < 2 ? 2 : options->threads;
  pthread_barrier_init(&race.before, NULL, (unsigned)threads);
  pthread_barrier_init(&race.after, NULL, (unsigned)threads);
  run_threads(threads, race_rounds, &race);
  step("verifying what nobody discarded");
  uint64_t page = race.client->page;
  for (uint64_t i = options->rounds; i < PAGES(race.client, 0); i++)
    expect_pattern(race.client->regions[0].start + i * page, page, race.client->regions[0].offset + i * page);
  check_settled(race.client);
}

void scenario_discard(void) {
  if (is_shared(options->memory)) fail("MADV_DONTNEED of shared memory keeps its content");
  race(client_open(UFFD_FEATURE_EVENT_REMOVE), MADV_DONTNEED, 0);
}

void scenario_discard_free(void) {
  if (options->memory != ANON) fail("MADV_FREE is for anonymous memory");
  race(client_open(UFFD_FEATURE_EVENT_REMOVE), MADV_FREE, 0);
}

/* Both of its regions show the same memory. */
static struct client *open_twice(void) {
  step("mapping its memory twice");
  struct client *client = client_map();
  const struct region *first = &client->regions[0];
  struct region *second = &client->regions[client->count++];
  *second = (struct region){reserve(first->length), first->length, first->offset};
  map_at(client, second->start, second->length, second->offset);
  client_register(client, UFFD_FEATURE_EVENT_REMOVE);
  client_hand_over(client);
  return client;
}

/*
 * MADV_REMOVE punches the file; with --mode sibling another mapping of it, served too, reads zero as well; with
 * --mode sibling-race others fault the page through that mapping in that moment.
 */
void scenario_discard_remove(void) {
  if (!is_shared(options->memory)) fail("MADV_REMOVE is for shared memory");
  if (strncmp(options->mode, "sibling", 7)) {
    race(client_open(UFFD_FEATURE_EVENT_REMOVE), MADV_REMOVE, 0);
    return;
  }
  struct client *client = open_twice();
  const struct region *first = &client->regions[0], *second = &client->regions[1];
  if (!strcmp(options->mode, "sibling-race")) {
    race(client, MADV_REMOVE, second->start - first->start);
    return;
  }
  uint64_t page = client->page, pages = first->length / page;
  struct chance chance = {options->random};
  for (uint64_t i = 0; i < pages; i++) {
    char *here = first->start + i * page, *there = second->start + i * page;
    uint64_t offset = first->offset + i * page;
    /* Filled through either mapping, or through none, before it is punched. */
    uint64_t choice = draw_below(&chance, 4);
    step("page %lu, which was touched through %s", i,
         choice == 0 ? "neither" : choice == 1 ? "the first" : choice == 2 ? "the second" : "both");
    if (choice & 1) expect_pattern(here, page, offset);
    if (choice & 2) expect_pattern(there, page, offset);
    if (i % 2) {
      if (madvise(here, page, MADV_REMOVE)) fail_errno("madvise");
      expect_zero(there, page);
      expect_zero(here, page);
      COUNT(discards, 1);
    } else {
      expect_pattern(there, page, offset);
      expect_pattern(here, page, offset);
    }
    COUNT(pages, 2);
  }
  check_settled(client);
}

/* MADV_DONTNEED of shared memory that was filled: its content is still there, for both mappings. */
void scenario_discard_shared(void) {
  if (!is_shared(options->memory)) fail("this is for shared memory");
  struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE);
  struct ledger *ledger = ledger_new(client);
  struct chance chance = {options->random};
  ledger_check_all(ledger, options->random);
  for (uint64_t round = 0; round < options->rounds; round++) {
    step("round %lu", round);
    uint64_t first = draw_below(&chance, ledger->count);
    if (round % 3 == 0) ledger_write(ledger, draw_below(&chance, ledger->count), draw(&chance));
    ledger_discard(ledger, first, 1 + draw_below(&chance, 16), MADV_DONTNEED);
    ledger_check(ledger, first);
    COUNT(rounds, 1);
  }
  ledger_check_all(ledger, options->random + 1);
  check_settled(client);
}

/*
 * MADV_REMOVE of parts of huge pages: whole pages are punched, of the others the kernel clears the named part in
 * place, if they are there. What was not named stays.
 */
void scenario_discard_partly(void) {
  if (options->memory != HUGETLB) fail("this is for huge pages of a file");
  struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE);
  const struct region *region = &client->regions[0];
  uint64_t page = client->page, pages = region->length / page;
  for (uint64_t i = 0; i + 3 < pages; i += 4) {
    char *at = region->start + i * page;
    uint64_t offset = region->offset + i * page, begin = page / 2 + 4096, end = page * 3 - 8192;
    step("pages from %lu on", i);
    /* Sometimes all of them are there before, sometimes none is. */
    int are_there = i / 4 % 2 == 0;
    if (are_there) expect_pattern(at, page * 4, offset);
    if (madvise(at + begin, end - begin, MADV_REMOVE)) fail_errno("madvise");
    COUNT(discards, 1);
    expect_pattern(at, begin, offset);
    expect_zero(at + page, page);
    expect_pattern(at + end, page * 4 - end, offset + end);
    if (are_there) {
      expect_zero(at + begin, page - begin);
      expect_zero(at + page * 2, end - page * 2);
    }
    COUNT(pages, 4);
  }
  check_settled(client);
}
