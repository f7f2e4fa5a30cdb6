/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The minimal handler: what somebody would write who needs nothing but this, and does it well. It is correct in
 * what uffdhost is correct in too: pages that the client gave back read zero, and with several readers no old
 * content comes back (the same exclusion: reading the uffd and applying its events excludes installs, installs
 * share it). It knows nothing of providers, states, parked faults or failures.
 *
 *   one reader:       wait, read up to 16 messages, serve them; read again only after a full batch
 *   several readers:  wait, read one message, serve it, so that each gets its share; read again where that brought
 *                     something lately. A fault wakes the first reader and one more. Its thread is woken after the
 *                     exclusion was left: woken by the install it would as a rule take this CPU, while the other
 *                     readers spin for us
 */
#define _GNU_SOURCE
#include "internal.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define BATCH 16
#define EXCLUSIVE (1ull << 63)

/* --- The exclusion: Sources/UffdHost has the same one --------------------------------------------------- */

static void pause_for(int *spins) {
  if (++*spins % 64 == 0)
    sched_yield();
  else
    clinux_relax();
}

static void exclude(uint64_t *word) {
  int spins = 0;
  for (;;) {
    uint64_t free = 0;
    if (clinux_compare_exchange(word, &free, EXCLUSIVE)) return;
    pause_for(&spins);
  }
}

static void share(uint64_t *word) {
  int spins = 0;
  for (;;) {
    uint64_t found = clinux_load_relaxed(word);
    if (!(found & EXCLUSIVE) && clinux_compare_exchange(word, &found, found + 1)) return;
    pause_for(&spins);
  }
}

/* --- Messages ------------------------------------------------------------------------------------------- */

static inline struct cbench_region *find(struct cbench_server *server, uint64_t address) {
  uint32_t low = 0, high = server->region_count;
  while (low < high) {
    uint32_t middle = (low + high) / 2;
    if (address < server->regions[middle].start)
      high = middle;
    else if (address >= server->regions[middle].end)
      low = middle + 1;
    else
      return &server->regions[middle];
  }
  return NULL;
}

static void discard(struct cbench_server *server, uint64_t start, uint64_t end) {
  for (uint32_t i = 0; i < server->region_count; i++) {
    struct cbench_region *region = &server->regions[i];
    uint64_t low = start > region->start ? start : region->start;
    uint64_t high = end < region->end ? end : region->end;
    for (; low < high; low += server->page) {
      uint64_t index = (low - region->start) / server->page;
      clinux_fetch_or(&region->discarded[index / 64], 1ull << index % 64);
    }
  }
}

static inline void install(struct cbench_server *server, struct cbench_region *region, uint64_t address,
                           const int several) {
  uint64_t page = server->page, start = address & ~(page - 1), offset = start - region->start;
  uint64_t index = offset / page, source = server->content + region->offset + offset;
  uint64_t mode = several ? CLINUX_DONTWAKE : 0;
  enum cbench_operation operation = server->operation;
  int64_t done;
  int32_t result;
  if (operation != CBENCH_ZERO && operation != CBENCH_CONTINUE) cbench_reach(source, page, page);
  if (several) share(&server->exclusion);
  if (clinux_load_relaxed(&region->discarded[index / 64]) >> index % 64 & 1) operation = CBENCH_ZERO;
  switch (operation) {
  case CBENCH_ZERO: result = server->calls->zeropage(server->uffd, start, page, mode, &done); break;
  case CBENCH_CONTINUE: result = server->calls->continue_(server->uffd, start, page, mode, &done); break;
  default:
    result = server->calls->copy(server->uffd, start, source, page, mode, &done);
    if (result == -EFAULT) result = server->calls->poison(server->uffd, start, page, mode, &done);
  }
  if (several) clinux_fetch_add(&server->exclusion, ~0ull);
  /* EEXIST, EAGAIN: it is there already, or the client's memory is changing: the thread looks, and asks again. */
  if (several || result == -EEXIST || result == -EAGAIN) server->calls->wake(server->uffd, start, page);
}

/* Reads `most` times at most, or until the queue is empty. Reads that brought something. */
static inline int serve(struct cbench_server *server, const int several, int most) {
  _Alignas(64) struct uffd_msg messages[BATCH];
  const uint64_t room = sizeof *messages * (several ? 1 : BATCH);
  for (int reads = 0;; reads++) {
    if (reads == most) return reads;
    if (several) exclude(&server->exclusion);
    int64_t length = server->calls->read(server->uffd, messages, room);
    uint64_t count = length > 0 ? (uint64_t)length / sizeof *messages : 0;
    /* Faults come before events that are older than they are: all events of a batch first. */
    for (uint64_t i = 0; i < count; i++)
      if (messages[i].event != UFFD_EVENT_PAGEFAULT)
        discard(server, messages[i].arg.remove.start, messages[i].arg.remove.end);
    if (several) clinux_store_release(&server->exclusion, 0);
    for (uint64_t i = 0; i < count; i++) {
      if (messages[i].event != UFFD_EVENT_PAGEFAULT) continue;
      struct cbench_region *region = find(server, messages[i].arg.pagefault.address);
      if (region) install(server, region, messages[i].arg.pagefault.address, several);
    }
    if (count * sizeof *messages < room) return reads;
  }
}

void cbench_server_drain(struct cbench_server *server) { serve(server, 0, INT_MAX); }

/* --- Readers -------------------------------------------------------------------------------------------- */

static int open_epoll(struct cbench_server *server, int is_first) {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event uffd = {.events = is_first ? EPOLLIN : EPOLLIN | EPOLLEXCLUSIVE, .data.u64 = 0};
  struct epoll_event bell = {.events = EPOLLIN, .data.u64 = 1};
  if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, server->uffd, &uffd) ||
      epoll_ctl(epoll, EPOLL_CTL_ADD, server->bell, &bell))
    abort();
  return epoll;
}

/* Whether the server goes on. */
static inline int wait_for_messages(struct cbench_server *server, int epoll) {
  if (server->wait == CBENCH_READ) return 1;
  if (server->wait == CBENCH_EPOLL) {
    struct epoll_event ready[2];
    int count = epoll_wait(epoll, ready, 2, -1);
    for (int i = 0; i < count; i++)
      if (ready[i].data.u64 == 1) return 0;
    return 1;
  }
  struct pollfd slots[2] = {{.fd = server->uffd, .events = POLLIN}, {.fd = server->bell, .events = POLLIN}};
  poll(slots, 2, -1);
  return slots[1].revents == 0;
}

static void *read_messages(void *argument) {
  struct cbench_server *server = argument;
  clinux_set_thread_name("bench-reader");
  int is_first = clinux_fetch_add(&server->started, 1) == 0;
  int epoll = server->wait == CBENCH_EPOLL ? open_epoll(server, is_first) : -1;
  if (server->readers == 1)
    while (wait_for_messages(server, epoll)) serve(server, 0, INT_MAX);
  else {
    /* A read that finds nothing keeps the others out: each sixteenth turn tries whether the queue is longer. */
    int reads = 0;
    for (unsigned turn = 0; wait_for_messages(server, epoll); turn++)
      reads = serve(server, 1, reads > 1 ? BATCH : turn % 16 == 0 ? 2 : 1);
  }
  if (epoll >= 0) close(epoll);
  return NULL;
}

void cbench_serve_many(struct cbench_server *servers, uint32_t count) {
  struct epoll_event ready[BATCH];
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  clinux_set_thread_name("bench-reader");
  for (uint32_t i = 0; i < count; i++) {
    struct epoll_event uffd = {.events = EPOLLIN, .data.ptr = &servers[i]};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, servers[i].uffd, &uffd)) abort();
  }
  for (;;) {
    int found = epoll_wait(epoll, ready, BATCH, -1);
    for (int i = 0; i < found; i++) serve(ready[i].data.ptr, 0, INT_MAX);
  }
}

/* What most handlers do: a message, a page read into a buffer, a page copied from there. */
static void *read_as_peer(void *argument) {
  struct cbench_server *server = argument;
  clinux_set_thread_name("bench-reader");
  char *buffer = mmap(NULL, server->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct pollfd slots[2] = {{.fd = server->uffd, .events = POLLIN}, {.fd = server->bell, .events = POLLIN}};
  if (buffer == MAP_FAILED) abort();
  while (poll(slots, 2, -1) >= 0 && slots[1].revents == 0) {
    struct uffd_msg message;
    int64_t done;
    if (read(server->uffd, &message, sizeof message) != sizeof message) continue;
    if (message.event != UFFD_EVENT_PAGEFAULT) continue;
    uint64_t start = message.arg.pagefault.address & ~(server->page - 1);
    struct cbench_region *region = find(server, start);
    if (!region) continue;
    off_t offset = (off_t)(region->offset + (start - region->start));
    if (pread(server->image, buffer, server->page, offset) != (ssize_t)server->page) abort();
    int32_t result = server->calls->copy(server->uffd, start, (uint64_t)(uintptr_t)buffer, server->page, 0,
                                         &done);
    if (result == -EEXIST || result == -EAGAIN) server->calls->wake(server->uffd, start, server->page);
  }
  munmap(buffer, server->page);
  return NULL;
}

static int by_address(const void *a, const void *b) {
  const struct cbench_region *left = a, *right = b;
  return left->start < right->start ? -1 : left->start > right->start;
}

int32_t cbench_server_init(struct cbench_server *server, const struct cbench_job *job, int uffd, uint32_t first,
                           uint32_t count, const uint64_t *starts, const char *content) {
  uint64_t length = cbench_area_bytes(job), words = length / job->page / 64 + 1;
  memset(server, 0, sizeof *server);
  server->calls = &clinux_uffd_kernel;
  server->uffd = uffd;
  server->operation = job->operation;
  server->wait = job->wait;
  server->readers = job->readers;
  server->region_count = count;
  server->regions = calloc(count, sizeof *server->regions);
  if (!server->regions) return cbench_failed("calloc");
  server->page = job->page;
  server->image = job->image;
  server->content = (uint64_t)(uintptr_t)content;
  server->bell = clinux_eventfd();
  if (server->bell < 0) return cbench_failed("eventfd");
  for (uint32_t i = 0; i < count; i++) {
    uint64_t *bits = calloc(words, sizeof *bits);
    if (!bits) return cbench_failed("calloc");
    memset(bits, 0, words * sizeof *bits);
    server->regions[i] = (struct cbench_region){starts[i], starts[i] + length, (first + i) * length, bits};
  }
  qsort(server->regions, count, sizeof *server->regions, by_address);
  return 0;
}

int32_t cbench_server_start(struct cbench_server *server, int as_peer) {
  for (uint32_t i = 0; i < server->readers; i++) {
    int error = pthread_create(&server->threads[i], NULL, as_peer ? read_as_peer : read_messages, server);
    if (error) {
      errno = error;
      return cbench_failed("pthread_create");
    }
  }
  return 0;
}

void cbench_server_stop(struct cbench_server *server) {
  /* A reader in a blocking read(2) ends with the process. */
  if (server->wait == CBENCH_READ) return;
  clinux_eventfd_ring(server->bell);
  for (uint32_t i = 0; i < server->readers; i++) pthread_join(server->threads[i], NULL);
}
