/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that end in the middle of it: by exec, by SIGKILL, for want of memory, with a file that shrinks. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"

/* The process lives on as another program, for as long as its test looks at the server; its memory is gone. */
void scenario_exec_away(void) {
  struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE);
  expect_pattern(client->regions[0].start, client->page, client->regions[0].offset);
  char seconds[32];
  snprintf(seconds, sizeof seconds, "%f", options->seconds);
  execlp("sleep", "sleep", seconds, (char *)NULL);
  fail_errno("execlp");
}

/* --- SIGKILL ------------------------------------------------------------------------------------ */

static void *fault_and_discard(void *argument) {
  struct client *client = argument;
  struct chance chance = {options->random * 1000 + thread_number + (uint64_t)getpid()};
  int advice = is_shared(client->memory) ? MADV_REMOVE : MADV_DONTNEED;
  for (;;) {
    uint64_t region = draw_below(&chance, client->count), index = draw_below(&chance, PAGES(client, region));
    char *at = client->regions[region].start + index * client->page;
    if (draw_below(&chance, 4) == 0) {
      if (madvise(at, client->page, advice)) fail_errno("madvise");
    } else if (look(at, client->page, client->regions[region].offset + index * client->page) == SHOWS_WRONG) {
      fail("WRONG BYTES at %p", (void *)at);
    }
  }
  return NULL;
}

/* Children hand over, fault and discard, and are killed at random points, also in the middle of the hand-off. */
void scenario_killed(void) {
  struct chance chance = {options->random};
  for (uint64_t i = 0; i < options->rounds; i++) {
    step("round %lu", i);
    pid_t child = fork();
    if (child < 0) fail_errno("fork");
    if (child == 0) {
      watch();
      run_threads(options->threads, fault_and_discard, client_open(UFFD_FEATURE_EVENT_REMOVE));
    }
    pause_ns(draw_below(&chance, 30000000));
    kill(child, SIGKILL);
    int status;
    if (waitpid(child, &status, 0) != child) fail_errno("waitpid");
    if (!WIFSIGNALED(status)) fail("a child ended by itself, with %#x", status);
    COUNT(killed, 1);
  }
}

/* --- A memory limit ----------------------------------------------------------------------------- */

static int write_file(const char *folder, const char *name, const char *text) {
  char path[320];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return -1;
  ssize_t written = write(file, text, strlen(text));
  close(file);
  return written < 0 ? -1 : 0;
}

/* A folder of the memory controller of either version, with a limit; NULL: there is none for us. */
static const char *limited_group(uint64_t bytes) {
  static const char *const places[][2] = {{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
                                          {"/sys/fs/cgroup/unified", "memory.max"},
                                          {"/sys/fs/cgroup", "memory.max"}};
  static char folder[256];
  char limit[32];
  snprintf(limit, sizeof limit, "%lu", bytes);
  for (uint64_t i = 0; i < sizeof places / sizeof places[0]; i++) {
    snprintf(folder, sizeof folder, "%s/uffdhost-test-%d", places[i][0], getpid());
    if (mkdir(folder, 0755)) continue;
    if (!write_file(folder, places[i][1], limit)) return folder;
    rmdir(folder);
  }
  return NULL;
}

/* A child that may have 8 MiB touches more. The kernel ends it; nobody else notices. */
void scenario_memcg(void) {
  const char *group = limited_group(8 << 20);
  if (!group) skip("no memory cgroup can be made here");
  if (options->bytes < 16 << 20) fail("16 MiB are needed");
  step("touching too much");
  pid_t child = fork();
  if (child < 0) fail_errno("fork");
  if (child == 0) {
    watch();
    char pid[16];
    snprintf(pid, sizeof pid, "%d", getpid());
    if (write_file(group, "cgroup.procs", pid)) fail_errno("cgroup.procs");
    struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE);
    for (uint64_t i = 0; i < client->count; i++) verify_region(client, i, options->random);
    _exit(0);
  }
  int status;
  if (waitpid(child, &status, 0) != child) fail_errno("waitpid");
  for (int i = 0; i < 100 && rmdir(group); i++) pause_ns(20000000);
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) fail("the child ended with %#x", status);
  COUNT(killed, 1);
  step("being another client");
  struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE);
  verify_region(client, 0, options->random);
  check_settled(client);
}

/* --- A file that shrinks ------------------------------------------------------------------------ */

/* Truncated under a thread that sleeps on a page of it: SIGBUS, as without us. Takes a slow provider. */
void scenario_truncated(void) {
  if (options->memory != SHMEM) fail("this is for shared memory");
  struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE);
  struct region *region = &client->regions[0];
  uint64_t half = region->length / 2;
  struct sleeper reader;
  step("waiting until the thread sleeps");
  if (!sleeper_start(&reader, region->start + half + client->page))
    fail("the thread does not sleep: is the provider slow?");
  step("truncating");
  if (ftruncate(client->memfd, (off_t)(region->offset + half))) fail_errno("ftruncate");
  pthread_join(reader.thread, NULL);
  if (reader.signal_number != SIGBUS) fail("the thread got signal %d", reader.signal_number);
  COUNT(signals, 1);
  region->length = half;
  verify_region(client, 0, 0);
  check_settled(client);
}

/* Without F_SEAL_SHRINK our own protocol refuses a backing. Run with --mode unsealed. */
void scenario_unsealed(void) {
  if (options->dialect != NATIVE || strcmp(options->mode, "unsealed")) fail("this is for the native dialect");
  struct client *client = client_map();
  client_register(client, UFFD_FEATURE_EVENT_REMOVE);
  const char *refusal = native_attach(client);
  if (!refusal) fail("a backing that may shrink was taken");
  if (!strstr(refusal, "SHRINK")) fail("the refusal does not say why: %s", refusal);
}
