/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that can serve a Firecracker hand-off correctly: one process and one thread for each client, poll,
 * read, COPY. The client programs are proved against it (and against its defects, which they must notice), and
 * the latency of an external client is compared with it.
 *
 *   reference_handler SOCKET SEED SIZE [delay=MICROSECONDS] [bad=FIRST:COUNT] [defect=NAME]
 *
 * Pages FIRST ..< FIRST + COUNT of the object, counted in the client's pages, are poisoned.
 * NAME: keeps-discarded, forgets-moved, forgets-unmapped, forgets-child, ignores-offset, drops-faults,
 * tears-pages, installs-late.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "pattern.h"

#define ZERO ~0ull

/* UFFDIO_POISON, which came after old headers. */
struct poison {
  uint64_t start, length, mode;
  int64_t updated;
};
#define IOC_POISON _IOWR(UFFDIO, 0x08, struct poison)

/* What each page of some of a client's addresses shows: a byte of the object, or ZERO. */
struct range {
  uint64_t start, page, count, *shows;
};

/* One address space: a client's, or a forked child's. */
struct space {
  int uffd;
  struct range *ranges;
  size_t count;
};

struct fault {
  int uffd;
  uint64_t address, flags, due;
};

static struct space *spaces;
static size_t space_count;
static struct fault *parked;
static size_t parked_count;
static uint64_t seed, object, delay, first_bad, bad;
static const char *defect = "none";
static char *buffer;

static int has(const char *name) { return !strcmp(defect, name); }

static void fatal(const char *what) {
  fprintf(stderr, "reference_handler: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *grown(void *array, size_t count, size_t size) {
  array = realloc(array, count * size);
  if (!array) fatal("realloc");
  return array;
}

static struct space *space_of(int uffd) {
  for (size_t i = 0; i < space_count; i++)
    if (spaces[i].uffd == uffd) return &spaces[i];
  return NULL;
}

static void add_space(int uffd) {
  spaces = grown(spaces, space_count + 1, sizeof *spaces);
  spaces[space_count++] = (struct space){.uffd = uffd};
}

static void drop_space(int uffd) {
  struct space *space = space_of(uffd);
  if (!space) return;
  for (size_t i = 0; i < space->count; i++) free(space->ranges[i].shows);
  free(space->ranges);
  *space = spaces[--space_count];
  close(uffd);
}

/* A copy of `count` pages from `shows` on; without one, zeroes. */
static void add_range(struct space *space, uint64_t start, uint64_t page, uint64_t count, const uint64_t *shows) {
  if (count == 0) return;
  space->ranges = grown(space->ranges, space->count + 1, sizeof *space->ranges);
  struct range *range = &space->ranges[space->count++];
  *range = (struct range){start, page, count, grown(NULL, count, sizeof *range->shows)};
  for (uint64_t i = 0; i < count; i++) range->shows[i] = shows ? shows[i] : ZERO;
}

/* --- Events ------------------------------------------------------------------------------------- */

/* Pages that lie in [start, end) as a whole show zero from now on. */
static void discard(struct space *space, uint64_t start, uint64_t end) {
  if (has("keeps-discarded")) return;
  for (size_t r = 0; r < space->count; r++) {
    struct range *range = &space->ranges[r];
    for (uint64_t i = 0; i < range->count; i++) {
      uint64_t at = range->start + i * range->page;
      if (at >= start && at + range->page <= end) range->shows[i] = ZERO;
    }
  }
}

/* Forgets [start, end), which may be wider than a range or split one. */
static void cut(struct space *space, uint64_t start, uint64_t end) {
  for (size_t r = space->count; r-- > 0;) {
    struct range range = space->ranges[r];
    uint64_t last = range.start + range.count * range.page;
    if (range.start >= end || last <= start) continue;
    space->ranges[r] = space->ranges[--space->count];
    if (start > range.start)
      add_range(space, range.start, range.page, (start - range.start) / range.page, range.shows);
    if (end < last) {
      uint64_t index = (end - range.start) / range.page;
      add_range(space, end, range.page, range.count - index, range.shows + index);
    }
    free(range.shows);
  }
}

static void wake(int uffd, uint64_t start, uint64_t length) {
  struct uffdio_range range = {start, length};
  ioctl(uffd, UFFDIO_WAKE, &range);
}

/* [from, from + length) is at `to` now. The old place reads zero if it is still there: UNMAP follows if not. */
static void move(struct space *space, uint64_t from, uint64_t to, uint64_t length) {
  cut(space, to, to + length);
  for (size_t r = 0, old = space->count; r < old; r++) {
    struct range range = space->ranges[r];
    uint64_t last = range.start + range.count * range.page;
    uint64_t start = range.start > from ? range.start : from;
    uint64_t end = last < from + length ? last : from + length;
    if (start >= end) continue;
    uint64_t index = (start - range.start) / range.page;
    add_range(space, start - from + to, range.page, (end - start) / range.page, range.shows + index);
  }
  discard(space, from, from + length);
  wake(space->uffd, from, length);
}

static void copy_space(int parent, int child) {
  add_space(child);
  struct space *from = space_of(parent), *to = space_of(child);
  for (size_t i = 0; from && i < from->count && !has("forgets-child"); i++) {
    struct range *range = &from->ranges[i];
    add_range(to, range->start, range->page, range->count, range->shows);
  }
}

static void event(int uffd, const struct uffd_msg *message) {
  struct space *space = space_of(uffd);
  switch (message->event) {
    case UFFD_EVENT_PAGEFAULT: break;
    case UFFD_EVENT_REMOVE: discard(space, message->arg.remove.start, message->arg.remove.end); break;
    case UFFD_EVENT_UNMAP:
      if (has("forgets-unmapped")) break;
      cut(space, message->arg.remove.start, message->arg.remove.end);
      wake(uffd, message->arg.remove.start, message->arg.remove.end - message->arg.remove.start);
      break;
    case UFFD_EVENT_REMAP:
      if (has("forgets-moved")) break;
      move(space, message->arg.remap.from, message->arg.remap.to, message->arg.remap.len);
      break;
    case UFFD_EVENT_FORK: copy_space(uffd, (int)message->arg.fork.ufd); break;
    default: fprintf(stderr, "reference_handler: event %#x is not known\n", message->event);
  }
}

/* --- Faults ------------------------------------------------------------------------------------- */

static void park(struct fault fault, uint64_t nanoseconds) {
  parked = grown(parked, parked_count + 1, sizeof *parked);
  fault.due = now() + nanoseconds;
  parked[parked_count++] = fault;
}

/* The errno of the install, 0 for none. */
static int install(int uffd, uint64_t start, uint64_t page, uint64_t shows) {
  if (shows != ZERO && shows / page - first_bad < bad) {
    struct poison poison = {.start = start, .length = page};
    return ioctl(uffd, IOC_POISON, &poison) ? errno : 0;
  }
  if (shows == ZERO && page == 4096) {
    struct uffdio_zeropage zero = {.range = {start, page}};
    return ioctl(uffd, UFFDIO_ZEROPAGE, &zero) ? errno : 0;
  }
  if (shows == ZERO) {
    memset(buffer, 0, page);
  } else {
    pattern_fill(buffer, page, seed, object, shows);
  }
  if (has("tears-pages") && shows / page % 7 == 3) buffer[page - 1] ^= 1;
  struct uffdio_copy copy = {.dst = start, .src = (uint64_t)buffer, .len = page};
  return ioctl(uffd, UFFDIO_COPY, &copy) ? errno : 0;
}

static void drain(int uffd);

static void serve(struct fault fault) {
  struct space *space = space_of(fault.uffd);
  if (!space) return;
  uint64_t page = 4096, shows = ZERO;
  for (size_t i = 0; i < space->count; i++) {
    struct range *range = &space->ranges[i];
    /* A grown tail has the pages of the range before it, and shows zero. */
    if (fault.address >= range->start && space->ranges[i].page > page) page = range->page;
    uint64_t index = (fault.address - range->start) / range->page;
    if (fault.address < range->start || index >= range->count) continue;
    page = range->page;
    shows = range->shows[index];
    break;
  }
  if (has("drops-faults") && fault.address / page % 61 == 17) return;
  uint64_t start = fault.address & ~(page - 1);
  int error = install(fault.uffd, start, page, shows);
  /* Decides, hears of a discard, and installs as it had decided. */
  while (has("installs-late") && error == EAGAIN) {
    drain(fault.uffd);
    error = install(fault.uffd, start, page, shows);
  }
  if (has("forgets-unmapped") && error == ENOENT) return;
  switch (error) {
    case 0: break;
    case EAGAIN: park(fault, 200000); break;
    case ESRCH: drop_space(fault.uffd); break;
    default: wake(fault.uffd, start, page); /* there already, moved, unmapped, behind the end of a file */
  }
}

/* Events are heard before faults are served: a fault overtakes an older event in the queue. */
static void drain(int uffd) {
  struct uffd_msg messages[64];
  ssize_t bytes = read(uffd, messages, sizeof messages);
  if (bytes <= 0) return;
  size_t count = (size_t)bytes / sizeof messages[0];
  for (size_t i = 0; i < count; i++) event(uffd, &messages[i]);
  for (size_t i = 0; i < count; i++) {
    if (messages[i].event != UFFD_EVENT_PAGEFAULT) continue;
    struct fault fault = {uffd, messages[i].arg.pagefault.address, messages[i].arg.pagefault.flags, 0};
    if (delay) {
      park(fault, delay);
    } else {
      serve(fault);
    }
  }
}

static void serve_parked(void) {
  struct fault *due = parked;
  size_t count = parked_count;
  uint64_t time = now();
  parked = NULL;
  parked_count = 0;
  for (size_t i = 0; i < count; i++) {
    if (due[i].due <= time) {
      serve(due[i]);
    } else {
      parked = grown(parked, parked_count + 1, sizeof *parked);
      parked[parked_count++] = due[i];
    }
  }
  free(due);
}

/* An install outside of every registration fails with ENOENT while the owner lives and ESRCH when it is gone. */
static void drop_dead_spaces(void) {
  for (size_t i = space_count; i-- > 0;) {
    struct uffdio_zeropage probe = {.range = {0x100000, 4096}};
    if (ioctl(spaces[i].uffd, UFFDIO_ZEROPAGE, &probe) && errno == ESRCH) drop_space(spaces[i].uffd);
  }
}

static void serve_spaces(void) {
  while (space_count > 0) {
    struct pollfd polls[256];
    size_t count = space_count < 256 ? space_count : 256;
    for (size_t i = 0; i < count; i++) polls[i] = (struct pollfd){.fd = spaces[i].uffd, .events = POLLIN};
    int ready = poll(polls, count, parked_count ? 1 : 200);
    for (size_t i = 0; i < count && ready > 0; i++)
      if (polls[i].revents) drain(polls[i].fd);
    if (ready == 0 && parked_count == 0) drop_dead_spaces();
    serve_parked();
  }
}

/* --- The hand-off ------------------------------------------------------------------------------- */

static uint64_t field(const char *object_start, const char *object_end, const char *name) {
  char key[64];
  snprintf(key, sizeof key, "\"%s\"", name);
  const char *found = strstr(object_start, key);
  if (!found || found > object_end) return 0;
  return strtoull(strchr(found, ':') + 1, NULL, 10);
}

/* Reads until the array closes; the uffd is the first descriptor. */
static void take(int connection) {
  char text[65536], control[CMSG_SPACE(16 * sizeof(int))];
  size_t length = 0;
  int uffd = -1;
  while (length == 0 || !memchr(text, ']', length)) {
    struct iovec vector = {text + length, sizeof text - 1 - length};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t count = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
    if (count <= 0) exit(0);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && uffd < 0) memcpy(&uffd, CMSG_DATA(header), sizeof uffd);
    length += (size_t)count;
  }
  text[length] = 0;
  if (uffd < 0) exit(0);
  fcntl(uffd, F_SETFL, O_NONBLOCK);
  add_space(uffd);
  for (char *start = strchr(text, '{'); start; start = strchr(start + 1, '{')) {
    char *end = strchr(start, '}');
    if (!end) break;
    uint64_t page = field(start, end, "page_size");
    if (page == 0) page = field(start, end, "page_size_kib");
    if (page == 0) page = 4096;
    uint64_t count = field(start, end, "size") / page;
    uint64_t offset = has("ignores-offset") ? 0 : field(start, end, "offset");
    uint64_t *shows = grown(NULL, count, sizeof *shows);
    for (uint64_t i = 0; i < count; i++) shows[i] = offset + i * page;
    add_range(&spaces[0], field(start, end, "base_host_virt_addr"), page, count, shows);
    free(shows);
  }
}

int main(int count, char **words) {
  if (count < 4) return fprintf(stderr, "usage: reference_handler SOCKET SEED SIZE [delay=US] [defect=NAME]\n"), 2;
  seed = strtoull(words[2], NULL, 0);
  object = strtoull(words[3], NULL, 0);
  for (int i = 4; i < count; i++) {
    if (!strncmp(words[i], "delay=", 6)) delay = strtoull(words[i] + 6, NULL, 0) * 1000;
    if (!strncmp(words[i], "bad=", 4)) {
      first_bad = strtoull(words[i] + 4, NULL, 0);
      bad = strtoull(strchr(words[i], ':') + 1, NULL, 0);
    }
    if (!strncmp(words[i], "defect=", 7)) defect = words[i] + 7;
  }
  buffer = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (buffer == MAP_FAILED) fatal("mmap");
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", words[1]);
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(listener, (struct sockaddr *)&address, sizeof address)) fatal(words[1]);
  if (listen(listener, 128)) fatal("listen");
  signal(SIGCHLD, SIG_IGN);
  for (;;) {
    int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0) continue;
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      take(connection);
      serve_spaces();
      exit(0);
    }
    close(connection);
  }
}
