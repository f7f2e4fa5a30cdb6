/* SPDX-License-Identifier: Apache-2.0 */
/* What a client sees when its provider fails, and when its server goes. Never zeroes. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client.h"

static int is_bad(uint64_t offset, uint64_t page) {
  uint64_t granule = offset / page;
  return granule >= options->first_bad && granule < options->first_bad + options->bad;
}

/* SIGBUS for exactly the pages that the provider cannot give; again and again. */
static void *meet_poison(void *argument) {
  struct client *client = argument;
  for (uint64_t i = 0; i < client->count; i++)
    for (uint64_t j = 0; j < PAGES(client, i); j++) {
      uint64_t word, offset = client->regions[i].offset + j * client->page;
      char *at = client->regions[i].start + j * client->page;
      int signal_number = try_read(at, &word);
      if (signal_number != (is_bad(offset, client->page) ? SIGBUS : 0))
        fail("the page that shows byte %lu costs signal %d", offset, signal_number);
      if (signal_number) {
        COUNT(signals, 1);
      } else {
        expect_pattern(at, client->page, offset);
      }
      COUNT(pages, 1);
    }
  return NULL;
}

void scenario_poison(void) {
  struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE);
  step("meeting pages that cannot be had");
  run_threads(options->threads, meet_poison, client);
  run_threads(options->threads, meet_poison, client);
  /* The kernel's accesses fail likewise, without a signal. */
  uint64_t page = client->page, bad = options->first_bad * page - client->regions[0].offset;
  int ends[2];
  if (pipe(ends)) fail_errno("pipe");
  if (write(ends[1], client->regions[0].start + bad, 8) != -1 || errno != EFAULT)
    fail("write(2) out of a page that cannot be had says %s", strerrorname_np(errno));
  check_settled(client);
}

/* --- A page that nobody answers ----------------------------------------------------------------- */

static void *touch_bad(void *argument) {
  struct client *client = argument;
  uint64_t page = client->page, word;
  char *at = client->regions[0].start + options->first_bad * page - client->regions[0].offset;
  int signal_number = try_read(at, &word);
  fail("a page that cannot be had was had: signal %d, word %#lx", signal_number, word);
}

/* --on-error hold: the thread sleeps on, and everybody else is served. */
void scenario_asleep(void) {
  struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE);
  pthread_t thread;
  pthread_create(&thread, NULL, touch_bad, client);
  uint64_t page = client->page, until = now_ns() + (uint64_t)(options->seconds * 1e9);
  step("being served beside a thread that is not");
  do {
    for (uint64_t i = 0; i < PAGES(client, 0); i++) {
      uint64_t offset = client->regions[0].offset + i * page;
      if (!is_bad(offset, page)) expect_pattern(client->regions[0].start + i * page, page, offset);
    }
    pause_ns(20000000);
  } while (now_ns() < until);
  COUNT(pages, PAGES(client, 0));
}

/* --- The server goes ---------------------------------------------------------------------------- */

/* Who listens, as the kernel says, and a descriptor that tells when it has ended. */
static int server_pidfd(void) {
  int connection = connect_to(options->socket);
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length)) fail_errno("SO_PEERCRED");
  close(connection);
  int pidfd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
  if (pidfd < 0) fail_errno("pidfd_open");
  return pidfd;
}

static void wait_for_the_servers_end(int pidfd) {
  struct pollfd wanted = {.fd = pidfd, .events = POLLIN};
  printf("ready\n");
  fflush(stdout);
  step("waiting for the server's end");
  while (poll(&wanted, 1, -1) != 1) {
  }
}

static struct client *open_and_touch_some(void) {
  struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE);
  for (uint64_t i = 0; i < PAGES(client, 0); i += 7)
    expect_pattern(client->regions[0].start + i * client->page, client->page,
                   client->regions[0].offset + i * client->page);
  return client;
}

/*
 * The server is told to go: it fills everything first. --mode poisoned: it was told twice, and poisons what is
 * missing. In no case does a page read zero, or hang.
 */
void scenario_drained(void) {
  int may_be_poisoned = !strcmp(options->mode, "poisoned"), pidfd = server_pidfd();
  struct client *client = open_and_touch_some();
  wait_for_the_servers_end(pidfd);
  step("verifying what the server has left");
  expect_watched(client, 0);
  if (!may_be_poisoned && present_pages(client) != all_pages(client))
    fail("%lu of %lu pages are there after the drain", present_pages(client), all_pages(client));
  for (uint64_t i = 0; i < client->count; i++)
    for (uint64_t j = 0; j < PAGES(client, i); j++) {
      uint64_t word, offset = client->regions[i].offset + j * client->page;
      char *at = client->regions[i].start + j * client->page;
      int signal_number = try_read(at, &word);
      if (signal_number && (!may_be_poisoned || signal_number != SIGBUS))
        fail("the page that shows byte %lu costs signal %d", offset, signal_number);
      COUNT(signals, signal_number != 0);
      if (!signal_number) expect_pattern(at, client->page, offset);
      COUNT(pages, 1);
    }
  check_settled(client);
}

static void *touch_missing(void *argument) {
  struct client *client = argument;
  for (uint64_t i = 1; i < PAGES(client, 0); i += 7) {
    uint64_t offset = client->regions[0].offset + i * client->page;
    expect_pattern(client->regions[0].start + i * client->page, client->page, offset);
  }
  fail("all pages were filled without a server");
}

/* The server is killed: whoever touches a missing page sleeps, and reads no zeroes. */
void scenario_orphan(void) {
  int pidfd = server_pidfd();
  struct client *client = open_and_touch_some();
  wait_for_the_servers_end(pidfd);
  pthread_t thread;
  pthread_create(&thread, NULL, touch_missing, client);
  step("sleeping without a server");
  pause_ns(500000000);
}
