/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, the handshake, registering, and whose accesses are served. */
#define _GNU_SOURCE
#include "kernel_probes.h"
#include "probe_words.h"

#include <string.h>

static void handshake_once(void) {
  int uffd = probe_uffd(0);
  uint64_t features = 0, ioctls = 0;
  probe_expect_code(clinux_uffd_api(uffd, &features, &ioctls), -EINVAL, "a second UFFDIO_API");
  int other = probe_open(O_CLOEXEC | O_NONBLOCK);
  if (other < 0) other = probe_open(O_CLOEXEC | O_NONBLOCK | CLINUX_UFFD_USER_MODE_ONLY);
  features = 1ull << 63;
  probe_expect_code(clinux_uffd_api(other, &features, &ioctls), -EINVAL, "an unknown feature");
}

static void poll_blocking(void) {
  int uffd = probe_open(O_CLOEXEC);
  int flags = uffd < 0 ? CLINUX_UFFD_USER_MODE_ONLY : 0;
  if (uffd >= 0) close(uffd);
  uffd = probe_uffd_flags(O_CLOEXEC | flags, 0);
  struct pollfd state = {.fd = uffd, .events = POLLIN};
  probe_expect(poll(&state, 1, 0), 1, "poll of a blocking userfaultfd: ready descriptors");
  probe_expect(state.revents & POLLERR, POLLERR, "poll of a blocking userfaultfd: POLLERR");
  fcntl(uffd, F_SETFL, O_NONBLOCK);
  state.revents = 0;
  probe_expect(poll(&state, 1, 0), 0, "poll after O_NONBLOCK: ready descriptors");
}

static void nowait_read(void) {
  int uffd = probe_open(O_CLOEXEC);
  int flags = uffd < 0 ? CLINUX_UFFD_USER_MODE_ONLY : 0;
  if (uffd >= 0) close(uffd);
  uffd = probe_uffd_flags(O_CLOEXEC | flags, 0);
  if (!clinux_uffd_reads_without_waiting(uffd)) probe_not_applicable("no RWF_NOWAIT (Linux 6.10)");
  char *page = probe_anonymous(probe_page);
  struct uffd_msg message;
  struct probe_thread thread;
  probe_register(uffd, page, probe_page, CLINUX_REGISTER_MISSING);
  probe_expect_code(clinux_uffd_shared.read(uffd, &message, sizeof message), -EBADFD, "a read in vain");
  probe_start_access(&thread, page);
  probe_expect_asleep(&thread, "before its fault is read");
  probe_expect(clinux_uffd_shared.read(uffd, &message, sizeof message), sizeof message, "a read of a fault");
}

/* How many tags an epoll set reports, at once or after some time. */
static int ready(int epoll, int64_t milliseconds) {
  uint64_t tags[4];
  return clinux_epoll_wait(epoll, tags, 4, milliseconds * 1000000);
}

/* A page on whose fault a thread waits, and a set that watches its userfaultfd. */
static int watched_fault(int uffd, struct probe_thread *thread) {
  char *page = probe_anonymous(probe_page);
  int epoll = clinux_epoll_create();
  probe_register(uffd, page, probe_page, CLINUX_REGISTER_MISSING);
  if (epoll < 0) probe_not_applicable("no epoll: %s", strerrorname_np(-epoll));
  probe_expect_code(clinux_epoll_set(epoll, EPOLL_CTL_ADD, uffd, EPOLLIN, 0), 0, "EPOLL_CTL_ADD");
  probe_start_access(thread, page);
  probe_expect(ready(epoll, 2000), 1, "ready descriptors, with a fault unread");
  return epoll;
}

static void epoll_level(void) {
  int uffd = probe_uffd(0);
  struct probe_thread thread;
  int epoll = watched_fault(uffd, &thread);
  probe_expect(ready(epoll, 0), 1, "ready descriptors, asked again");
  probe_expect_next(uffd, PROBE_MISSING, "the access");
  probe_expect(ready(epoll, 20), 0, "ready descriptors, with the fault read");
}

static void epoll_dup(void) {
  int uffd = probe_uffd(0), kept = dup(uffd), again = dup(uffd);
  struct probe_thread thread;
  int epoll = watched_fault(uffd, &thread);
  close(uffd);
  probe_expect(ready(epoll, 0), 1, "ready descriptors after close, with another one open");
  probe_expect_code(clinux_epoll_remove(epoll, uffd), -EBADF, "EPOLL_CTL_DEL after close");
  int other = clinux_epoll_create();
  probe_expect_code(clinux_epoll_set(other, EPOLL_CTL_ADD, again, EPOLLIN, 0), 0, "EPOLL_CTL_ADD");
  probe_expect_code(clinux_epoll_remove(other, again), 0, "EPOLL_CTL_DEL before close");
  close(again);
  probe_expect(ready(other, 20), 0, "ready descriptors after EPOLL_CTL_DEL and close");
  probe_expect_next(kept, PROBE_MISSING, "the fault, read by the last holder");
}

/* A set that a thread waits on; its result is what the set reported then. */
static int64_t wait_for_ready(struct probe_thread *thread) { return ready(thread->option, 20000); }

static void start_waiter(struct probe_thread *thread, int uffd, uint32_t events) {
  int epoll = clinux_epoll_create();
  if (epoll < 0) probe_not_applicable("no epoll: %s", strerrorname_np(-epoll));
  probe_expect_code(clinux_epoll_set(epoll, EPOLL_CTL_ADD, uffd, events, 0), 0, "EPOLL_CTL_ADD");
  *thread = (struct probe_thread){.option = epoll};
  probe_start(thread, wait_for_ready);
}

/* Each message: who waits without the flag, and one of those that wait with it. */
static void epoll_exclusive(void) {
  enum { SHARING = 3 };
  int uffd = probe_uffd(0);
  char *page = probe_anonymous(probe_page);
  struct probe_thread plain, sharing[SHARING], toucher;
  probe_register(uffd, page, probe_page, CLINUX_REGISTER_MISSING);
  start_waiter(&plain, uffd, EPOLLIN);
  for (int i = 0; i < SHARING; i++) start_waiter(&sharing[i], uffd, EPOLLIN | EPOLLEXCLUSIVE);
  for (int i = 0; i < SHARING; i++) probe_expect_asleep(&sharing[i], "a wait before there is a fault");
  probe_expect_asleep(&plain, "a wait before there is a fault");
  probe_start_access(&toucher, page);
  probe_expect_ended(&plain, "the wait without EPOLLEXCLUSIVE, with a fault unread");
  int woken = 0;
  for (int tries = 0; tries < 2000 && woken == 0; tries++) {
    for (int i = 0; i < SHARING; i++) woken += atomic_load(&sharing[i].ended);
    usleep(1000);
  }
  probe_expect_asleep(&toucher, "before its fault is read");
  woken = 0;
  for (int i = 0; i < SHARING; i++) woken += atomic_load(&sharing[i].ended);
  probe_expect(woken, 1, "waits with EPOLLEXCLUSIVE that one fault ended");
}

static void register_busy(void) {
  int first = probe_uffd(0), second = probe_uffd(0);
  char *memory = probe_anonymous(probe_page);
  uint64_t ioctls = 0;
  probe_register(first, memory, probe_page, CLINUX_REGISTER_MISSING);
  probe_expect_code(clinux_uffd_register(second, (uint64_t)memory, probe_page, CLINUX_REGISTER_MISSING,
                                         &ioctls),
                    -EBUSY, "REGISTER by a second userfaultfd");
}

static void register_all_or_nothing(void) {
  int uffd = probe_uffd(0);
  char *memory = probe_anonymous(2 * probe_page);
  uint64_t ioctls = 0;
  /* Minor faults need a page cache: anonymous memory is unsuitable for them. */
  probe_expect_code(clinux_uffd_register(uffd, (uint64_t)memory, 2 * probe_page,
                                         CLINUX_REGISTER_MISSING | CLINUX_REGISTER_MINOR, &ioctls),
                    -EINVAL, "REGISTER of anonymous memory for minor faults");
  probe_expect_byte(memory, 0, "an access after the refusal");
}

/* write(2) whose buffer is the page; the result is its return value or -errno. */
static int64_t write_from_page(struct probe_thread *thread) {
  ssize_t length = write(thread->option, thread->address, 1);
  return length < 0 ? -errno : length;
}

static void kernel_access(int uffd, struct probe_thread *thread) {
  int ends[2];
  char *memory = probe_anonymous(probe_page);
  if (pipe2(ends, O_CLOEXEC)) probe_not_applicable("pipe: %s", strerrorname_np(errno));
  probe_register(uffd, memory, probe_page, CLINUX_REGISTER_MISSING);
  *thread = (struct probe_thread){.address = memory, .option = ends[1]};
  probe_start(thread, write_from_page);
}

static void kernel_access_full(void) {
  int uffd = probe_open(O_CLOEXEC);
  if (uffd < 0) probe_not_applicable("only user-mode faults can be had: %s", strerrorname_np(-uffd));
  close(uffd);
  uffd = probe_uffd(0);
  struct probe_thread thread;
  kernel_access(uffd, &thread);
  probe_expect_next(uffd, PROBE_MISSING, "write(2) from a missing page");
  probe_expect_asleep(&thread, "write(2) before the page came");
  char *source = probe_source(probe_page, 0x5a);
  probe_expect_code(probe_copy(uffd, thread.address, source, probe_page), 0, "COPY");
  probe_expect_ended(&thread, "write(2) after COPY");
  probe_expect(thread.result, 1, "bytes written from the served page");
}

static void kernel_access_user_only(void) {
  int uffd = probe_uffd_flags(O_CLOEXEC | O_NONBLOCK | CLINUX_UFFD_USER_MODE_ONLY, 0);
  struct probe_thread thread;
  kernel_access(uffd, &thread);
  probe_expect_ended(&thread, "write(2) from a missing page");
  probe_expect_code(thread.result, -EFAULT, "write(2) from a missing page");
  probe_expect_fault(uffd, thread.address, PROBE_MISSING, "a load from the same page");
}

static const struct kernel_probe probes[] = {
    {"handshake-once", "UFFDIO_API succeeds once per userfaultfd and refuses unknown features",
     handshake_once},
    {"poll-blocking", "poll on a userfaultfd without O_NONBLOCK reports POLLERR", poll_blocking},
    {"nowait-read", "RWF_NOWAIT reads a userfaultfd without O_NONBLOCK and never waits", nowait_read},
    {"epoll-level", "epoll reports a userfaultfd as often as it is asked, until its fault is read",
     epoll_level},
    {"epoll-dup",
     "a closed userfaultfd stays in an epoll set while a duplicate is open, unless it was removed before",
     epoll_dup},
    {"epoll-exclusive",
     "a fault wakes the epoll set that waits for it, and of those that wait with EPOLLEXCLUSIVE one",
     epoll_exclusive},
    {"register-busy", "memory registered with one userfaultfd is refused to another with EBUSY",
     register_busy},
    {"register-refused", "a refused REGISTER leaves the memory as it was", register_all_or_nothing},
    {"kernel-access-full", "write(2) from a missing page waits for the page in full mode",
     kernel_access_full},
    {"kernel-access-user-only",
     "write(2) from a missing page fails with EFAULT in user-mode-only mode and raises no message",
     kernel_access_user_only},
};
PROBE_TOPIC(probe_opening, probes);
