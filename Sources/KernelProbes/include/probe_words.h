/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words a probe is written in. They run only in a probe's own child process, where leaving is
 * always allowed: whatever goes wrong in a preparation ends the child with "not applicable", and
 * whatever is not as expected ends it with "differs". Nothing is ever cleaned up; the exit does it.
 */
#ifndef PROBE_WORDS_H
#define PROBE_WORDS_H

#include "clinux.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define PROBE_PRINTF __attribute__((format(printf, 1, 2)))

/* The size of a base page, and of the huge pages probed. */
extern size_t probe_page;
#define PROBE_HUGE ((size_t)2 << 20)

/* --- Endings -------------------------------------------------------------------------------------- */

_Noreturn PROBE_PRINTF void probe_not_applicable(const char *format, ...);
_Noreturn PROBE_PRINTF void probe_differs(const char *format, ...);

/* Ends the probe as not applicable where the kernel lacks (or the caller hides) the feature. */
#define PROBE_NEED(name) probe_need_feature(CLINUX_FEATURE_##name, #name)
void probe_need_feature(uint64_t feature, const char *name);

/* Each ends the probe as different unless actual is what was wanted. Codes are 0 or -errno. */
void probe_expect(int64_t actual, int64_t wanted, const char *what);
void probe_expect_code(int64_t actual, int64_t wanted, const char *what);

/* --- Memory --------------------------------------------------------------------------------------- */

char *probe_anonymous(size_t length);
int probe_memfd(size_t length);
int probe_huge_memfd(size_t length);
/* flags: MAP_SHARED or MAP_PRIVATE, and MAP_NORESERVE. */
char *probe_map(int fd, size_t length, int flags);
/* Resident memory filled with one byte. */
char *probe_source(size_t length, int byte);
/* Puts one byte-filled page into a memfd's page cache without any mapping. */
void probe_cache(int fd, size_t offset, int byte);
/* A file on a fresh mount that nobody else sees and that ends with the probe; needs CAP_SYS_ADMIN. */
int probe_file_on_own_mount(const char *type, const char *const options[][2], size_t length);

/* --- userfaultfd ---------------------------------------------------------------------------------- */

/* Non-blocking, with UFFDIO_API done; flags may add CLINUX_UFFD_USER_MODE_ONLY. */
int probe_uffd(uint64_t features);
int probe_uffd_flags(int flags, uint64_t features);
/* The same before UFFDIO_API; returns -errno. The device comes first, as in the host. */
int probe_open(int flags);
void probe_register(int uffd, void *start, size_t length, uint64_t mode);

int probe_copy(int uffd, void *dst, const void *src, size_t length);
int probe_copy_done(int uffd, void *dst, const void *src, size_t length, uint64_t mode, int64_t *done);
int probe_zeropage(int uffd, void *start, size_t length);
int probe_continue(int uffd, void *start, size_t length);
int probe_poison(int uffd, void *start, size_t length);
int probe_wake(int uffd, void *start, size_t length);

/* What a message says: one of these, or the number of the event. */
enum { PROBE_NOTHING = 0, PROBE_MISSING = 1, PROBE_MINOR = 2, PROBE_WP = 3 };
/* Waits up to two seconds for the next message. */
int probe_next(int uffd, struct uffd_msg *message);
void probe_expect_next(int uffd, int wanted, const char *what);
/* The same for a fault of base pages, which has to carry this address. */
void probe_expect_next_at(int uffd, int wanted, const char *address, const char *what);
/* Nothing can be read now, nor a little later. */
void probe_expect_silence(int uffd, const char *what);
/* Waits until something can be read, without reading it. */
void probe_await_readable(int uffd, const char *what);
/* The number of faults nobody has read yet, from /proc/self/fdinfo. */
int probe_unread_faults(int uffd);

/* --- Threads that sleep --------------------------------------------------------------------------- */

struct probe_thread {
  int64_t (*body)(struct probe_thread *);
  char *address;
  size_t length;
  int option;
  int64_t result;
  atomic_int ended;
};

/* What an access saw: a byte, or this for a signal. */
#define PROBE_SIGNAL(number) (0x100 | (number))

/* Loads one byte at address, or writes it back where option is set. The result is an access. */
int64_t probe_access(struct probe_thread *thread);
/* MADV_DONTNEED of the range, for which an event may make the thread wait; 0 or -errno. */
int64_t probe_discard(struct probe_thread *thread);
/* mremap(2) by a thread, for which events may make it wait. `now` is what it returned. */
struct probe_remapping {
  struct probe_thread thread;
  char *from, *to, *now;
  size_t length, wanted;
  int flags;
};
void probe_start_remapping(struct probe_remapping *remapping);
void probe_expect_remapped(struct probe_remapping *remapping, const char *when);

void probe_start(struct probe_thread *thread, int64_t (*body)(struct probe_thread *));
void probe_start_access(struct probe_thread *thread, char *address);
/* Asleep: has not ended after a while in which a woken thread would have. */
void probe_expect_asleep(struct probe_thread *thread, const char *when);
/* Awake: ends within two seconds. */
void probe_expect_ended(struct probe_thread *thread, const char *when);
void probe_expect_access(struct probe_thread *thread, int wanted, const char *when);
/* The same for an access by the calling thread. */
void probe_expect_byte(char *address, int wanted, const char *when);
/* Starts an access and expects it to raise a fault of this kind. The thread stays asleep. */
void probe_expect_fault(int uffd, char *address, int kind, const char *when);
/* The same for base pages, with the address of the access. */
void probe_expect_fault_at(int uffd, char *address, int kind, const char *when);

/* As fork(2). The child has an alarm and dies with the thread that made it. */
int probe_fork(void);
/* The exit status of that child, or 0x100 | signal. */
int probe_reap(int child);
void probe_child_begins(void);

/* The tables, one per topic. */
struct probe_topic {
  const struct kernel_probe *probes;
  size_t count;
};
extern const struct probe_topic probe_opening, probe_faults, probe_install, probe_minor, probe_huge,
    probe_poisoning, probe_events, probe_remaps, probe_forks, probe_discards, probe_endings;

#define PROBE_TOPIC(name, list) \
  const struct probe_topic name = {.probes = (list), .count = sizeof(list) / sizeof((list)[0])}

#endif /* PROBE_WORDS_H */
