/* SPDX-License-Identifier: Apache-2.0 */
/* Messages, threads that sleep on them, and children of a probe. Runs in the probe's child. */
#define _GNU_SOURCE
#include "probe_words.h"
#include "runner.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* Long enough for a woken thread to end on a loaded machine, short enough for so many probes. */
static const int asleep_milliseconds = 40;
static const int patience_milliseconds = 2000;

/* --- Messages ------------------------------------------------------------------------------------- */

static const char *message_name(int kind) {
  switch (kind) {
  case PROBE_NOTHING: return "no message";
  case PROBE_MISSING: return "a missing fault";
  case PROBE_MINOR: return "a minor fault";
  case PROBE_WP: return "a write-protect fault";
  case CLINUX_EVENT_FORK: return "a FORK event";
  case CLINUX_EVENT_REMAP: return "a REMAP event";
  case CLINUX_EVENT_REMOVE: return "a REMOVE event";
  case CLINUX_EVENT_UNMAP: return "an UNMAP event";
  default: return "an unknown message";
  }
}

static int message_kind(const struct uffd_msg *message) {
  if (message->event != CLINUX_EVENT_PAGEFAULT) return message->event;
  uint64_t flags = message->arg.pagefault.flags;
  return flags & CLINUX_FAULT_WP ? PROBE_WP : flags & CLINUX_FAULT_MINOR ? PROBE_MINOR : PROBE_MISSING;
}

int probe_next(int uffd, struct uffd_msg *message) {
  struct pollfd readable = {.fd = uffd, .events = POLLIN};
  if (poll(&readable, 1, patience_milliseconds) != 1) return PROBE_NOTHING;
  if (read(uffd, message, sizeof *message) != sizeof *message) return PROBE_NOTHING;
  return message_kind(message);
}

static void expect_kind(int kind, int wanted, const char *what) {
  if (kind != wanted)
    probe_differs("%s: %s instead of %s", what, message_name(kind), message_name(wanted));
}

void probe_expect_next(int uffd, int wanted, const char *what) {
  struct uffd_msg message;
  expect_kind(probe_next(uffd, &message), wanted, what);
}

void probe_expect_next_at(int uffd, int wanted, const char *address, const char *what) {
  struct uffd_msg message;
  expect_kind(probe_next(uffd, &message), wanted, what);
  int64_t distance = (int64_t)message.arg.pagefault.address - (int64_t)address;
  if (distance) probe_differs("%s: the message is %lld bytes off", what, (long long)distance);
}

void probe_expect_silence(int uffd, const char *what) {
  struct pollfd readable = {.fd = uffd, .events = POLLIN};
  probe_expect(poll(&readable, 1, 20), 0, what);
}

void probe_await_readable(int uffd, const char *what) {
  struct pollfd readable = {.fd = uffd, .events = POLLIN};
  if (poll(&readable, 1, patience_milliseconds) != 1 || !(readable.revents & POLLIN))
    probe_differs("%s: no message", what);
}

int probe_unread_faults(int uffd) {
  char path[48], text[512];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", uffd);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  if (length <= 0) probe_not_applicable("%s cannot be read", path);
  text[length] = 0;
  const char *pending = strstr(text, "pending:");
  return pending ? atoi(pending + strlen("pending:")) : 0;
}

/* --- Threads -------------------------------------------------------------------------------------- */

int64_t probe_access(struct probe_thread *thread) {
  int number = clinux_touch(thread->address, thread->option);
  return number ? PROBE_SIGNAL(number) : *(volatile unsigned char *)thread->address;
}

int64_t probe_discard(struct probe_thread *thread) {
  return clinux_madvise(thread->address, thread->length, MADV_DONTNEED);
}

static int64_t remap(struct probe_thread *thread) {
  struct probe_remapping *asked = (struct probe_remapping *)thread;
  asked->now = mremap(asked->from, asked->length, asked->wanted, asked->flags, asked->to);
  return asked->now == MAP_FAILED ? -errno : 0;
}

void probe_start_remapping(struct probe_remapping *remapping) { probe_start(&remapping->thread, remap); }

void probe_expect_remapped(struct probe_remapping *remapping, const char *when) {
  probe_expect_ended(&remapping->thread, when);
  probe_expect_code(remapping->thread.result, 0, "mremap");
}

static void *thread_main(void *argument) {
  struct probe_thread *thread = argument;
  thread->result = thread->body(thread);
  atomic_store(&thread->ended, 1);
  return NULL;
}

void probe_start(struct probe_thread *thread, int64_t (*body)(struct probe_thread *)) {
  pthread_t id;
  thread->body = body;
  atomic_store(&thread->ended, 0);
  int code = pthread_create(&id, NULL, thread_main, thread);
  if (code) probe_not_applicable("no thread: %s", strerrorname_np(code));
  pthread_detach(id);
}

void probe_start_access(struct probe_thread *thread, char *address) {
  *thread = (struct probe_thread){.address = address};
  probe_start(thread, probe_access);
}

static bool ends_within(struct probe_thread *thread, int milliseconds) {
  for (int i = 0; i < milliseconds * 2 && !atomic_load(&thread->ended); i++) usleep(500);
  return atomic_load(&thread->ended);
}

void probe_expect_asleep(struct probe_thread *thread, const char *when) {
  if (ends_within(thread, asleep_milliseconds)) probe_differs("%s: the thread was woken", when);
}

void probe_expect_ended(struct probe_thread *thread, const char *when) {
  if (!ends_within(thread, patience_milliseconds)) probe_differs("%s: the thread stays asleep", when);
}

static void expect_seen(int64_t actual, int wanted, const char *when) {
  char seen[2][24];
  int64_t values[2] = {actual, wanted};
  for (int i = 0; i < 2; i++) {
    if (values[i] & 0x100)
      snprintf(seen[i], sizeof seen[i], "SIG%s", sigabbrev_np((int)values[i] & 0xff));
    else
      snprintf(seen[i], sizeof seen[i], "byte 0x%02x", (unsigned)values[i] & 0xff);
  }
  if (actual != wanted) probe_differs("%s: %s instead of %s", when, seen[0], seen[1]);
}

void probe_expect_access(struct probe_thread *thread, int wanted, const char *when) {
  probe_expect_ended(thread, when);
  expect_seen(thread->result, wanted, when);
}

/* By a thread of its own: where the expectation fails, the access may sleep. */
void probe_expect_byte(char *address, int wanted, const char *when) {
  static struct probe_thread thread;
  probe_start_access(&thread, address);
  probe_expect_access(&thread, wanted, when);
}

/* One after the other may stay asleep, so each needs a place of its own. */
static void start_sleeper(char *address) {
  static struct probe_thread threads[16];
  static size_t used;
  if (used == sizeof threads / sizeof threads[0]) probe_not_applicable("too many sleeping threads");
  probe_start_access(&threads[used++], address);
}

void probe_expect_fault(int uffd, char *address, int kind, const char *when) {
  start_sleeper(address);
  probe_expect_next(uffd, kind, when);
}

void probe_expect_fault_at(int uffd, char *address, int kind, const char *when) {
  start_sleeper(address);
  probe_expect_next_at(uffd, kind, address, when);
}

/* --- Children ------------------------------------------------------------------------------------- */

int probe_fork(void) {
  int child = fork();
  if (child < 0) probe_not_applicable("fork: %s", strerrorname_np(errno));
  if (child == 0) probe_child_begins();
  return child;
}

int probe_reap(int child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) probe_not_applicable("waitpid: %s", strerrorname_np(errno));
  return WIFSIGNALED(status) ? PROBE_SIGNAL(WTERMSIG(status)) : WEXITSTATUS(status);
}
