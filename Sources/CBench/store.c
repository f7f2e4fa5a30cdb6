/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program whose touches are recorded: a store in one piece of memory, which refers to itself by offsets, so that
 * a copy of it works anywhere. Records are appended to a log, a hash table has the newest of each key, and each
 * record knows the one before it of the same key. It is used as a program is after it was restored: it
 * answers questions, each of which walks a key's records back, and in the middle of them it reads the youngest
 * part of the log from front to end and counts its keys.
 */
#define _GNU_SOURCE
#include "internal.h"

/* So many bytes of memory for each key: some seven records. */
#define BYTES_PER_KEY 4096
/* Questions: one for so many keys. Each takes other pages than the one before. */
#define KEYS_PER_QUESTION 64
#define LONGEST_BODY 112 /* words */

struct store {
  uint64_t keys, slots; /* there are twice as many slots, so that few keys collide */
  uint64_t recent, end; /* offsets in the log: where its youngest eighth begins, and where it ends */
  uint64_t table[];     /* offsets of the newest records; 0: a free slot */
};

struct record {
  uint64_t key, previous; /* 0: there is none */
  uint64_t words, sum;
  uint64_t body[];
};

static inline struct record *record_at(const struct store *store, uint64_t offset) {
  return (struct record *)((char *)store + offset);
}

/* The slot of a key, or the free one where it belongs. A key's records are looked at for it. */
static uint64_t find_slot(const struct store *store, uint64_t key) {
  uint64_t state = key, slot = cbench_random(&state) % store->slots;
  while (store->table[slot] && record_at(store, store->table[slot])->key != key) slot = (slot + 1) % store->slots;
  return slot;
}

static uint64_t append(struct store *store, uint64_t offset, uint64_t words, uint64_t *random) {
  struct record *record = record_at(store, offset);
  uint64_t key = cbench_random(random) % store->keys, slot = find_slot(store, key);
  *record = (struct record){.key = key, .previous = store->table[slot], .words = words};
  for (uint64_t i = 0; i < words; i++) record->sum += record->body[i] = cbench_random(random);
  store->table[slot] = offset;
  return offset + sizeof *record + words * sizeof record->body[0];
}

void cbench_store_build(void *memory, uint64_t bytes, uint64_t seed) {
  struct store *store = memory;
  store->keys = bytes / BYTES_PER_KEY;
  store->slots = 2 * store->keys;
  uint64_t offset = sizeof *store + store->slots * sizeof store->table[0], random = seed;
  for (;;) {
    uint64_t words = 1 + cbench_random(&random) % LONGEST_BODY;
    if (offset + sizeof(struct record) + words * sizeof(uint64_t) > bytes) break;
    if (store->recent == 0 && offset >= bytes / 8 * 7) store->recent = offset;
    offset = append(store, offset, words, &random);
  }
  store->end = offset;
}

/* Reads all of a record: whether it is what was written. */
static int is_whole(const struct record *record) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < record->words; i++) sum += record->body[i];
  return sum == record->sum;
}

static uint64_t answer(const struct store *store, uint64_t key) {
  uint64_t wrong = 0;
  for (uint64_t offset = store->table[find_slot(store, key)]; offset;) {
    const struct record *record = record_at(store, offset);
    wrong += !is_whole(record) || record->key != key;
    offset = record->previous;
  }
  return wrong;
}

static uint64_t read_recent(const struct store *store) {
  uint64_t wrong = 0;
  for (uint64_t offset = store->recent; offset && offset < store->end;) {
    const struct record *record = record_at(store, offset);
    wrong += !is_whole(record);
    offset += sizeof *record + record->words * sizeof record->body[0];
  }
  return wrong;
}

static uint64_t count_keys(const struct store *store) {
  uint64_t count = 0;
  for (uint64_t slot = 0; slot < store->slots; slot++) count += store->table[slot] != 0;
  return count;
}

uint64_t cbench_store_use(const void *memory, uint64_t seed) {
  const struct store *store = memory;
  uint64_t random = seed, wrong = 0, questions = store->keys / KEYS_PER_QUESTION + 2;
  for (uint64_t i = 0; i < questions; i++) {
    wrong += answer(store, cbench_random(&random) % store->keys);
    if (i == questions / 2) wrong += read_recent(store) + (count_keys(store) > store->keys);
  }
  return wrong;
}
