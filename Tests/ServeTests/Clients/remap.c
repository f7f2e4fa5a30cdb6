/* SPDX-License-Identifier: Apache-2.0 */
/* mremap of served memory: moved, grown, shrunk, its middle moved, and moved without unmapping. */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "client.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

struct piece {
  char *at;
  uint64_t first, count;
};

/* Half of the pages are there before they move. */
static void touch_half(struct ledger *ledger, struct piece piece, struct chance *chance) {
  for (uint64_t i = 0; i < piece.count; i++)
    if (draw_below(chance, 2)) ledger_check(ledger, piece.first + i);
  for (uint64_t i = 0; i < piece.count / 8; i++)
    ledger_write(ledger, piece.first + draw_below(chance, piece.count), draw(chance));
}

static void is_now_at(struct ledger *ledger, struct piece piece, char *at) {
  for (uint64_t i = 0; i < piece.count; i++)
    ledger->entries[piece.first + i].at = at + i * ledger->client->page;
}

static void check_piece(struct ledger *ledger, struct piece piece) {
  for (uint64_t i = 0; i < piece.count; i++) ledger_check(ledger, piece.first + i);
}

static char *moved(char *from, uint64_t length, uint64_t new_length, int flags) {
  char *to = reserve(new_length);
  char *result = mremap(from, length, new_length, MREMAP_MAYMOVE | MREMAP_FIXED | flags, to);
  if (result == MAP_FAILED) fail_errno("mremap");
  return result;
}

static void move_whole(struct ledger *ledger, struct piece piece) {
  uint64_t page = ledger->client->page, length = piece.count * page;
  char *to = moved(piece.at, length, length, 0);
  is_now_at(ledger, piece, to);
  uint64_t word;
  if (try_read(piece.at, &word) != SIGSEGV) fail("the old place %p can be read", (void *)piece.at);
  check_piece(ledger, piece);
}

/* The tail that grew shows nothing of the object: nobody said what. */
static void grow_moved(struct ledger *ledger, struct piece piece) {
  uint64_t page = ledger->client->page, length = piece.count * page;
  char *to = moved(piece.at, length, length + 4 * page, 0);
  is_now_at(ledger, piece, to);
  expect_zero(to + length, 4 * page);
  check_piece(ledger, piece);
}

/* Grows where it is: for that there is no event at all. */
static void grow_in_place(struct ledger *ledger, struct piece piece) {
  uint64_t page = ledger->client->page, length = piece.count * page;
  char *room = reserve(length + 4 * page);
  if (mremap(piece.at, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, room) != room) fail_errno("mremap");
  is_now_at(ledger, piece, room);
  if (munmap(room + length, 4 * page)) fail_errno("munmap");
  if (mremap(room, length, length + 4 * page, 0) != room) fail_errno("mremap");
  expect_zero(room + length, 4 * page);
  check_piece(ledger, piece);
}

static void shrink(struct ledger *ledger, struct piece piece) {
  uint64_t page = ledger->client->page, length = piece.count * page, kept = piece.count / 2;
  if (mremap(piece.at, length, kept * page, 0) != piece.at) fail_errno("mremap");
  for (uint64_t i = kept; i < piece.count; i++) ledger->entries[piece.first + i].state = IS_UNMAPPED;
  check_piece(ledger, piece);
}

static void move_middle(struct ledger *ledger, struct piece piece) {
  uint64_t page = ledger->client->page, third = piece.count / 3;
  struct piece middle = {piece.at + third * page, piece.first + third, third};
  is_now_at(ledger, middle, moved(middle.at, third * page, third * page, 0));
  check_piece(ledger, piece);
}

/* The old place stays mapped, and everything in it is at the new one: it reads zero. */
static void keep_old(struct ledger *ledger, struct piece piece) {
  uint64_t length = piece.count * ledger->client->page;
  char *to = moved(piece.at, length, length, MREMAP_DONTUNMAP);
  expect_zero(piece.at, length);
  is_now_at(ledger, piece, to);
  check_piece(ledger, piece);
  expect_zero(piece.at, length);
}

/* Discarded before it moves: it reads zero at the new place. */
static void discard_and_move(struct ledger *ledger, struct piece piece) {
  ledger_discard(ledger, piece.first + 1, piece.count / 2, MADV_DONTNEED);
  move_whole(ledger, piece);
}

void scenario_remap(void) {
  static void (*const moves[])(struct ledger *, struct piece) = {move_whole,  grow_moved,  grow_in_place,
                                                                 shrink,      move_middle, keep_old,
                                                                 discard_and_move};
  static const char *const names[] = {"moving",   "growing elsewhere", "growing in place", "shrinking",
                                      "moving a middle part", "moving without unmapping", "discarding and moving"};
  if (options->memory != ANON) fail("mremap is tried with anonymous memory");
  struct client *client =
      client_open(UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMAP);
  struct ledger *ledger = ledger_new(client);
  struct chance chance = {options->random};
  uint64_t first = 0, kinds = sizeof moves / sizeof moves[0];
  for (uint64_t i = 0; i < client->count; i++) {
    struct piece piece = {client->regions[i].start, first, PAGES(client, i)};
    uint64_t choice = i < kinds ? i : draw_below(&chance, kinds);
    first += piece.count;
    step("%s", names[choice]);
    touch_half(ledger, piece, &chance);
    moves[choice](ledger, piece);
    COUNT(rounds, 1);
  }
  step("verifying everything");
  ledger_check_all(ledger, options->random);
  check_settled(client);
}
