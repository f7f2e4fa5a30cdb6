/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a probe in a child process and brings back what it said. The caller may have threads: the
 * child uses no lock that one of them could have held at the fork.
 */
#define _GNU_SOURCE
#include "kernel_probes.h"
#include "probe_words.h"
#include "runner.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static const struct probe_topic *const topics[] = {
    &probe_opening, &probe_faults, &probe_install, &probe_minor,    &probe_huge,    &probe_poisoning,
    &probe_events,  &probe_remaps, &probe_forks,   &probe_discards, &probe_endings,
};
static const size_t topic_count = sizeof topics / sizeof topics[0];

uint64_t kernel_probe_count(void) {
  uint64_t count = 0;
  for (size_t i = 0; i < topic_count; i++) count += topics[i]->count;
  return count;
}

const struct kernel_probe *kernel_probe_at(uint64_t index) {
  for (size_t i = 0; i < topic_count; i++) {
    if (index < topics[i]->count) return &topics[i]->probes[index];
    index -= topics[i]->count;
  }
  return NULL;
}

const char *kernel_probe_detail(const struct kernel_probe_result *result) { return result->detail; }

/* --- The child's side ----------------------------------------------------------------------------- */

size_t probe_page;
static int answer_fd = -1;
static uint64_t hidden;
static uint32_t alarm_seconds;

uint64_t probe_hidden_features(void) { return hidden; }

static _Noreturn void answer(int32_t outcome, const char *format, va_list arguments) {
  struct kernel_probe_result result = {.outcome = outcome};
  if (format) vsnprintf(result.detail, sizeof result.detail, format, arguments);
  ssize_t ignored = write(answer_fd, &result, sizeof result);
  (void)ignored;
  _exit(0);
}

void probe_not_applicable(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  answer(KERNEL_PROBE_NOT_APPLICABLE, format, arguments);
}

void probe_differs(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  answer(KERNEL_PROBE_DIFFERS, format, arguments);
}

static _Noreturn void holds(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  answer(KERNEL_PROBE_HOLDS, format, arguments);
}

void probe_child_begins(void) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGALRM, SIG_DFL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  alarm(alarm_seconds);
}

static _Noreturn void run_child(const struct kernel_probe *probe) {
  struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  /* The caller's handlers describe the caller's crash, not this one. */
  for (int number = 1; number < SIGRTMIN; number++) signal(number, SIG_DFL);
  signal(SIGPIPE, SIG_IGN);
  probe_child_begins();
  clinux_install_access_guard();
  probe_page = (size_t)sysconf(_SC_PAGESIZE);
  probe->body();
  holds(NULL);
}

/* --- The caller's side ---------------------------------------------------------------------------- */

static void explain(struct kernel_probe_result *result, int status, uint32_t seconds) {
  result->outcome = KERNEL_PROBE_DIFFERS;
  int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  if (number == SIGALRM || number == SIGKILL)
    snprintf(result->detail, sizeof result->detail, "no answer within %u s", seconds);
  else if (number)
    snprintf(result->detail, sizeof result->detail, "the probe died of SIG%s", sigabbrev_np(number));
  else
    snprintf(result->detail, sizeof result->detail, "the probe ended without an answer");
}

void kernel_probe_run(const struct kernel_probe *probe, uint64_t hidden_features, uint32_t seconds,
                      struct kernel_probe_result *result) {
  memset(result, 0, sizeof *result);
  result->outcome = KERNEL_PROBE_NOT_APPLICABLE;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC)) {
    snprintf(result->detail, sizeof result->detail, "no pipe: %s", strerrorname_np(errno));
    return;
  }
  pid_t child = fork();
  if (child == 0) {
    answer_fd = ends[1];
    hidden = hidden_features;
    alarm_seconds = seconds;
    run_child(probe);
  }
  close(ends[1]);
  if (child < 0) {
    snprintf(result->detail, sizeof result->detail, "no child process: %s", strerrorname_np(errno));
    close(ends[0]);
    return;
  }
  /* One second more than the alarm: a child that cannot even take the alarm is killed. */
  struct pollfd readable = {.fd = ends[0], .events = POLLIN};
  int ready;
  do ready = poll(&readable, 1, (int)(seconds + 1) * 1000);
  while (ready < 0 && errno == EINTR);
  ssize_t length = ready > 0 ? read(ends[0], result, sizeof *result) : 0;
  close(ends[0]);
  if (ready <= 0) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (length != (ssize_t)sizeof *result) explain(result, status, seconds);
}
