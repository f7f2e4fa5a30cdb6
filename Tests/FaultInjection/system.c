/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "system.h"

#include "clinux.h"

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static uint64_t watches, watch_error, forgets, nowaits;

void fault_inject_watches(uint64_t times, int32_t error) {
  clinux_store_relaxed(&watch_error, (uint64_t)error);
  clinux_store_release(&watches, times);
}

uint64_t fault_watches_left(void) { return clinux_load_acquire(&watches); }

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event) {
  uint64_t left = operation == EPOLL_CTL_ADD ? clinux_load_acquire(&watches) : 0;
  while (left > 0) {
    if (!clinux_compare_exchange(&watches, &left, left - 1)) continue;
    errno = (int)clinux_load_relaxed(&watch_error);
    return -1;
  }
  return (int)syscall(SYS_epoll_ctl, epoll, operation, fd, event);
}

void fault_forget_nowait(void) { clinux_store_release(&forgets, 1); }
uint64_t fault_nowaits(void) { return clinux_load_acquire(&nowaits); }

ssize_t preadv2(int fd, const struct iovec *pieces, int count, off_t offset, int flags) {
  if (flags & RWF_NOWAIT && clinux_load_acquire(&forgets)) {
    clinux_fetch_add(&nowaits, 1);
    errno = EOPNOTSUPP;
    return -1;
  }
  return syscall(SYS_preadv2, fd, pieces, count, (long)offset, (long)((uint64_t)offset >> 32), flags);
}
