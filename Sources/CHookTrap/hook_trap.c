/* SPDX-License-Identifier: Apache-2.0 */
/* Which hook runs where, and the last words of a process that a hook has broken. */
#include "hook_trap.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { threads_at_once = 256, fences_at_once = 65536 };

/* One slot per thread that ever entered a hook. */
static const char *volatile running[threads_at_once];
static volatile int32_t taken[threads_at_once];
static _Thread_local int own_slot = -1;
static _Thread_local void *own_stack;

struct fence {
  volatile uint64_t start, end;
  volatile int32_t kind; /* 0: free */
};
static struct fence fences[fences_at_once];
static volatile uint32_t fence_hint;

static int report_fd = -1;
static volatile int armed;

void hook_trap_enter(const char *hook) {
  for (int i = 0; own_slot < 0 && i < threads_at_once; i++)
    if (!__atomic_exchange_n(&taken[i], 1, __ATOMIC_ACQ_REL)) own_slot = i;
  if (own_slot >= 0) running[own_slot] = hook;
}

void hook_trap_leave(void) {
  if (own_slot >= 0) running[own_slot] = NULL;
}

const char *hook_trap_current(void) { return own_slot >= 0 ? running[own_slot] : NULL; }

static uint64_t append(char *text, uint64_t used, uint64_t room, const char *word) {
  while (*word && used + 1 < room) text[used++] = *word++;
  text[used] = 0;
  return used;
}

void hook_trap_running(char *text, uint64_t room) {
  uint64_t used = 0;
  text[0] = 0;
  for (int i = 0; i < threads_at_once; i++) {
    const char *hook = running[i];
    if (!hook) continue;
    if (used) used = append(text, used, room, ", ");
    used = append(text, used, room, hook);
  }
}

int32_t hook_trap_fence(const void *start, uint64_t length, int32_t kind) {
  uint32_t hint = __atomic_fetch_add(&fence_hint, 1, __ATOMIC_RELAXED);
  for (uint32_t i = 0; i < fences_at_once; i++) {
    struct fence *fence = &fences[(hint + i) % fences_at_once];
    int32_t expected = 0;
    /* -1 keeps the handler away until the range is written. */
    if (!__atomic_compare_exchange_n(&fence->kind, &expected, -1, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
      continue;
    fence->start = (uint64_t)(uintptr_t)start;
    fence->end = fence->start + length;
    __atomic_store_n(&fence->kind, kind, __ATOMIC_RELEASE);
    return (int32_t)((hint + i) % fences_at_once);
  }
  return -1;
}

void hook_trap_unfence(int32_t slot) {
  if (slot >= 0) __atomic_store_n(&fences[slot].kind, 0, __ATOMIC_RELEASE);
}

static int32_t fence_at(uint64_t address) {
  for (uint32_t i = 0; i < fences_at_once; i++) {
    int32_t kind = __atomic_load_n(&fences[i].kind, __ATOMIC_ACQUIRE);
    if (kind > 0 && fences[i].start <= address && address < fences[i].end) return kind;
  }
  return 0;
}

static const char *signal_name(int number) {
  switch (number) {
    case SIGSEGV: return "SIGSEGV";
    case SIGBUS: return "SIGBUS";
    case SIGILL: return "SIGILL";
    case SIGFPE: return "SIGFPE";
    case SIGABRT: return "SIGABRT";
    default: return "SIGTRAP";
  }
}

static void say(const char *a, const char *b, const char *c) {
  char line[512];
  uint64_t used = append(line, 0, sizeof line, a);
  used = append(line, used, sizeof line, b ? b : "");
  used = append(line, used, sizeof line, c);
  ssize_t ignored = write(report_fd, line, used);
  (void)ignored;
}

static void on_crash(int number, siginfo_t *info, void *context) {
  (void)context;
  char words[64] = "trap\t";
  append(words, 5, sizeof words, signal_name(number));
  strncat(words, "\t", sizeof words - strlen(words) - 1);
  char fence[4] = "\t0\n";
  if (number == SIGSEGV || number == SIGBUS)
    fence[1] = (char)('0' + fence_at((uint64_t)(uintptr_t)info->si_addr));
  const char *hook = hook_trap_current();
  say(words, hook ? hook : "", fence);
  _exit(99);
}

static void on_exit_called(void) {
  if (!armed) return;
  const char *hook = hook_trap_current();
  say("exit\t", hook ? hook : "", "\n");
  _exit(98);
}

void hook_trap_thread(void) {
  stack_t stack;
  memset(&stack, 0, sizeof stack);
  stack.ss_size = 65536;
  stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack.ss_sp == MAP_FAILED) return;
  own_stack = stack.ss_sp;
  sigaltstack(&stack, NULL);
}

void hook_trap_thread_end(void) {
  stack_t none;
  memset(&none, 0, sizeof none);
  none.ss_flags = SS_DISABLE;
  sigaltstack(&none, NULL);
  if (own_stack) munmap(own_stack, 65536);
  if (own_slot < 0) return;
  running[own_slot] = NULL;
  __atomic_store_n(&taken[own_slot], 0, __ATOMIC_RELEASE);
  own_slot = -1;
}

void hook_trap_install(int fd) {
  static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP};
  report_fd = fd;
  hook_trap_thread();
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_crash;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (unsigned i = 0; i < sizeof crashes / sizeof *crashes; i++) sigaction(crashes[i], &action, NULL);
  armed = 1;
  atexit(on_exit_called);
}

void hook_trap_disarm(void) { armed = 0; }
