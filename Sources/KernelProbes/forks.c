/* SPDX-License-Identifier: Apache-2.0 */
/* fork(2) under EVENT_FORK: the child's userfaultfd, and what the child has of its parent's memory. */
#define _GNU_SOURCE
#include "kernel_probes.h"
#include "probe_words.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>

enum { BOTH = CLINUX_REGISTER_MISSING | CLINUX_REGISTER_MINOR };

/* The child loads one byte of each page, from the first page to the last. */
struct forking {
  struct probe_thread thread;
  char *pages;
  int count;
  /* What the child saw, in memory that it shares with its parent. */
  int64_t *seen;
};

static void need_fork_events(void) {
  PROBE_NEED(EVENT_FORK);
  uint64_t features = CLINUX_FEATURE_EVENT_FORK, ioctls = 0;
  int asked = probe_open(O_CLOEXEC);
  int code = asked < 0 ? asked : clinux_uffd_api(asked, &features, &ioctls);
  if (code) probe_not_applicable("EVENT_FORK is refused: %s", strerrorname_np(-code));
  close(asked);
}

static int forking_uffd(void) {
  need_fork_events();
  return probe_uffd(CLINUX_FEATURE_EVENT_FORK);
}

static char *registered(int uffd, size_t count) {
  char *pages = probe_anonymous(count * probe_page);
  probe_register(uffd, pages, count * probe_page, CLINUX_REGISTER_MISSING);
  return pages;
}

static char *registered_file(int uffd, size_t count, int sharing) {
  PROBE_NEED(MINOR_SHMEM);
  char *pages = probe_map(probe_memfd(count * probe_page), count * probe_page, sharing);
  probe_register(uffd, pages, count * probe_page, BOTH);
  return pages;
}

static int copy(int uffd, char *page, int byte) {
  return probe_copy(uffd, page, probe_source(probe_page, byte), probe_page);
}

/* The thread stays until the child has ended: a child that dies with its parent dies with this thread. */
static int64_t fork_and_look(struct probe_thread *thread) {
  struct forking *forking = (struct forking *)thread;
  int child = probe_fork();
  if (child) return probe_reap(child);
  for (int i = 0; i < forking->count; i++) {
    struct probe_thread look = {.address = forking->pages + i * (int64_t)probe_page};
    forking->seen[i] = probe_access(&look);
  }
  _exit(0);
}

/*
 * Until FORK is read, the C library of this process has its locks taken by the thread that forks: nobody
 * may allocate or start a thread meanwhile.
 */
static void start_fork(struct forking *forking, char *pages, int count) {
  void *shared = mmap(NULL, probe_page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) probe_not_applicable("mmap: %s", strerrorname_np(errno));
  *forking = (struct forking){.pages = pages, .count = count, .seen = shared};
  probe_start(&forking->thread, fork_and_look);
}

static int read_fork(int uffd) {
  struct uffd_msg message;
  probe_expect(probe_next(uffd, &message), CLINUX_EVENT_FORK, "number of the message");
  return (int)message.arg.fork.ufd;
}

static void expect_child_ended(struct forking *forking) {
  probe_expect_ended(&forking->thread, "the child");
  probe_expect(forking->thread.result, 0, "the child's end (256 and more: a signal)");
}

static void expect_seen(struct forking *forking, int page, int64_t wanted, const char *what) {
  probe_expect(forking->seen[page], wanted, what);
}

static void fork_event(void) {
  int uffd = forking_uffd();
  struct forking forking;
  char *page = registered(uffd, 1);
  start_fork(&forking, page, 1);
  int child_uffd = read_fork(uffd);
  probe_expect_next_at(child_uffd, PROBE_MISSING, page, "the child's access, on the child's userfaultfd");
  probe_expect_code(copy(child_uffd, page, 0x5a), 0, "COPY into the child");
  expect_child_ended(&forking);
  expect_seen(&forking, 0, 0x5a, "what the child saw");
  probe_expect_silence(uffd, "messages on the parent's userfaultfd");
  probe_expect_fault_at(uffd, page, PROBE_MISSING, "the parent's page, when the child has its own");
}

/* The first page is there, the second one is missing. */
static void inherit(int uffd, char *pages, int sharing) {
  struct forking forking;
  probe_expect_code(copy(uffd, pages, 0x5a), 0, "COPY before fork");
  start_fork(&forking, pages, 2);
  int child_uffd = read_fork(uffd);
  if (sharing == MAP_SHARED) {
    probe_expect_next_at(child_uffd, PROBE_MINOR, pages, "the child's access to its parent's page");
    probe_expect_code(probe_continue(child_uffd, pages, probe_page), 0, "CONTINUE in the child");
  }
  probe_expect_next_at(child_uffd, PROBE_MISSING, pages + probe_page, "the child's access to a missing page");
  probe_expect_code(copy(child_uffd, pages + probe_page, 0x77), 0, "COPY into the child");
  expect_child_ended(&forking);
  expect_seen(&forking, 0, 0x5a, "what the child saw in its parent's page");
  expect_seen(&forking, 1, 0x77, "what the child saw in its own page");
}

static void fork_private(void) {
  int uffd = forking_uffd();
  inherit(uffd, registered(uffd, 2), MAP_PRIVATE);
}

static void fork_private_file(void) {
  int uffd = forking_uffd();
  inherit(uffd, registered_file(uffd, 2, MAP_PRIVATE), MAP_PRIVATE);
}

static void fork_shared(void) {
  int uffd = forking_uffd();
  inherit(uffd, registered_file(uffd, 2, MAP_SHARED), MAP_SHARED);
}

static void fork_poison(void) {
  PROBE_NEED(POISON);
  int uffd = forking_uffd();
  struct forking forking;
  char *page = registered(uffd, 1);
  probe_expect_code(probe_poison(uffd, page, probe_page), 0, "POISON");
  start_fork(&forking, page, 1);
  read_fork(uffd);
  expect_child_ended(&forking);
  expect_seen(&forking, 0, PROBE_SIGNAL(SIGBUS), "what the child saw (256 and more: a signal)");
}

static void fork_poison_shared(void) {
  PROBE_NEED(POISON);
  int uffd = forking_uffd();
  struct forking forking;
  char *page = registered_file(uffd, 1, MAP_SHARED);
  probe_expect_code(probe_poison(uffd, page, probe_page), 0, "POISON");
  start_fork(&forking, page, 1);
  int child_uffd = read_fork(uffd);
  probe_expect_next_at(child_uffd, PROBE_MISSING, page, "the child's access");
  probe_expect_code(probe_poison(child_uffd, page, probe_page), 0, "POISON in the child");
  expect_child_ended(&forking);
  expect_seen(&forking, 0, PROBE_SIGNAL(SIGBUS), "what the child saw (256 and more: a signal)");
}

/* Neither userfaultfd blocks when FORK is read. One was opened so, the other one was told so later. */
static void fork_flags(void) {
  need_fork_events();
  for (int opened = 0; opened <= O_NONBLOCK; opened += O_NONBLOCK) {
    int uffd = probe_uffd_flags(O_CLOEXEC | opened, CLINUX_FEATURE_EVENT_FORK);
    struct forking forking;
    char *page = registered(uffd, 1);
    fcntl(uffd, F_SETFL, O_NONBLOCK);
    start_fork(&forking, page, 1);
    int child_uffd = read_fork(uffd);
    probe_expect(fcntl(child_uffd, F_GETFL) & O_NONBLOCK, opened, "O_NONBLOCK of what FORK brought");
    probe_expect(fcntl(child_uffd, F_GETFD), FD_CLOEXEC, "descriptor flags of what FORK brought");
    probe_expect_code(copy(child_uffd, page, 0x5a), 0, "COPY into the child");
    expect_child_ended(&forking);
    /* Or the next fork would wait for a reader of this one, too. */
    close(uffd);
  }
}

/* Sets how many descriptors there may be and returns how many there could be before. */
static rlim_t limit_descriptors(rlim_t count) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit)) probe_not_applicable("getrlimit: %s", strerrorname_np(errno));
  rlim_t before = limit.rlim_cur;
  limit.rlim_cur = count;
  if (setrlimit(RLIMIT_NOFILE, &limit)) probe_not_applicable("setrlimit: %s", strerrorname_np(errno));
  return before;
}

static void fork_emfile(void) {
  int uffd = forking_uffd();
  struct forking forking;
  struct uffd_msg message;
  char *page = registered(uffd, 1);
  start_fork(&forking, page, 1);
  probe_await_readable(uffd, "fork");
  rlim_t before = limit_descriptors(0);
  for (int i = 0; i < 2; i++) {
    int code = read(uffd, &message, sizeof message) < 0 ? -errno : 0;
    probe_expect_code(code, -EMFILE, "read of FORK without room for its descriptor");
  }
  limit_descriptors(before);
  probe_expect_asleep(&forking.thread, "the refused read");
  int child_uffd = read_fork(uffd);
  probe_expect_next_at(child_uffd, PROBE_MISSING, page, "the child's access");
  probe_expect_code(copy(child_uffd, page, 0x5a), 0, "COPY into the child");
  expect_child_ended(&forking);
}

static const struct kernel_probe probes[] = {
    {"fork-event", "FORK brings a userfaultfd that serves the child, at the same addresses", fork_event},
    {"fork-private", "a forked child has its parent's pages of anonymous memory mapped", fork_private},
    {"fork-private-file", "a forked child has its parent's pages of a private memfd mapped",
     fork_private_file},
    {"fork-shared", "a forked child has no page of a shared memfd mapped: they are minor faults",
     fork_shared},
    {"fork-poison", "a forked child inherits the poison of anonymous memory", fork_poison},
    {"fork-poison-shared", "a forked child does not inherit the poison of a shared memfd",
     fork_poison_shared},
    {"fork-flags", "the userfaultfd that FORK brings has the flags with which the parent's was opened",
     fork_flags},
    {"fork-emfile", "read of FORK answers EMFILE while the table is full, and a later one brings it",
     fork_emfile},
};
PROBE_TOPIC(probe_forks, probes);
