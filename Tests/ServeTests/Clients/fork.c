/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork of a client. Each process goes on with the memory as it was when it was forked, and with a copy of the
 * ledger of that moment: what another does afterwards must not be seen.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"

static void change_something(struct ledger *ledger, struct chance *chance) {
  for (int i = 0; i < 20; i++) {
    uint64_t index = draw_below(chance, ledger->count);
    switch (draw_below(chance, 3)) {
      case 0: ledger_discard(ledger, index, 1 + draw_below(chance, 8), MADV_DONTNEED); break;
      case 1: ledger_write(ledger, index, draw(chance)); break;
      default: ledger_check(ledger, index);
    }
  }
}

static _Noreturn void end_child(void) {
  /* The parent's counts are its own; a child that was right ends with 0. */
  _exit(0);
}

static void live(struct client *client, struct ledger *ledger, uint64_t generation, struct chance *chance) {
  for (int i = 0; i < 3; i++) {
    change_something(ledger, chance);
    if (generation == 3) continue;
    step("forking in generation %lu", generation);
    pid_t child = fork();
    if (child < 0) fail_errno("fork");
    if (child == 0) {
      /* The parent's uffd stays the parent's; a child's own is the server's alone. */
      close(client->uffd);
      watch();
      chance->state += (uint64_t)getpid();
      live(client, ledger, generation + 1, chance);
      step("verifying in generation %lu", generation + 1);
      ledger_check_all(ledger, draw(chance));
      end_child();
    }
    change_something(ledger, chance);
    if (draw_below(chance, 3) == 0) {
      pause_ns(draw_below(chance, 20000000));
      kill(child, SIGKILL);
      waitpid(child, NULL, 0);
      COUNT(killed, 1);
    } else {
      expect_success(child);
    }
    COUNT(rounds, 1);
  }
}

void scenario_fork_chain(void) {
  if (is_shared(options->memory)) fail("this is for private memory");
  struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_FORK);
  struct ledger *ledger = ledger_new(client);
  struct chance chance = {options->random};
  live(client, ledger, 1, &chance);
  step("verifying everything");
  ledger_check_all(ledger, options->random);
  check_settled(client);
}

/*
 * Without the event nobody learns of the child, and the kernel fills what it misses with zeroes: that is what a
 * client is not protected from. Its parent must not notice.
 */
void scenario_fork_unseen(void) {
  struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE);
  struct ledger *ledger = ledger_new(client);
  struct chance chance = {options->random};
  for (uint64_t i = 0; i < ledger->count; i += 2) ledger_check(ledger, i);
  pid_t child = fork();
  if (child < 0) fail_errno("fork");
  if (child == 0) {
    close(client->uffd);
    watch();
    for (uint64_t i = 0; i < ledger->count; i++) {
      enum shown shown = look(ledger->entries[i].at, client->page, ledger->entries[i].offset);
      if (shown != (i % 2 ? SHOWS_ZERO : SHOWS_PATTERN)) fail("page %lu shows %d", i, shown);
    }
    if (madvise(client->regions[0].start, client->page, MADV_DONTNEED)) fail_errno("madvise");
    end_child();
  }
  expect_success(child);
  change_something(ledger, &chance);
  ledger_check_all(ledger, options->random);
  check_settled(client);
}
