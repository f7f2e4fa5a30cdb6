/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child is a fork of a process with threads: until it ends it calls the kernel and nothing else. Threads of its
 * own are clones for the same reason that memory is from mmap.
 */
#define _GNU_SOURCE
#include "handed.h"

#include "client.h"
#include "clinux.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define CHECK(condition) \
  do \
    if (!(condition)) _exit(__LINE__ % 255 + 1); \
  while (0)

static uint64_t seed, length;
static char *memory;
static int control;
static enum handed_memory kind_of_memory;

static void pause_until_told(void) {
  char byte;
  CHECK(read(control, &byte, 1) == 1);
}

static int has_content(const char *at, uint64_t offset, uint64_t bytes) {
  return client_first_difference(at, offset, bytes, seed) < 0;
}

static int is_zero(const char *at, uint64_t bytes) { return client_first_nonzero(at, bytes) < 0; }

static void touch(void) { CHECK(has_content(memory, 0, length)); }

static void discard(void) {
  CHECK(has_content(memory, 0, 4096 * 2));
  CHECK(madvise(memory, 4096 * 4, MADV_DONTNEED) == 0); /* two that were there, two that were not */
  CHECK(is_zero(memory, 4096 * 4));
  CHECK(has_content(memory + 4096 * 4, 4096 * 4, length - 4096 * 4));
  CHECK(madvise(memory, length, MADV_DONTNEED) == 0);
  CHECK(is_zero(memory, length));
}

static void move(int flags) {
  uint64_t part = 4096 * 5;
  char *from = memory + 4096 * 3;
  CHECK(has_content(from, 4096 * 3, 4096)); /* one page is there, the others follow at the new place */
  char *to = mremap(from, part, part, MREMAP_MAYMOVE | flags, 0);
  if (to == from) { /* nothing forces a move: give it a place */
    void *place = mmap(0, part, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    to = mremap(from, part, part, MREMAP_MAYMOVE | MREMAP_FIXED | flags, place);
  }
  CHECK(to != MAP_FAILED);
  CHECK(has_content(to, 4096 * 3, part));
  CHECK(has_content(memory, 0, 4096 * 3));
  CHECK(has_content(memory + 4096 * 8, 4096 * 8, length - 4096 * 8));
  if (!(flags & MREMAP_DONTUNMAP)) return;
  /* Anonymous memory is empty at the old place; a file is what it was. */
  CHECK(kind_of_memory == HANDED_ANON ? is_zero(from, part) : has_content(from, 4096 * 3, part));
}

static void grow(void) {
  CHECK(has_content(memory, 0, 4096));
  char *bigger = mremap(memory, length, 2 * length, MREMAP_MAYMOVE);
  CHECK(bigger != MAP_FAILED);
  CHECK(is_zero(bigger + length, length));
  CHECK(has_content(bigger, 0, length));
}

static sigset_t nothing;

static int sleeper(void *argument) {
  (void)argument;
  volatile char *page = memory + 4096;
  return *page;
}

/* The sleeper shares this memory but is a process of its own: its signal is its end alone. */
static void unmap(void) {
  char *stack = mmap(0, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int pid = clone(sleeper, stack + (1 << 16), CLONE_VM | SIGCHLD, 0);
  CHECK(pid > 0);
  pause_until_told(); /* it sleeps now */
  CHECK(munmap(memory, 4096 * 4) == 0);
  int status;
  CHECK(waitpid(pid, &status, 0) == pid);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
  CHECK(has_content(memory + 4096 * 4, 4096 * 4, length - 4096 * 4));
}

static void generation(int left) {
  uint64_t own = 4096 * (uint64_t)(left + 1);
  CHECK(has_content(memory + own, own, 4096));
  if (left > 0) {
    int pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
      generation(left - 1);
      _exit(0);
    }
    CHECK(madvise(memory + own, 4096, MADV_DONTNEED) == 0);
    CHECK(is_zero(memory + own, 4096));
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    if (status) _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 254);
  } else {
    /* The youngest sees what its parents were handed, except what they gave back before they forked: nothing. */
    CHECK(has_content(memory, 0, length));
    CHECK(madvise(memory, length, MADV_DONTNEED) == 0);
    CHECK(is_zero(memory, length));
    return;
  }
  CHECK(has_content(memory, 0, own));
  CHECK(has_content(memory + own + 4096, own + 4096, length - own - 4096));
  CHECK(is_zero(memory + own, 4096));
}

static int read_page_1(void *argument) {
  (void)argument;
  return *(volatile char *)(memory + 4096) == 0;
}

static int read_own_page(void *argument) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  uint64_t offset = (uint64_t)argument;
  return !has_content(memory + offset, offset, 4096);
}

static int read_zero(void *argument) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  return !is_zero(argument, 4096);
}

/* So many threads, each with an argument that is `step` larger than the one before. */
static void at_once(int (*body)(void *), uint64_t count, uint64_t first, uint64_t step) {
  const uint64_t stack = 8192;
  char *stacks = mmap(0, count * stack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(stacks != MAP_FAILED);
  int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | SIGCHLD;
  for (uint64_t i = 0; i < count; i++)
    CHECK(clone(body, stacks + (i + 1) * stack, flags, (void *)(first + i * step)) > 0);
  for (uint64_t i = 0; i < count; i++) {
    int status;
    CHECK(waitpid(-1, &status, 0) > 0 && status == 0);
  }
}

static void crowd(void) { at_once(read_own_page, length / 8192, 0, 8192); }

static void far(void) {
  const uint64_t size = 1ull << 40;
  char *bigger = mremap(memory, length, size, MREMAP_MAYMOVE);
  CHECK(bigger != MAP_FAILED);
  for (uint64_t i = 1; i < 8; i++) at_once(read_zero, 64, (uint64_t)bigger + size / 8 * i, 4096);
  CHECK(has_content(bigger, 0, length));
}

static void sigbus(void) {
  char *stack = mmap(0, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int pid = clone(read_page_1, stack + (1 << 16), CLONE_VM | SIGCHLD, 0), status;
  CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
  CHECK(has_content(memory, 0, 4096));
  CHECK(has_content(memory + 8192, 8192, length - 8192));
}

/* What Firecracker's balloon did up to v1.10, of which no event tells. */
static void balloon(void) {
  void *fresh = mmap(memory + 4096 * 8, 4096 * 8, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  CHECK(fresh == memory + 4096 * 8);
  ssize_t ignored = write(control, "r", 1);
  (void)ignored;
  pause_until_told();
  CHECK(has_content(memory, 0, 4096 * 8));
  CHECK(is_zero(memory + 4096 * 8, 4096 * 8));
  CHECK(has_content(memory + 4096 * 16, 4096 * 16, length - 4096 * 16));
}

/* A child that has looked at page 1 and waits to be killed. `reads`: it is content there, and no SIGBUS. */
static int forked(int reads) {
  int ends[2], status;
  char byte;
  CHECK(pipe(ends) == 0);
  int pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    usleep(200000);
    CHECK(has_content(memory + 4096, 4096, 4096));
    CHECK(write(ends[1], "r", 1) == 1);
    for (;;) pause();
  }
  close(ends[1]);
  CHECK(read(ends[0], &byte, 1) == reads);
  close(ends[0]);
  if (reads) return pid;
  CHECK(waitpid(pid, &status, 0) == pid);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
  return 0;
}

static void family(void) {
  int status, children[] = {forked(1), forked(1)};
  for (int i = 0; i < 3; i++) forked(0);
  for (int i = 0; i < 2; i++) {
    kill(children[i], SIGKILL);
    CHECK(waitpid(children[i], &status, 0) == children[i]);
  }
  usleep(700000); /* the server asks four times a second */
  forked(1);
  touch();
}

static void play(enum handed_scenario scenario) {
  pause_until_told();
  switch (scenario) {
  case HANDED_TOUCH: touch(); break;
  case HANDED_WAIT:
    pause_until_told();
    touch();
    break;
  case HANDED_SLEEP: sleep(60); break;
  case HANDED_DISCARD: discard(); break;
  case HANDED_MOVE: move(0); break;
  case HANDED_DONTUNMAP: move(MREMAP_DONTUNMAP); break;
  case HANDED_GROW: grow(); break;
  case HANDED_UNMAP: unmap(); break;
  case HANDED_FORK: generation(3); break;
  case HANDED_EXEC: execl("/bin/sleep", "sleep", "30", (char *)0); break;
  case HANDED_RACE: CHECK(client_window_race(memory, length / 4096, seed) == 0); break;
  case HANDED_BALLOON: balloon(); break;
  case HANDED_CROWD: crowd(); break;
  case HANDED_SIGBUS: sigbus(); break;
  case HANDED_FAR: far(); break;
  case HANDED_FAMILY: family(); break;
  }
  _exit(0);
}

/* The child: makes its memory, hands it over with a message of its address, and plays. */
static _Noreturn void child(enum handed_memory kind, enum handed_scenario scenario, uint64_t features) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  kind_of_memory = kind;
  sigemptyset(&nothing);
  sigprocmask(SIG_SETMASK, &nothing, 0);
  signal(SIGSEGV, SIG_DFL);
  signal(SIGBUS, SIG_DFL);
  alarm(60);
  int memfd = -1;
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  if (kind != HANDED_ANON) {
    memfd = clinux_memfd_create("handed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(memfd >= 0 && ftruncate(memfd, (off_t)length) == 0);
    CHECK(clinux_add_seals(memfd, CLINUX_SEAL_SHRINK) == 0);
    flags = kind == HANDED_SHARED ? MAP_SHARED : MAP_PRIVATE;
  }
  memory = mmap(0, length, PROT_READ | PROT_WRITE, flags, memfd, 0);
  CHECK(memory != MAP_FAILED);
  uint64_t ioctls;
  int uffd = clinux_uffd_from_syscall(O_CLOEXEC | O_NONBLOCK);
  CHECK(uffd >= 0 && clinux_uffd_api(uffd, &features, &ioctls) == 0);
  uint64_t modes = CLINUX_REGISTER_MISSING | (memfd >= 0 ? CLINUX_REGISTER_MINOR : 0);
  CHECK(clinux_uffd_register(uffd, (uint64_t)memory, length, modes, &ioctls) == 0);

  uint64_t start = (uint64_t)memory;
  struct iovec piece = {&start, sizeof start};
  union {
    char room[CMSG_SPACE(2 * sizeof(int))];
    struct cmsghdr header;
  } rights;
  int count = memfd >= 0 ? 2 : 1;
  memset(&rights, 0, sizeof rights);
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = rights.room};
  message.msg_controllen = CMSG_SPACE(count * sizeof(int));
  rights.header.cmsg_level = SOL_SOCKET;
  rights.header.cmsg_type = SCM_RIGHTS;
  rights.header.cmsg_len = CMSG_LEN(count * sizeof(int));
  memcpy(CMSG_DATA(&rights.header), &uffd, sizeof uffd);
  if (memfd >= 0) memcpy(CMSG_DATA(&rights.header) + sizeof uffd, &memfd, sizeof memfd);
  CHECK(sendmsg(control, &message, 0) == sizeof start);
  play(scenario);
  _exit(0);
}

int32_t handed_start(struct handed *handed, enum handed_memory kind, enum handed_scenario scenario,
                     uint64_t pages, uint64_t features, uint64_t with_seed) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) return -errno;
  int pid = fork();
  if (pid < 0) return -errno;
  if (pid == 0) {
    close(pair[0]);
    control = pair[1];
    seed = with_seed;
    length = pages * 4096;
    child(kind, scenario, features);
  }
  close(pair[1]);
  uint64_t start = 0;
  struct iovec piece = {&start, sizeof start};
  union {
    char room[CMSG_SPACE(2 * sizeof(int))];
    struct cmsghdr header;
  } rights;
  struct msghdr message = {
      .msg_iov = &piece, .msg_iovlen = 1, .msg_control = rights.room, .msg_controllen = sizeof rights.room};
  if (recvmsg(pair[0], &message, MSG_CMSG_CLOEXEC) != sizeof start) return -EPIPE;
  handed->pid = pid;
  handed->pidfd = (int32_t)syscall(SYS_pidfd_open, pid, 0);
  handed->control = pair[0];
  handed->start = start;
  handed->length = pages * 4096;
  memcpy(&handed->uffd, CMSG_DATA(&rights.header), sizeof(int));
  handed->memfd = -1;
  if (kind != HANDED_ANON) memcpy(&handed->memfd, CMSG_DATA(&rights.header) + sizeof(int), sizeof(int));
  return 0;
}

void handed_go(const struct handed *handed) {
  ssize_t ignored = write(handed->control, "g", 1);
  (void)ignored;
}

void handed_await_word(const struct handed *handed) {
  char byte;
  ssize_t ignored = read(handed->control, &byte, 1);
  (void)ignored;
}

int32_t handed_wait(const struct handed *handed, uint32_t seconds) {
  for (uint32_t i = 0; i < seconds * 1000; i++) {
    int status;
    if (waitpid(handed->pid, &status, WNOHANG) == handed->pid)
      return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
    usleep(1000);
  }
  return -1;
}
