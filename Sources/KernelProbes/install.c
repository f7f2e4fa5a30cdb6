/* SPDX-License-Identifier: Apache-2.0 */
/* What COPY answers: partial success, pending events, layout, source, owner. */
#define _GNU_SOURCE
#include "kernel_probes.h"
#include "probe_words.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void copy_partial(void) {
  int uffd = probe_uffd(0);
  char *pages = probe_anonymous(3 * probe_page), *source = probe_source(3 * probe_page, 0x5a);
  int64_t done;
  struct probe_thread thread;
  probe_register(uffd, pages, 3 * probe_page, CLINUX_REGISTER_MISSING);
  probe_expect_code(probe_copy(uffd, pages + probe_page, source, probe_page), 0, "COPY of page 2");
  probe_start_access(&thread, pages);
  probe_expect_next(uffd, PROBE_MISSING, "page 1");
  probe_expect_code(probe_copy_done(uffd, pages, source, 3 * probe_page, 0, &done), -EAGAIN,
                    "COPY of three pages, the second present");
  probe_expect(done, (int64_t)probe_page, "bytes done");
  probe_expect_access(&thread, 0x5a, "the part that was done");
  probe_expect_code(probe_copy_done(uffd, pages + probe_page, source, 2 * probe_page, 0, &done),
                    -EEXIST, "COPY of the rest");
  probe_expect(done, -EEXIST, "the output field of the rest");
}

static void copy_event_pending(void) {
  PROBE_NEED(EVENT_REMOVE);
  int uffd = probe_uffd(CLINUX_FEATURE_EVENT_REMOVE);
  char *pages = probe_anonymous(2 * probe_page), *source = probe_source(probe_page, 0x5a);
  int64_t done;
  probe_register(uffd, pages, 2 * probe_page, CLINUX_REGISTER_MISSING);
  struct probe_thread event = {.address = pages, .length = probe_page};
  probe_start(&event, probe_discard);
  probe_await_readable(uffd, "MADV_DONTNEED");
  probe_expect_code(probe_copy_done(uffd, pages + probe_page, source, probe_page, 0, &done), -EAGAIN,
                    "COPY elsewhere with an event unread");
  /* Kernels before 6.15 may leave the field alone. */
  if (done != 0) probe_expect(done, -EAGAIN, "the output field");
  probe_expect_next(uffd, CLINUX_EVENT_REMOVE, "the event");
  probe_expect_ended(&event, "reading the event");
  probe_expect_code(probe_copy(uffd, pages + probe_page, source, probe_page), 0,
                    "COPY after the discarding thread has ended");
}

static void copy_two_vmas(void) {
  int uffd = probe_uffd(0);
  char *pages = probe_anonymous(2 * probe_page), *source = probe_source(2 * probe_page, 0x5a);
  probe_register(uffd, pages, 2 * probe_page, CLINUX_REGISTER_MISSING);
  if (mprotect(pages + probe_page, probe_page, PROT_READ)) probe_not_applicable("mprotect failed");
  probe_expect_code(probe_copy(uffd, pages, source, 2 * probe_page), -ENOENT, "COPY over two VMAs");
  probe_expect_code(probe_copy(uffd, pages, source, probe_page), 0, "COPY of the first page alone");
  probe_expect_code(probe_copy(uffd, pages + probe_page, source, probe_page), 0,
                    "COPY of the second page alone");
}

static void copy_unmapped(void) {
  int uffd = probe_uffd(0);
  char *pages = probe_anonymous(2 * probe_page), *source = probe_source(probe_page, 0x5a);
  char *stranger = probe_anonymous(probe_page);
  probe_register(uffd, pages, 2 * probe_page, CLINUX_REGISTER_MISSING);
  munmap(pages + probe_page, probe_page);
  probe_expect_code(probe_copy(uffd, pages + probe_page, source, probe_page), -ENOENT,
                    "COPY to unmapped memory");
  probe_expect_code(probe_copy(uffd, stranger, source, probe_page), -ENOENT,
                    "COPY to memory that nobody registered");
}

static void copy_bad_source(void) {
  int uffd = probe_uffd(0);
  char *page = probe_anonymous(probe_page), *source = probe_source(probe_page, 0x5a);
  int64_t done;
  probe_register(uffd, page, probe_page, CLINUX_REGISTER_MISSING);
  munmap(source, probe_page);
  probe_expect_code(probe_copy_done(uffd, page, source, probe_page, 0, &done), -EFAULT,
                    "COPY from unmapped memory");
  probe_expect(done, -EFAULT, "the output field");
}

static void copy_truncated_source(void) {
  int uffd = probe_uffd(0), file = probe_memfd(probe_page);
  char *page = probe_anonymous(probe_page), *source = probe_map(file, probe_page, MAP_SHARED);
  probe_register(uffd, page, probe_page, CLINUX_REGISTER_MISSING);
  if (ftruncate(file, 0)) probe_not_applicable("ftruncate: %s", strerrorname_np(errno));
  probe_expect_code(probe_copy(uffd, page, source, probe_page), -EFAULT,
                    "COPY from a mapped file that has shrunk");
}

static void populate_truncated(void) {
  int file = probe_memfd(probe_page);
  char *memory = probe_map(file, probe_page, MAP_SHARED);
  if (ftruncate(file, 0)) probe_not_applicable("ftruncate: %s", strerrorname_np(errno));
  probe_expect_code(clinux_madvise(memory, probe_page, CLINUX_MADV_POPULATE_READ), -EFAULT,
                    "MADV_POPULATE_READ of a mapped file that has shrunk");
}

static void copy_beyond_end(void) {
  int uffd = probe_uffd(0), file = probe_memfd(probe_page);
  char *pages = probe_map(file, 2 * probe_page, MAP_SHARED);
  char *source = probe_source(probe_page, 0x5a);
  probe_register(uffd, pages, 2 * probe_page, CLINUX_REGISTER_MISSING);
  int code = probe_copy(uffd, pages + probe_page, source, probe_page);
  if (code != -ENOMEM) probe_expect_code(code, -EFAULT, "COPY beyond the end of a memfd");
  struct stat info;
  if (fstat(file, &info) == 0) probe_expect(info.st_size, (int64_t)probe_page, "size of the file");
}

/* --- The owner dies ------------------------------------------------------------------------------- */

struct owner {
  int pid, uffd;
  char *memory, *outside;
};

static void sleep_for_ever(void) {
  for (;;) pause();
}

/*
 * A process with memory of its own and our descriptor table, so that its userfaultfd is ours as well.
 * When it has registered its memory it goes on with `then`.
 */
static void start_owner(struct owner *owner, void (*then)(void)) {
  struct shared {
    atomic_int uffd;
  } *shared = mmap(NULL, probe_page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  owner->memory = probe_anonymous(probe_page);
  owner->outside = probe_anonymous(probe_page);
  atomic_store(&shared->uffd, -1);
  owner->pid = (int)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0ul);
  if (owner->pid < 0) probe_not_applicable("clone: %s", strerrorname_np(errno));
  if (owner->pid == 0) {
    probe_child_begins();
    int uffd = probe_uffd(0);
    probe_register(uffd, owner->memory, probe_page, CLINUX_REGISTER_MISSING);
    atomic_store(&shared->uffd, uffd);
    then();
  }
  for (int i = 0; i < 4000 && atomic_load(&shared->uffd) < 0; i++) usleep(500);
  owner->uffd = atomic_load(&shared->uffd);
  if (owner->uffd < 0) probe_not_applicable("the owner did not start");
}

static void end_owner(struct owner *owner) {
  kill(owner->pid, SIGKILL);
  probe_expect(probe_reap(owner->pid), PROBE_SIGNAL(SIGKILL), "the owner's end");
}

static void copy_owner_dead(void) {
  struct owner owner;
  char *source = probe_source(probe_page, 0x5a);
  start_owner(&owner, sleep_for_ever);
  probe_expect_code(probe_copy(owner.uffd, owner.memory, source, probe_page), 0,
                    "COPY into a living process");
  end_owner(&owner);
  probe_expect_code(probe_copy(owner.uffd, owner.memory, source, probe_page), -ESRCH,
                    "COPY into a dead process");
}

static void liveness_probe(void) {
  PROBE_NEED(MINOR_SHMEM);
  struct owner owner;
  start_owner(&owner, sleep_for_ever);
  probe_expect_code(probe_continue(owner.uffd, owner.outside, probe_page), -ENOENT,
                    "CONTINUE outside all registrations of a living process");
  end_owner(&owner);
  probe_expect_code(probe_continue(owner.uffd, owner.outside, probe_page), -ESRCH,
                    "CONTINUE outside all registrations of a dead process");
}

static void death_is_silent(void) {
  struct owner owner;
  start_owner(&owner, sleep_for_ever);
  end_owner(&owner);
  struct pollfd state = {.fd = owner.uffd, .events = POLLIN};
  probe_expect(poll(&state, 1, 20), 0, "ready descriptors after the owner's death");
}

/* Stops when another program has taken the place of its memory, before the program's first step. */
static void execute(void) {
  static char *const words[] = {"probe", NULL};
  if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0) execve("/proc/self/exe", words, words + 1);
  _exit(1);
}

static void exec_gone(void) {
  PROBE_NEED(MINOR_SHMEM);
  struct owner owner;
  int status = 0;
  start_owner(&owner, execute);
  while (waitpid(owner.pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFSTOPPED(status)) probe_not_applicable("execve under ptrace is refused");
  /* However this probe ends, the program never runs. */
  ptrace(PTRACE_SETOPTIONS, owner.pid, NULL, PTRACE_O_EXITKILL);
  int pidfd = (int)syscall(SYS_pidfd_open, owner.pid, 0);
  if (pidfd < 0) probe_not_applicable("no pidfd: %s", strerrorname_np(errno));
  int code = probe_continue(owner.uffd, owner.outside, probe_page);
  struct pollfd state = {.fd = pidfd, .events = POLLIN};
  int exited = poll(&state, 1, 0);
  end_owner(&owner);
  probe_expect(exited, 0, "pidfds that report an exit after execve");
  probe_expect(poll(&state, 1, 2000), 1, "pidfds that report an exit after the process was killed");
  probe_expect_code(code, -ESRCH, "CONTINUE outside all registrations after execve");
}

static const struct kernel_probe probes[] = {
    {"copy-partial", "COPY that meets a present page answers EAGAIN with the bytes done, and wakes them",
     copy_partial},
    {"copy-event-pending", "COPY answers EAGAIN with nothing done while an event is unread",
     copy_event_pending},
    {"copy-two-vmas", "COPY over two VMAs answers ENOENT, page by page it succeeds", copy_two_vmas},
    {"copy-unmapped", "COPY to unmapped or unregistered memory answers ENOENT", copy_unmapped},
    {"copy-bad-source", "COPY from unreadable memory answers EFAULT", copy_bad_source},
    {"copy-truncated-source", "COPY from a mapped file that has shrunk answers EFAULT, without a signal",
     copy_truncated_source},
    {"populate-truncated",
     "MADV_POPULATE_READ of a mapped file that has shrunk answers EFAULT, without a signal",
     populate_truncated},
    {"copy-beyond-end", "COPY beyond the end of a memfd fails and does not grow it", copy_beyond_end},
    {"copy-owner-dead", "COPY answers ESRCH after the owner of the memory has died", copy_owner_dead},
    {"liveness-probe",
     "CONTINUE outside all registrations answers ENOENT while the owner lives and ESRCH afterwards",
     liveness_probe},
    {"exec-gone",
     "after execve of the owner CONTINUE outside all registrations answers ESRCH, though the process lives",
     exec_gone},
    {"death-silent", "the death of the owner makes nothing readable on its userfaultfd", death_is_silent},
};
PROBE_TOPIC(probe_install, probes);
