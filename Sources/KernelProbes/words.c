/* SPDX-License-Identifier: Apache-2.0 */
/* Expectations, memory and userfaultfd of a probe. Runs in the probe's child. */
#define _GNU_SOURCE
#include "probe_words.h"
#include "runner.h"

#include <linux/mount.h>
#include <stdio.h>
#include <string.h>

static const char *code_name(int64_t code) {
  if (code == 0) return "success";
  const char *name = code < 0 ? strerrorname_np((int)-code) : NULL;
  return name ? name : "an unknown value";
}

void probe_expect(int64_t actual, int64_t wanted, const char *what) {
  if (actual != wanted) probe_differs("%s: %lld instead of %lld", what, (long long)actual, (long long)wanted);
}

void probe_expect_code(int64_t actual, int64_t wanted, const char *what) {
  if (actual != wanted) probe_differs("%s: %s instead of %s", what, code_name(actual), code_name(wanted));
}

/* --- Memory --------------------------------------------------------------------------------------- */

char *probe_anonymous(size_t length) {
  char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) probe_not_applicable("mmap: %s", strerrorname_np(errno));
  /* A THP would fill neighbours; the facts here are about base pages. */
  madvise(memory, length, MADV_NOHUGEPAGE);
  return memory;
}

int probe_memfd(size_t length) {
  PROBE_NEED(MISSING_SHMEM);
  int fd = memfd_create("probe", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, (off_t)length)) probe_not_applicable("memfd: %s", strerrorname_np(errno));
  return fd;
}

int probe_huge_memfd(size_t length) {
  PROBE_NEED(MISSING_HUGETLBFS);
  int fd = memfd_create("probe", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
  if (fd < 0 || ftruncate(fd, (off_t)length))
    probe_not_applicable("2 MiB memfd: %s", strerrorname_np(errno));
  return fd;
}

char *probe_map(int fd, size_t length, int flags) {
  char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (memory == MAP_FAILED && errno == ENOMEM)
    probe_not_applicable("not enough free pages for %zu KiB of this kind", length >> 10);
  if (memory == MAP_FAILED) probe_not_applicable("mmap: %s", strerrorname_np(errno));
  return memory;
}

char *probe_source(size_t length, int byte) {
  char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) probe_not_applicable("mmap: %s", strerrorname_np(errno));
  memset(memory, byte, length);
  return memory;
}

void probe_cache(int fd, size_t offset, int byte) {
  char page[probe_page];
  memset(page, byte, probe_page);
  if (pwrite(fd, page, probe_page, (off_t)offset) != (ssize_t)probe_page)
    probe_not_applicable("pwrite to a memfd: %s", strerrorname_np(errno));
}

/* A detached mount: no mount point, no namespace, and it goes with its last descriptor. */
int probe_file_on_own_mount(const char *type, const char *const options[][2], size_t length) {
  int context = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
  if (context < 0)
    probe_not_applicable("a %s mount of its own is refused: %s", type, strerrorname_np(errno));
  for (size_t i = 0; options[i][0]; i++)
    if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, options[i][0], options[i][1], 0))
      probe_not_applicable("%s refuses %s=%s: %s", type, options[i][0], options[i][1],
                           strerrorname_np(errno));
  if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
    probe_not_applicable("a %s mount of its own is refused: %s", type, strerrorname_np(errno));
  int mount = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
  int fd = mount < 0 ? -1 : openat(mount, "probe", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate(fd, (off_t)length))
    probe_not_applicable("a file on %s: %s", type, strerrorname_np(errno));
  return fd;
}

/* --- userfaultfd ---------------------------------------------------------------------------------- */

int probe_open(int flags) {
  int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
  if (device >= 0) {
    int fd = clinux_uffd_from_device(device, flags);
    close(device);
    if (fd >= 0) return fd;
  }
  return clinux_uffd_from_syscall(flags);
}

/* The features of this kernel, asked on a descriptor of their own: the handshake is final. */
static uint64_t features_here(void) {
  uint64_t features = 0, ioctls = 0;
  int fd = probe_open(O_CLOEXEC);
  if (fd < 0) fd = probe_open(O_CLOEXEC | CLINUX_UFFD_USER_MODE_ONLY);
  if (fd < 0) probe_not_applicable("no userfaultfd can be opened: %s", strerrorname_np(-fd));
  int code = clinux_uffd_api(fd, &features, &ioctls);
  close(fd);
  if (code) probe_not_applicable("UFFDIO_API: %s", strerrorname_np(-code));
  return features & ~probe_hidden_features();
}

void probe_need_feature(uint64_t feature, const char *name) {
  if (!(features_here() & feature)) probe_not_applicable("the kernel lacks UFFD_FEATURE_%s", name);
}

int probe_uffd_flags(int flags, uint64_t features) {
  uint64_t ioctls = 0;
  int fd = probe_open(flags);
  if (fd < 0) probe_not_applicable("no userfaultfd can be opened: %s", strerrorname_np(-fd));
  int code = clinux_uffd_api(fd, &features, &ioctls);
  if (code) probe_not_applicable("UFFDIO_API: %s", strerrorname_np(-code));
  return fd;
}

int probe_uffd(uint64_t features) {
  int fd = probe_open(O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return probe_uffd_flags(O_CLOEXEC | O_NONBLOCK | CLINUX_UFFD_USER_MODE_ONLY, features);
  close(fd);
  return probe_uffd_flags(O_CLOEXEC | O_NONBLOCK, features);
}

void probe_register(int uffd, void *start, size_t length, uint64_t mode) {
  uint64_t ioctls = 0;
  probe_expect_code(clinux_uffd_register(uffd, (uint64_t)start, length, mode, &ioctls), 0, "REGISTER");
}

int probe_copy_done(int uffd, void *dst, const void *src, size_t length, uint64_t mode, int64_t *done) {
  return clinux_uffd_kernel.copy(uffd, (uint64_t)dst, (uint64_t)src, length, mode, done);
}

int probe_copy(int uffd, void *dst, const void *src, size_t length) {
  int64_t done;
  return probe_copy_done(uffd, dst, src, length, 0, &done);
}

int probe_zeropage(int uffd, void *start, size_t length) {
  int64_t done;
  return clinux_uffd_kernel.zeropage(uffd, (uint64_t)start, length, 0, &done);
}

int probe_continue(int uffd, void *start, size_t length) {
  int64_t done;
  return clinux_uffd_kernel.continue_(uffd, (uint64_t)start, length, 0, &done);
}

int probe_poison(int uffd, void *start, size_t length) {
  int64_t done;
  return clinux_uffd_kernel.poison(uffd, (uint64_t)start, length, 0, &done);
}

int probe_wake(int uffd, void *start, size_t length) {
  return clinux_uffd_kernel.wake(uffd, (uint64_t)start, length);
}
