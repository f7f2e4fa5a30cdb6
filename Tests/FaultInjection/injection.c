/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_injection.h"

#include <string.h>

struct rule {
  uint64_t times;
  uint64_t longer_than;
  uint64_t partial;
  uint64_t error;
  uint64_t calls;
  uint64_t answered;
};

static struct rule rules[FAULT_CALL_COUNT];
static uint64_t removes;
static uint64_t copy_delay;

void fault_inject(enum fault_call call, uint64_t times, int32_t error, uint64_t longer_than) {
  struct rule *rule = &rules[call];
  clinux_store_relaxed(&rule->longer_than, longer_than);
  clinux_store_relaxed(&rule->partial, 0);
  clinux_store_relaxed(&rule->error, (uint64_t)error);
  clinux_store_release(&rule->times, times);
}

void fault_inject_partial(enum fault_call call, uint64_t times, uint64_t bytes) {
  struct rule *rule = &rules[call];
  clinux_store_relaxed(&rule->longer_than, bytes);
  clinux_store_relaxed(&rule->partial, bytes);
  clinux_store_relaxed(&rule->error, EAGAIN);
  clinux_store_release(&rule->times, times);
}

void fault_inject_remove(uint64_t times) { clinux_store_release(&removes, times); }
void fault_delay_copy(uint64_t nanoseconds) { clinux_store_release(&copy_delay, nanoseconds); }
uint64_t fault_calls(enum fault_call call) { return clinux_load_acquire(&rules[call].calls); }
uint64_t fault_answered(enum fault_call call) { return clinux_load_acquire(&rules[call].answered); }

static int take(uint64_t *times) {
  uint64_t left = clinux_load_acquire(times);
  while (left > 0)
    if (clinux_compare_exchange(times, &left, left - 1)) return 1;
  return 0;
}

/* The rule that answers this call; NULL: the kernel does. */
static struct rule *find(enum fault_call call, uint64_t length) {
  struct rule *rule = &rules[call];
  clinux_fetch_add(&rule->calls, 1);
  if (clinux_load_acquire(&rule->times) == 0 || length <= clinux_load_relaxed(&rule->longer_than)) return 0;
  if (!take(&rule->times)) return 0;
  clinux_fetch_add(&rule->answered, 1);
  return rule;
}

/* What a call that did nothing leaves behind: the errno in the output field too. */
static int32_t refuse(const struct rule *rule, int64_t *done) {
  int32_t error = (int32_t)clinux_load_relaxed(&rule->error);
  *done = error == ESRCH ? 0 : -error;
  return -error;
}

typedef int32_t (*range_call)(int fd, uint64_t start, uint64_t length, uint64_t mode, int64_t *done);

static int32_t on_range(enum fault_call call, range_call kernel, int fd, uint64_t start, uint64_t length,
                        uint64_t mode, int64_t *done) {
  struct rule *rule = find(call, length);
  if (!rule) return kernel(fd, start, length, mode, done);
  uint64_t partial = clinux_load_relaxed(&rule->partial);
  if (partial == 0) return refuse(rule, done);
  int32_t result = kernel(fd, start, partial, mode, done);
  return result ? result : -EAGAIN;
}

static int32_t my_copy(int fd, uint64_t dst, uint64_t src, uint64_t length, uint64_t mode, int64_t *done) {
  struct rule *rule = find(FAULT_CALL_COPY, length);
  if (rule) {
    uint64_t partial = clinux_load_relaxed(&rule->partial);
    if (partial == 0) return refuse(rule, done);
    int32_t result = clinux_uffd_kernel.copy(fd, dst, src, partial, mode, done);
    return result ? result : -EAGAIN;
  }
  uint64_t until = clinux_now() + clinux_load_relaxed(&copy_delay);
  while (clinux_now() < until) clinux_relax();
  return clinux_uffd_kernel.copy(fd, dst, src, length, mode, done);
}

static int32_t my_zero(int fd, uint64_t start, uint64_t length, uint64_t mode, int64_t *done) {
  return on_range(FAULT_CALL_ZERO, clinux_uffd_kernel.zeropage, fd, start, length, mode, done);
}

static int32_t my_continue(int fd, uint64_t start, uint64_t length, uint64_t mode, int64_t *done) {
  return on_range(FAULT_CALL_CONTINUE, clinux_uffd_kernel.continue_, fd, start, length, mode, done);
}

static int32_t my_poison(int fd, uint64_t start, uint64_t length, uint64_t mode, int64_t *done) {
  return on_range(FAULT_CALL_POISON, clinux_uffd_kernel.poison, fd, start, length, mode, done);
}

static int32_t my_wake(int fd, uint64_t start, uint64_t length) {
  clinux_fetch_add(&rules[FAULT_CALL_WAKE].calls, 1);
  return clinux_uffd_kernel.wake(fd, start, length);
}

static int64_t my_read(int fd, void *buffer, uint64_t length) {
  struct uffd_msg *messages = buffer;
  clinux_fetch_add(&rules[FAULT_CALL_READ].calls, 1);
  int64_t got = clinux_uffd_kernel.read(fd, buffer, length);
  if (got < (int64_t)sizeof *messages || (uint64_t)got + sizeof *messages > length) return got;
  uint64_t count = (uint64_t)got / sizeof *messages;
  if (messages[count - 1].event != UFFD_EVENT_PAGEFAULT || !take(&removes)) return got;
  uint64_t page = messages[count - 1].arg.pagefault.address & ~4095ull;
  memset(&messages[count], 0, sizeof *messages);
  messages[count].event = UFFD_EVENT_REMOVE;
  messages[count].arg.remove.start = page;
  messages[count].arg.remove.end = page + 4096;
  return got + (int64_t)sizeof *messages;
}

static const struct clinux_uffd_ops table = {
    .read = my_read,
    .copy = my_copy,
    .zeropage = my_zero,
    .continue_ = my_continue,
    .poison = my_poison,
    .wake = my_wake,
};

const struct clinux_uffd_ops *fault_injection_table(void) { return &table; }
