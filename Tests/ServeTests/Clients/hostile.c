/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hand-offs that are no hand-offs. Each must be refused without costing the server, or anybody else, anything:
 * it is over when the server has closed the connection.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"

static char text[65536];

/* Waits until the server has closed the connection. It has nothing to say in these dialects. */
static void expect_refusal(int connection) {
  char byte;
  struct pollfd wanted = {.fd = connection, .events = POLLIN};
  step("waiting for the refusal of '%s'", options->mode);
  while (poll(&wanted, 1, -1) != 1) {
  }
  ssize_t count = recv(connection, &byte, 1, 0);
  if (count > 0) fail("the server answers");
  close(connection);
}

static void send_and_expect_refusal(const char *bytes, const int *descriptors, int count) {
  int connection = connect_to(options->socket);
  /* The server may hang up in the middle. */
  if (send_with(connection, bytes, strlen(bytes), descriptors, count) && errno != EPIPE && errno != ECONNRESET)
    fail_errno("sendmsg");
  expect_refusal(connection);
}

static struct client *prepared(void) {
  struct client *client = client_map();
  client_register(client, UFFD_FEATURE_EVENT_REMOVE);
  text[firecracker_array(client, text, sizeof text)] = 0;
  return client;
}

/* --- Descriptors -------------------------------------------------------------------------------- */

static void no_descriptor(void) {
  prepared();
  send_and_expect_refusal(text, NULL, 0);
}

static void a_pipe(void) {
  int ends[2];
  prepared();
  if (pipe(ends)) fail_errno("pipe");
  send_and_expect_refusal(text, ends, 1);
}

static void many_descriptors(void) {
  struct client *client = prepared();
  int descriptors[200];
  for (int i = 0; i < 200; i++)
    if ((descriptors[i] = fcntl(client->uffd, F_DUPFD_CLOEXEC, 3)) < 0) fail_errno("dup");
  send_and_expect_refusal(text, descriptors, 200);
}

/* More userfaultfds than are kept of one process. */
static void many_uffds(void) {
  struct client *client = prepared();
  int descriptors[5];
  for (int i = 0; i < 5; i++) descriptors[i] = client->uffd;
  send_and_expect_refusal(text, descriptors, 5);
  /* If it is to be killed, it is now. */
  pause_ns(2000000000);
}

/* One of the 200 in each message, in messages of one byte. */
static void descriptor_flood(void) {
  struct client *client = prepared();
  int connection = connect_to(options->socket), descriptors[100];
  for (int i = 0; i < 100; i++) descriptors[i] = client->uffd;
  for (int i = 0; i < 100; i++)
    if (send_with(connection, "[", 1, descriptors, 100)) break;
  expect_refusal(connection);
}

/* The handshake of the uffd (UFFDIO_API) was not made. */
static void unready(void) {
  prepared();
  int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
  if (uffd < 0) fail_errno("userfaultfd");
  send_and_expect_refusal(text, &uffd, 1);
}

/* The uffd of a process that is gone. */
static void of_the_dead(void) {
  int ends[2];
  prepared();
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) fail_errno("socketpair");
  pid_t child = fork();
  if (child == 0) {
    int uffd = open_uffd(0);
    if (send_with(ends[1], "x", 1, &uffd, 1)) fail_errno("sendmsg");
    _exit(0);
  }
  expect_success(child);
  char byte, control[CMSG_SPACE(sizeof(int))];
  struct iovec vector = {&byte, 1};
  struct msghdr message = {
      .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  if (recvmsg(ends[0], &message, 0) != 1) fail_errno("recvmsg");
  int uffd;
  memcpy(&uffd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof uffd);
  send_and_expect_refusal(text, &uffd, 1);
}

/* --- Bytes -------------------------------------------------------------------------------------- */

static void closed_at_once(void) {
  for (uint64_t i = 0; i < options->rounds; i++) close(connect_to(options->socket));
}

static void a_byte_a_second(void) {
  struct client *client = prepared();
  int connection = connect_to(options->socket);
  struct pollfd wanted = {.fd = connection, .events = POLLIN};
  step("sending a byte each second");
  if (send_with(connection, text, 1, &client->uffd, 1)) fail_errno("sendmsg");
  for (char *next = text + 1; *next; next++) {
    /* The server gives up long before the array is whole. */
    if (poll(&wanted, 1, 1000) == 1) break;
    if (send(connection, next, 1, 0) != 1) break;
  }
  expect_refusal(connection);
}

/* Never says a word, and does not go. */
static void silent(void) { expect_refusal(connect_to(options->socket)); }

static void endless(void) {
  struct client *client = prepared();
  char *flood = malloc((10 << 20) + 1);
  if (!flood) fail_errno("malloc");
  memset(flood, '[', 10 << 20);
  flood[10 << 20] = 0;
  send_and_expect_refusal(flood, &client->uffd, 1);
}

static void cut_off(void) {
  struct client *client = prepared();
  int connection = connect_to(options->socket);
  if (send_with(connection, text, strlen(text) / 2, &client->uffd, 1)) fail_errno("sendmsg");
  if (shutdown(connection, SHUT_WR)) fail_errno("shutdown");
  expect_refusal(connection);
}

static void noise(void) {
  struct client *client = prepared();
  struct chance chance = {options->random};
  for (uint64_t i = 0; i < options->rounds; i++) {
    for (uint64_t j = draw_below(&chance, 64); j > 0; j--) text[j] = (char)(1 + draw_below(&chance, 255));
    text[0] = (char)(1 + draw_below(&chance, 90));
    int connection = connect_to(options->socket);
    send_with(connection, text, strlen(text), &client->uffd, draw_below(&chance, 2) ? 1 : 0);
    if (shutdown(connection, SHUT_WR)) fail_errno("shutdown");
    expect_refusal(connection);
  }
}

/* --- Regions ------------------------------------------------------------------------------------ */

/* Arrays that lie about memory. The uffd is good. */
static void false_regions(void) {
  struct client *client = prepared();
  uint64_t at = (uint64_t)client->regions[0].start, length = client->regions[0].length;
  const struct {
    uint64_t start, length, offset, page;
  } lies[] = {{at + 1, length, 0, 4096},       {at, length + 1, 0, 4096}, {at, 0, 0, 4096},
              {~0ull - 4095, 8192, 0, 4096},   {at, length, 3, 4096},     {at, ~0ull - 4095, 0, 4096},
              {at, length, ~0ull - 4095, 4096}, {at, length, 0, 3000},     {at, length, 0, 1ull << 62}};
  for (uint64_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
    step("sending lie %lu", i);
    snprintf(text, sizeof text,
             "[{\"base_host_virt_addr\":%lu,\"size\":%lu,\"offset\":%lu,\"page_size\":%lu,\"page_size_kib\":%lu}]",
             lies[i].start, lies[i].length, lies[i].offset, lies[i].page, lies[i].page);
    send_and_expect_refusal(text, &client->uffd, 1);
    COUNT(rounds, 1);
  }
  /* Twice the same memory. */
  uint64_t used = firecracker_array(client, text, sizeof text);
  memmove(text + used, text, used);
  text[used - 1] = ',';
  text[used] = ' ';
  text[used * 2] = 0;
  send_and_expect_refusal(text, &client->uffd, 1);
}

/* A second hand-off on one connection. The first goes on; the second is never touched. */
static void twice(void) {
  struct client *first = client_open(UFFD_FEATURE_EVENT_REMOVE);
  expect_pattern(first->regions[0].start, first->page, first->regions[0].offset);
  struct client *second = prepared();
  send_with(first->socket, text, strlen(text), &second->uffd, 1);
  pause_ns(200000000);
  for (uint64_t i = 0; i < first->count; i++) verify_region(first, i, options->random);
  check_settled(first);
}

static void *keep_blocking(void *argument) {
  const struct client *client = argument;
  for (;;)
    if (fcntl(client->uffd, F_SETFL, 0)) fail_errno("F_SETFL");
}

/* The open file is the server's too: a read of it would wait for this client's next fault. */
void scenario_blocking(void) {
  struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE);
  uint64_t pages = PAGES(client, 0), deadline = now_ns() + (uint64_t)(options->seconds * 1e9);
  if (fcntl(client->uffd, F_SETFL, 0)) fail_errno("F_SETFL");
  expect_pattern(client->regions[0].start, client->page, client->regions[0].offset);
  puts("ready");
  fflush(stdout);
  pthread_t thread;
  if (pthread_create(&thread, NULL, keep_blocking, client)) fail("no thread can be made");
  for (uint64_t i = 1; i < pages && now_ns() < deadline; i++) {
    char *at = client->regions[0].start + i * client->page;
    step("touching page %lu", i);
    expect_pattern(at, client->page, client->regions[0].offset + i * client->page);
    pause_ns(2000000);
  }
}

void scenario_hostile(void) {
  static const struct {
    const char *name;
    void (*act)(void);
  } acts[] = {{"no-descriptor", no_descriptor},
              {"pipe", a_pipe},
              {"many-descriptors", many_descriptors},
              {"many-uffds", many_uffds},
              {"descriptor-flood", descriptor_flood},
              {"unready", unready},
              {"dead", of_the_dead},
              {"closed", closed_at_once},
              {"slow", a_byte_a_second},
              {"silent", silent},
              {"endless", endless},
              {"cut-off", cut_off},
              {"noise", noise},
              {"false-regions", false_regions},
              {"twice", twice}};
  for (uint64_t i = 0; i < sizeof acts / sizeof acts[0]; i++)
    if (!strcmp(acts[i].name, options->mode)) {
      step("%s", options->mode);
      acts[i].act();
      return;
    }
  fail("--mode %s is none", options->mode);
}
