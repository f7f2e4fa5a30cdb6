/* SPDX-License-Identifier: Apache-2.0 */
/* One memfd, and who maps it when: it grows, or its clients come one after the other. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client.h"

static int make_sealed(uint64_t bytes) {
  unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  if (options->memory == HUGETLB) flags |= MFD_HUGETLB | 21u << MAP_HUGE_SHIFT;
  int file = memfd_create("clones", flags);
  if (file < 0 || ftruncate(file, (off_t)bytes) || fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK))
    fail_errno("a sealed memfd");
  return file;
}

/* A client of one region that shows the first `bytes` of `file`; there is room behind it. */
static struct client *open_clone(int file, uint64_t bytes) {
  struct client *client = calloc(1, sizeof *client);
  if (!client) fail_errno("calloc");
  *client = (struct client){.options = options,
                            .memory = options->memory,
                            .page = page_size(options->memory),
                            .count = 1,
                            .memfd = file,
                            .socket = -1};
  client->regions[0] = (struct region){reserve(options->object), bytes, 0};
  map_at(client, client->regions[0].start, bytes, 0);
  client_register(client, UFFD_FEATURE_EVENT_REMOVE);
  client_hand_over(client);
  return client;
}

/* The file is as large as its first region, and then twice as large. */
void scenario_grown(void) {
  uint64_t half = options->object / 2;
  struct client *client = open_clone(make_sealed(half), half);
  if (ftruncate(client->memfd, (off_t)options->object)) fail_errno("ftruncate");
  client->regions[1] = (struct region){client->regions[0].start + half, half, half};
  map_at(client, client->regions[1].start, half, half);
  register_range(client, client->regions[1].start, half);
  client->count = 2;
  step("adding what has grown");
  const char *refusal = native_try_add(client, 1);
  if (!refusal) {
    step("touching what has grown");
    verify_region(client, 1, 0);
    fail("a part that the server does not know is served");
  }
  if (!strstr(refusal, "was first handed over")) fail("the refusal is '%s'", refusal);
  verify_region(client, 0, 0);
  check_settled(client);
}

/* Each client maps the file when the one before it has ended. */
void scenario_successors(void) {
  int file = make_sealed(options->object);
  for (uint64_t i = 0; i < options->clients; i++) {
    pid_t child = fork();
    if (child < 0) fail_errno("fork");
    if (child == 0) {
      watch();
      struct client *client = open_clone(file, options->object);
      step("successor %lu", i);
      uint64_t pages = PAGES(client, 0), word;
      /* Each leaves something to the next one, unless it has it filled. */
      if (i + 1 < options->clients && strcmp(options->mode, "drain")) pages /= options->clients - i;
      for (uint64_t page = 0; page < pages; page++) {
        char *at = client->regions[0].start + page * client->page;
        if (try_read(at, &word)) fail("page %lu of successor %lu cannot be had", page, i);
        expect_pattern(at, client->page, page * client->page);
      }
      if (!strcmp(options->mode, "drain")) native_drain(client);
      check_settled(client);
      _exit(0);
    }
    expect_success(child);
    /* The server finds out by its pidfd. */
    pause_ns(500000000);
    COUNT(rounds, 1);
  }
}
