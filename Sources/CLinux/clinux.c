/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "clinux.h"

#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

/* --- userfaultfd ---------------------------------------------------------------------------------- */

static int64_t kernel_read(int fd, void *buffer, uint64_t length) {
  ssize_t n = read(fd, buffer, length);
  return n < 0 ? -errno : n;
}

/* Nothing came: also because the flag is off? poll(2) reports such a uffd again and again (EPOLLERR). */
static int64_t nothing_read(int fd, int error) {
  if (error != EAGAIN) return -error;
  int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && !(flags & O_NONBLOCK) ? -EBADFD : -EAGAIN;
}

static int64_t shared_read(int fd, void *buffer, uint64_t length) {
  struct iovec vector = {buffer, length};
  ssize_t n = preadv2(fd, &vector, 1, -1, RWF_NOWAIT);
  return n < 0 ? nothing_read(fd, errno) : n;
}

static int64_t shared_read_old(int fd, void *buffer, uint64_t length) {
  int64_t flagged = nothing_read(fd, EAGAIN);
  return flagged == -EAGAIN ? kernel_read(fd, buffer, length) : flagged;
}

/*
 * The output field is preset to 0: the kernel leaves it alone when it refuses the arguments or the
 * process is gone, and kernels before 6.15 also when nothing was done for EAGAIN.
 */
static int32_t kernel_copy(int fd, uint64_t dst, uint64_t src, uint64_t length, uint64_t mode,
                           int64_t *done) {
  struct uffdio_copy request = {.dst = dst, .src = src, .len = length, .mode = mode, .copy = 0};
  int result = ioctl(fd, UFFDIO_COPY, &request);
  *done = request.copy;
  return result ? -errno : 0;
}

static int32_t kernel_zeropage(int fd, uint64_t start, uint64_t length, uint64_t mode, int64_t *done) {
  struct uffdio_zeropage request = {.range = {start, length}, .mode = mode, .zeropage = 0};
  int result = ioctl(fd, UFFDIO_ZEROPAGE, &request);
  *done = request.zeropage;
  return result ? -errno : 0;
}

static int32_t kernel_continue(int fd, uint64_t start, uint64_t length, uint64_t mode, int64_t *done) {
  struct uffdio_continue request = {.range = {start, length}, .mode = mode, .mapped = 0};
  int result = ioctl(fd, UFFDIO_CONTINUE, &request);
  *done = request.mapped;
  return result ? -errno : 0;
}

static int32_t kernel_poison(int fd, uint64_t start, uint64_t length, uint64_t mode, int64_t *done) {
  struct uffdio_poison request = {.range = {start, length}, .mode = mode, .updated = 0};
  int result = ioctl(fd, UFFDIO_POISON, &request);
  *done = request.updated;
  return result ? -errno : 0;
}

static int32_t kernel_wake(int fd, uint64_t start, uint64_t length) {
  struct uffdio_range request = {start, length};
  return ioctl(fd, UFFDIO_WAKE, &request) ? -errno : 0;
}

/* The tables differ in how they read. */
#define CALLS(reading) \
  {.read = (reading), .copy = kernel_copy, .zeropage = kernel_zeropage, .continue_ = kernel_continue, \
   .poison = kernel_poison, .wake = kernel_wake}

const struct clinux_uffd_ops clinux_uffd_kernel = CALLS(kernel_read);
const struct clinux_uffd_ops clinux_uffd_shared = CALLS(shared_read);
const struct clinux_uffd_ops clinux_uffd_shared_old = CALLS(shared_read_old);

int32_t clinux_uffd_reads_without_waiting(int fd) {
  /* Less than a message is EINVAL, which comes after the flag was looked at. */
  char byte;
  struct iovec vector = {&byte, 1};
  return preadv2(fd, &vector, 1, -1, RWF_NOWAIT) >= 0 || errno != EOPNOTSUPP;
}

int32_t clinux_uffd_from_device(int device, int flags) {
  int fd = ioctl(device, USERFAULTFD_IOC_NEW, (long)flags);
  return fd < 0 ? -errno : fd;
}

int32_t clinux_uffd_from_syscall(int flags) {
  long fd = syscall(SYS_userfaultfd, flags);
  return fd < 0 ? -errno : (int32_t)fd;
}

int32_t clinux_uffd_api(int fd, uint64_t *features, uint64_t *ioctls) {
  struct uffdio_api request = {.api = UFFD_API, .features = *features, .ioctls = 0};
  int result = ioctl(fd, UFFDIO_API, &request);
  *features = request.features;
  *ioctls = request.ioctls;
  return result ? -errno : 0;
}

int32_t clinux_uffd_register(int fd, uint64_t start, uint64_t length, uint64_t mode, uint64_t *ioctls) {
  struct uffdio_register request = {.range = {start, length}, .mode = mode, .ioctls = 0};
  int result = ioctl(fd, UFFDIO_REGISTER, &request);
  *ioctls = request.ioctls;
  return result ? -errno : 0;
}

int32_t clinux_uffd_unregister(int fd, uint64_t start, uint64_t length) {
  struct uffdio_range request = {start, length};
  return ioctl(fd, UFFDIO_UNREGISTER, &request) ? -errno : 0;
}

/* --- Files, memory, threads ----------------------------------------------------------------------- */

int32_t clinux_memfd_create(const char *name, uint32_t flags) {
  int fd = memfd_create(name, flags);
  return fd < 0 ? -errno : fd;
}

int32_t clinux_add_seals(int fd, int seals) { return fcntl(fd, F_ADD_SEALS, seals) ? -errno : 0; }

void clinux_set_thread_name(const char *name) {
  char kept[16] = {0};
  strncpy(kept, name, sizeof kept - 1);
  pthread_setname_np(pthread_self(), kept);
}

int32_t clinux_eventfd(void) {
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

void clinux_eventfd_ring(int fd) {
  uint64_t one = 1;
  /* EAGAIN: the counter is full, so the bell is ringing already. */
  ssize_t ignored = write(fd, &one, sizeof one);
  (void)ignored;
}

void clinux_eventfd_clear(int fd) {
  uint64_t count;
  ssize_t ignored = read(fd, &count, sizeof count);
  (void)ignored;
}

int32_t clinux_timerfd(void) {
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

void clinux_timerfd_set(int fd, uint64_t moment) {
  /* A moment of 0 would disarm it. */
  if (moment == 0) moment = 1;
  struct itimerspec when = {.it_value = {(time_t)(moment / 1000000000), (long)(moment % 1000000000)}};
  timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL);
}

int32_t clinux_epoll_create(void) {
  int fd = epoll_create1(EPOLL_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int32_t clinux_epoll_set(int epoll, int operation, int fd, uint32_t events, uint64_t tag) {
  struct epoll_event event = {.events = events, .data.u64 = tag};
  return epoll_ctl(epoll, operation, fd, &event) ? -errno : 0;
}

int32_t clinux_epoll_remove(int epoll, int fd) {
  return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL) ? -errno : 0;
}

int32_t clinux_epoll_wait(int epoll, uint64_t *tags, uint32_t capacity, int64_t timeout_nanoseconds) {
  struct epoll_event events[32];
  struct timespec timeout = {timeout_nanoseconds / 1000000000, timeout_nanoseconds % 1000000000};
  /* The C library may be older than its wrapper (glibc 2.35); the kernel has the call since 5.11. */
  long count = syscall(SYS_epoll_pwait2, epoll, events, capacity < 32 ? capacity : 32,
                       timeout_nanoseconds < 0 ? NULL : &timeout, NULL, (size_t)0);
  if (count < 0) return -errno;
  for (long i = 0; i < count; i++) tags[i] = events[i].data.u64;
  return (int32_t)count;
}

int32_t clinux_pidfd_kill(int pidfd, int signal) {
  return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) ? -errno : 0;
}

int32_t clinux_get_seals(int fd) {
  int seals = fcntl(fd, F_GET_SEALS);
  return seals < 0 ? -errno : seals;
}

int32_t clinux_file_identity(int fd, uint64_t *device, uint64_t *inode) {
  struct stat info;
  if (fstat(fd, &info)) return -errno;
  *device = (uint64_t)info.st_dev;
  *inode = (uint64_t)info.st_ino;
  return 0;
}

int64_t clinux_file_blocks(int fd) {
  struct stat info;
  return fstat(fd, &info) ? -errno : (int64_t)info.st_blocks;
}

int32_t clinux_poll(struct pollfd *fds, uint64_t count, int64_t timeout_nanoseconds) {
  struct timespec timeout = {timeout_nanoseconds / 1000000000, timeout_nanoseconds % 1000000000};
  int ready = ppoll(fds, count, timeout_nanoseconds < 0 ? NULL : &timeout, NULL);
  return ready < 0 ? -errno : ready;
}

int32_t clinux_punch_hole(int fd, uint64_t offset, uint64_t length) {
  return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length) ? -errno
                                                                                                : 0;
}

int32_t clinux_madvise(void *start, uint64_t length, int advice) {
  return madvise(start, length, advice) ? -errno : 0;
}

int32_t clinux_pagemap_first_unmapped(int pagemap, uint64_t start, uint64_t end, uint64_t *found) {
  struct clinux_page_region region = {0};
  struct clinux_pm_scan_arg request = {
      .size = sizeof request, .start = start, .end = end, .vec = (uintptr_t)&region, .vec_len = 1,
      .max_pages = 1, .category_inverted = CLINUX_PAGE_IS_PRESENT, .category_mask = CLINUX_PAGE_IS_PRESENT,
      .return_mask = CLINUX_PAGE_IS_PRESENT};
  int count = ioctl(pagemap, CLINUX_PAGEMAP_SCAN, &request);
  if (count < 0) return -errno;
  *found = count == 0 ? end : region.start;
  return 0;
}

int32_t clinux_stat(int fd, const char *path, uint32_t *mode, uint64_t *size) {
  struct stat info;
  if (path ? stat(path, &info) : fstat(fd, &info)) return -errno;
  *mode = info.st_mode;
  *size = (uint64_t)info.st_size;
  return 0;
}

int64_t clinux_filesystem_type(int fd) {
  struct statfs info;
  return fstatfs(fd, &info) ? -errno : (int64_t)info.f_type;
}

int64_t clinux_filesystem_block_size(int fd) {
  struct statfs info;
  return fstatfs(fd, &info) ? -errno : (int64_t)info.f_bsize;
}

const char *clinux_errno_name(int value) { return strerrorname_np(value); }

int32_t clinux_read_carefully(const void *source, void *destination, uint64_t length) {
  struct iovec local = {destination, length};
  struct iovec remote = {(void *)(uintptr_t)source, length};
  ssize_t n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
  if (n < 0) return -errno;
  return (uint64_t)n == length ? 0 : -EFAULT;
}
