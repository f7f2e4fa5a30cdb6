/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The userfaultfd uapi of Linux 6.18 as constants Swift can import. The ioctl codes are macros over
 * sizeof, which Swift does not import from any header; layout.c compares every value here with the
 * installed header, as far as that one goes, and every struct with its documented size.
 */
#ifndef CLINUX_UAPI_H
#define CLINUX_UAPI_H

#include <linux/types.h>
#include <linux/userfaultfd.h>
#include <stdint.h>

/* Structs and ioctls that came after 6.1. */
#ifndef _UFFDIO_MOVE
#define _UFFDIO_MOVE 0x05
struct uffdio_move {
  __u64 dst;
  __u64 src;
  __u64 len;
  __u64 mode;
  __s64 move;
};
#define UFFDIO_MOVE _IOWR(UFFDIO, _UFFDIO_MOVE, struct uffdio_move)
#endif
#ifndef _UFFDIO_POISON
#define _UFFDIO_POISON 0x08
struct uffdio_poison {
  struct uffdio_range range;
  __u64 mode;
  __s64 updated;
};
#define UFFDIO_POISON _IOWR(UFFDIO, _UFFDIO_POISON, struct uffdio_poison)
#endif

/* PAGEMAP_SCAN of <linux/fs.h>, 6.7: under names of our own, for a header may have the structs. */
struct clinux_page_region {
  __u64 start;
  __u64 end;
  __u64 categories;
};
struct clinux_pm_scan_arg {
  __u64 size;
  __u64 flags;
  __u64 start;
  __u64 end;
  __u64 walk_end;
  __u64 vec;
  __u64 vec_len;
  __u64 max_pages;
  __u64 category_inverted;
  __u64 category_mask;
  __u64 category_anyof_mask;
  __u64 return_mask;
};
#define CLINUX_PAGEMAP_SCAN _IOWR('f', 16, struct clinux_pm_scan_arg)
#define CLINUX_PAGE_IS_PRESENT (1ull << 3)

enum : uint64_t {
  CLINUX_FEATURE_PAGEFAULT_FLAG_WP = 1ull << 0,
  CLINUX_FEATURE_EVENT_FORK = 1ull << 1,
  CLINUX_FEATURE_EVENT_REMAP = 1ull << 2,
  CLINUX_FEATURE_EVENT_REMOVE = 1ull << 3,
  CLINUX_FEATURE_MISSING_HUGETLBFS = 1ull << 4,
  CLINUX_FEATURE_MISSING_SHMEM = 1ull << 5,
  CLINUX_FEATURE_EVENT_UNMAP = 1ull << 6,
  CLINUX_FEATURE_SIGBUS = 1ull << 7,
  CLINUX_FEATURE_THREAD_ID = 1ull << 8,
  CLINUX_FEATURE_MINOR_HUGETLBFS = 1ull << 9,
  CLINUX_FEATURE_MINOR_SHMEM = 1ull << 10,
  CLINUX_FEATURE_EXACT_ADDRESS = 1ull << 11,
  CLINUX_FEATURE_WP_HUGETLBFS_SHMEM = 1ull << 12,
  CLINUX_FEATURE_WP_UNPOPULATED = 1ull << 13, /* 6.4 */
  CLINUX_FEATURE_POISON = 1ull << 14,         /* 6.6 */
  CLINUX_FEATURE_WP_ASYNC = 1ull << 15,       /* 6.7 */
  CLINUX_FEATURE_MOVE = 1ull << 16,           /* 6.8 */
};

enum : uint64_t {
  CLINUX_REGISTER_MISSING = 1,
  CLINUX_REGISTER_WP = 2,
  CLINUX_REGISTER_MINOR = 4,
};

/* Mode of COPY, ZEROPAGE and CONTINUE: whoever sleeps on the range sleeps on. */
enum : uint64_t {
  CLINUX_DONTWAKE = 1,
  CLINUX_COPY_WP = 2, /* of COPY alone: write-protected from the start */
};

/* Bit of each ioctl in uffdio_register.ioctls. */
enum : uint64_t {
  CLINUX_IOCTL_WAKE = 1ull << 0x02,
  CLINUX_IOCTL_COPY = 1ull << 0x03,
  CLINUX_IOCTL_ZEROPAGE = 1ull << 0x04,
  CLINUX_IOCTL_MOVE = 1ull << 0x05,
  CLINUX_IOCTL_WRITEPROTECT = 1ull << 0x06,
  CLINUX_IOCTL_CONTINUE = 1ull << 0x07,
  CLINUX_IOCTL_POISON = 1ull << 0x08,
};

enum : uint8_t {
  CLINUX_EVENT_PAGEFAULT = 0x12,
  CLINUX_EVENT_FORK = 0x13,
  CLINUX_EVENT_REMAP = 0x14,
  CLINUX_EVENT_REMOVE = 0x15,
  CLINUX_EVENT_UNMAP = 0x16,
};

enum : uint64_t {
  CLINUX_FAULT_WRITE = 1,
  CLINUX_FAULT_WP = 2,
  CLINUX_FAULT_MINOR = 4,
};

/* Flags of userfaultfd(2) and USERFAULTFD_IOC_NEW. */
#define CLINUX_UFFD_USER_MODE_ONLY 1

/* Advice and magic numbers that Swift does not import, or an old header lacks. */
#define CLINUX_MADV_POPULATE_READ 22
#define CLINUX_MADV_POPULATE_WRITE 23
#define CLINUX_TMPFS_MAGIC 0x01021994
#define CLINUX_HUGETLBFS_MAGIC 0x958458f6
#define CLINUX_SEAL_SHRINK 0x0002
#define CLINUX_SEAL_GROW 0x0004

#endif /* CLINUX_UAPI_H */
