/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Swift's Glibc module cannot say about Linux: userfaultfd's ioctls, functions behind _GNU_SOURCE,
 * variadic calls, atomic words in raw memory. No policy, no state. Every function that can fail
 * returns a negative errno, so that nobody reads `errno` after another call has changed it.
 *
 * The installed <linux/userfaultfd.h> may be as old as 6.1. clinux_uapi.h supplies what it lacks.
 */
#ifndef CLINUX_H
#define CLINUX_H

#include "clinux_uapi.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wnullability-completeness"

/* --- userfaultfd: the calls of a fault's life ---------------------------------------------------- */

/*
 * The operations that a running session performs on its uffd. A table, so that a test can make the
 * kernel answer what it will not answer on demand, and so that the cost of the language can be
 * measured with the kernel taken out. Each returns 0 or a negative errno; `done` is the output field
 * of the ioctl (bytes done, or a negative errno, or 0 where the kernel did not write it).
 */
struct clinux_uffd_ops {
  int64_t (*read)(int fd, void *buffer, uint64_t length);
  int32_t (*copy)(int fd, uint64_t dst, uint64_t src, uint64_t length, uint64_t mode, int64_t *done);
  int32_t (*zeropage)(int fd, uint64_t start, uint64_t length, uint64_t mode, int64_t *done);
  int32_t (*continue_)(int fd, uint64_t start, uint64_t length, uint64_t mode, int64_t *done);
  int32_t (*poison)(int fd, uint64_t start, uint64_t length, uint64_t mode, int64_t *done);
  int32_t (*wake)(int fd, uint64_t start, uint64_t length);
};

/* The real kernel. */
extern const struct clinux_uffd_ops clinux_uffd_kernel;
/*
 * The same for a uffd whose open file another process holds, too, and may make blocking whenever it likes:
 * `read` never sleeps whatever O_NONBLOCK is, and -EBADFD says that nothing is to be read and the flag is
 * off. The first needs `clinux_uffd_reads_without_waiting`. The second looks at the flag before it reads,
 * which leaves a moment in between.
 */
extern const struct clinux_uffd_ops clinux_uffd_shared;
extern const struct clinux_uffd_ops clinux_uffd_shared_old;
/*
 * 1 if RWF_NOWAIT of preadv2(2) is known for this uffd: Linux 6.10 or later, and the file is not one that the
 * kernel made for a fork. Reads nothing.
 */
int32_t clinux_uffd_reads_without_waiting(int fd);

/* USERFAULTFD_IOC_NEW on an open /dev/userfaultfd, and userfaultfd(2). Return the new fd. */
int32_t clinux_uffd_from_device(int device, int flags);
int32_t clinux_uffd_from_syscall(int flags);
/* UFFDIO_API. `features` goes in as what is wanted and comes out as what the kernel has. */
int32_t clinux_uffd_api(int fd, uint64_t *features, uint64_t *ioctls);
int32_t clinux_uffd_register(int fd, uint64_t start, uint64_t length, uint64_t mode, uint64_t *ioctls);
int32_t clinux_uffd_unregister(int fd, uint64_t start, uint64_t length);

/* --- Files, memory, threads ---------------------------------------------------------------------- */

int32_t clinux_memfd_create(const char *name, uint32_t flags);
int32_t clinux_add_seals(int fd, int seals);
/* Names the calling thread; at most 15 bytes are kept. */
void clinux_set_thread_name(const char *name);
int32_t clinux_eventfd(void);
/* Adds one to an eventfd, and takes what has been added. */
void clinux_eventfd_ring(int fd);
void clinux_eventfd_clear(int fd);
/* A timerfd(2) of CLOCK_MONOTONIC, and the moment (nanoseconds, absolute) at which it fires once. */
int32_t clinux_timerfd(void);
void clinux_timerfd_set(int fd, uint64_t moment);
/*
 * One epoll(7) for each thread that waits. EPOLL_CTL_ADD or EPOLL_CTL_MOD; the tag comes back when the
 * descriptor is ready. Removing is by descriptor, while it is still open: a client holds the same open file,
 * which would otherwise stay in the set.
 */
int32_t clinux_epoll_create(void);
int32_t clinux_epoll_set(int epoll, int operation, int fd, uint32_t events, uint64_t tag);
int32_t clinux_epoll_remove(int epoll, int fd);
/* epoll_pwait2(2): number of tags written, at most 32, or -errno. A negative timeout waits for ever. */
int32_t clinux_epoll_wait(int epoll, uint64_t *tags, uint32_t capacity, int64_t timeout_nanoseconds);
/* pidfd_send_signal(2). */
int32_t clinux_pidfd_kill(int pidfd, int signal);
/* F_GET_SEALS of fcntl(2), or -errno: the file cannot be sealed. */
int32_t clinux_get_seals(int fd);
/* st_dev and st_ino of fstat(2): two descriptors of one file have the same. */
int32_t clinux_file_identity(int fd, uint64_t *device, uint64_t *inode);
/* st_blocks of fstat(2), or -errno. */
int64_t clinux_file_blocks(int fd);
/* ppoll without a signal mask; a negative timeout waits for ever. Number of ready fds, or -errno. */
int32_t clinux_poll(struct pollfd *fds, uint64_t count, int64_t timeout_nanoseconds);
/* fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE). */
int32_t clinux_punch_hole(int fd, uint64_t offset, uint64_t length);
int32_t clinux_madvise(void *start, uint64_t length, int advice);
/*
 * The first page of [start, end) that is not mapped, or `end` (PAGEMAP_SCAN of an open /proc/self/pagemap; Linux
 * 6.7). Negative errno on failure.
 */
int32_t clinux_pagemap_first_unmapped(int pagemap, uint64_t start, uint64_t end, uint64_t *found);
/* fstat(2), or stat(2) where `path` is not NULL: st_mode and st_size. */
int32_t clinux_stat(int fd, const char *path, uint32_t *mode, uint64_t *size);
/* f_type of statfs(2), to tell tmpfs and hugetlbfs from other files; negative errno on failure. */
int64_t clinux_filesystem_type(int fd);
int64_t clinux_filesystem_block_size(int fd);
/* The symbolic name of an errno value ("EAGAIN"), or NULL. */
const char *clinux_errno_name(int value);

/* process_vm_readv(2) on the calling process: -EFAULT where a load would crash. */
int32_t clinux_read_carefully(const void *source, void *destination, uint64_t length);

/*
 * Accesses to memory that another thread may have to fill, or that may be poisoned. A SIGBUS or
 * SIGSEGV of the access itself is caught (sigsetjmp; the handler passes every other signal on).
 * touch loads (or stores back) one byte; compare is memcmp in the given unit.
 * Return 0, the signal number, or for compare -1 where the bytes differ (*offset says where).
 */
void clinux_install_access_guard(void);
int32_t clinux_touch(const volatile void *address, int write);
int32_t clinux_compare(const void *a, const void *b, uint64_t length, uint64_t *offset);

static inline uint64_t clinux_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- Atomic words in raw memory ------------------------------------------------------------------- */

static inline uint64_t clinux_load_relaxed(const uint64_t *word) {
  return __atomic_load_n(word, __ATOMIC_RELAXED);
}
static inline uint64_t clinux_load_acquire(const uint64_t *word) {
  return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}
static inline void clinux_store_relaxed(uint64_t *word, uint64_t value) {
  __atomic_store_n(word, value, __ATOMIC_RELAXED);
}
static inline void clinux_store_release(uint64_t *word, uint64_t value) {
  __atomic_store_n(word, value, __ATOMIC_RELEASE);
}
static inline int clinux_compare_exchange(uint64_t *word, uint64_t *expected, uint64_t desired) {
  return __atomic_compare_exchange_n(word, expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
static inline uint64_t clinux_fetch_add(uint64_t *word, uint64_t value) {
  return __atomic_fetch_add(word, value, __ATOMIC_ACQ_REL);
}
static inline uint64_t clinux_fetch_or(uint64_t *word, uint64_t value) {
  return __atomic_fetch_or(word, value, __ATOMIC_ACQ_REL);
}
static inline uint64_t clinux_fetch_and(uint64_t *word, uint64_t value) {
  return __atomic_fetch_and(word, value, __ATOMIC_ACQ_REL);
}
static inline uint64_t clinux_exchange(uint64_t *word, uint64_t value) {
  return __atomic_exchange_n(word, value, __ATOMIC_ACQ_REL);
}
static inline void clinux_relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/* --- Hints to the compiler ------------------------------------------------------------------------ */

/*
 * `yes` or `no` without a branch: for a condition that the CPU guesses wrong every second time. Nothing in Swift
 * keeps the optimizer from making a branch of it.
 */
static inline uint64_t clinux_select(int condition, uint64_t yes, uint64_t no) {
  return __builtin_unpredictable(condition) ? yes : no;
}

#pragma clang diagnostic pop

#endif /* CLINUX_H */
