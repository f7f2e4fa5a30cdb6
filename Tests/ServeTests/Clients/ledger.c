/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the client did to each of its pages, and so what each must show. A page is locked while it is looked at or
 * changed, so that the expectation is exact although many threads fault, write and discard at once.
 */
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "client.h"
#include "pattern.h"

/* The word of a page that the client writes. Not the first, which a fault's address often is. */
#define WRITTEN_WORD 3

struct ledger *ledger_new(const struct client *client) {
  struct ledger *ledger = calloc(1, sizeof *ledger);
  for (uint64_t i = 0; i < client->count; i++) ledger->count += PAGES(client, i);
  ledger->client = client;
  ledger->entries = calloc(ledger->count, sizeof *ledger->entries);
  if (!ledger->entries) fail("%lu pages are too many", ledger->count);
  struct entry *entry = ledger->entries;
  for (uint64_t i = 0; i < client->count; i++)
    for (uint64_t j = 0; j < PAGES(client, i); j++, entry++) {
      entry->at = client->regions[i].start + j * client->page;
      entry->offset = client->regions[i].offset + j * client->page;
    }
  return ledger;
}

static void lock(struct entry *entry) {
  while (__atomic_exchange_n(&entry->lock, 1, __ATOMIC_ACQUIRE)) sched_yield();
}

static void unlock(struct entry *entry) { __atomic_store_n(&entry->lock, 0, __ATOMIC_RELEASE); }

/* Every word of the page is the object's, or zero; nothing in between. */
static void check_words(struct ledger *ledger, struct entry *entry, uint64_t index) {
  const volatile uint64_t *words = (const volatile uint64_t *)entry->at;
  for (uint64_t i = 0; i < ledger->client->page / 8; i++) {
    uint64_t found = words[i], pattern = pattern_at(options->seed, options->object, entry->offset + i * 8);
    if (i == WRITTEN_WORD && entry->written) pattern = entry->written;
    uint64_t wanted = entry->state == IS_ZERO && pattern != entry->written ? 0 : pattern;
    if (entry->state == IS_EITHER && pattern) {
      wanted = found == 0 ? 0 : pattern;
      entry->state = found ? IS_PATTERN : IS_ZERO;
    }
    if (found != wanted)
      fail("WRONG BYTES: page %lu at %p, word %lu shows %#lx, not %#lx (state %d, %s, object byte %lu)", index,
           (void *)entry->at, i, found, wanted, entry->state, entry->written ? "written" : "not written",
           entry->offset + i * 8);
  }
  entry->is_seen = 1;
  COUNT(pages, 1);
  if (entry->state == IS_ZERO) {
    COUNT(zero, 1);
  } else {
    COUNT(pattern, 1);
  }
}

void ledger_check(struct ledger *ledger, uint64_t index) {
  struct entry *entry = &ledger->entries[index];
  lock(entry);
  if (entry->state != IS_UNMAPPED) check_words(ledger, entry, index);
  unlock(entry);
}

void ledger_check_all(struct ledger *ledger, uint64_t random) {
  struct chance chance = {random};
  uint64_t start = random ? draw_below(&chance, ledger->count) : 0;
  for (uint64_t i = 0; i < ledger->count; i++) ledger_check(ledger, (start + i) % ledger->count);
}

void ledger_write(struct ledger *ledger, uint64_t index, uint64_t value) {
  struct entry *entry = &ledger->entries[index];
  lock(entry);
  if (entry->state != IS_UNMAPPED) {
    /* The first access is sometimes the write itself. */
    if (value & 1) check_words(ledger, entry, index);
    ((volatile uint64_t *)entry->at)[WRITTEN_WORD] = value | 1;
    entry->written = value | 1;
    if (!(value & 1)) check_words(ledger, entry, index);
    COUNT(writes, 1);
  }
  unlock(entry);
}

uint64_t ledger_discard(struct ledger *ledger, uint64_t first, uint64_t count, int advice) {
  struct entry *entry = &ledger->entries[first];
  uint64_t page = ledger->client->page, taken = 0;
  /* In ascending order, so that two threads never wait for each other. */
  for (; taken < count && first + taken < ledger->count; taken++) {
    lock(&entry[taken]);
    if (entry[taken].state == IS_UNMAPPED || entry[taken].at != entry->at + taken * page) {
      unlock(&entry[taken]);
      break;
    }
  }
  if (taken && madvise(entry->at, taken * page, advice)) fail_errno("madvise");
  /* Shared memory that was filled keeps its content; what nobody touched may read zero from now on. */
  int is_kept = advice == MADV_DONTNEED && is_shared(ledger->client->memory);
  for (uint64_t i = 0; i < taken; i++) {
    if (!is_kept) {
      entry[i].state = IS_ZERO;
      entry[i].written = 0;
      __atomic_store_n(&entry[i].is_gone, 1, __ATOMIC_RELEASE);
    } else if (entry[i].state == IS_PATTERN && !entry[i].is_seen) {
      entry[i].state = IS_EITHER;
    }
    unlock(&entry[i]);
  }
  if (taken) COUNT(discards, 1);
  return taken;
}
