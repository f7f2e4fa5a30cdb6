/* SPDX-License-Identifier: Apache-2.0 */
/* The client's memory: mapped in parts with gaps between them, and registered with a userfaultfd of its own. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client.h"

#define HUGE_PAGE (2ull << 20)

uint64_t page_size(enum memory_kind kind) { return kind == HUGETLB || kind == HUGETLB_PRIVATE ? HUGE_PAGE : 4096; }

int is_shared(enum memory_kind kind) { return kind == SHMEM || kind == HUGETLB; }

char *reserve(uint64_t bytes) {
  char *memory = mmap(NULL, bytes + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail_errno("mmap");
  return (char *)(((uint64_t)memory + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
}

static int make_file(enum memory_kind kind, uint64_t bytes) {
  unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  if (kind == HUGETLB) flags |= MFD_HUGETLB | 21u << MAP_HUGE_SHIFT;
  int file = memfd_create("guest", flags);
  if (file < 0 || ftruncate(file, (off_t)bytes)) skip("memfd of this kind: %s", strerrorname_np(errno));
  /* Our own protocol takes no file that may shrink under the server. */
  int is_sealed = options->dialect == NATIVE && strcmp(options->mode, "unsealed");
  if (is_sealed && fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK)) fail_errno("F_SEAL_SHRINK");
  return file;
}

/* The whole object, so that any part of it can be mapped. */
static uint64_t file_bytes(uint64_t mapped, uint64_t page) {
  uint64_t object = (options->object + page - 1) & ~(page - 1), needed = options->offset + mapped;
  return needed > object ? needed : object;
}

void map_at(const struct client *client, char *at, uint64_t length, uint64_t offset) {
  int flags = MAP_FIXED | (is_shared(client->memory) ? MAP_SHARED : MAP_PRIVATE);
  if (client->memfd < 0) flags |= MAP_ANONYMOUS;
  if (client->memory == HUGETLB_PRIVATE) flags |= MAP_HUGETLB | 21 << MAP_HUGE_SHIFT;
  char *memory = mmap(at, length, PROT_READ | PROT_WRITE, flags, client->memfd,
                      client->memfd < 0 ? 0 : (off_t)offset);
  if (memory == at) {
    /* Like a guest's memory without transparent huge pages: the kernel merges nothing by itself. */
    if (client->page == 4096) madvise(at, length, MADV_NOHUGEPAGE);
    return;
  }
  if (errno == ENOMEM && client->page != 4096) skip("huge pages: the pool has too few free pages");
  fail_errno("mmap");
}

struct client *client_map(void) {
  struct client *client = calloc(1, sizeof *client);
  uint64_t page = page_size(options->memory), count = options->regions;
  uint64_t pages = (options->bytes + page - 1) / page;
  if (!client || count < 1 || count > 256 || count > pages) fail("%lu regions cannot be had", count);
  *client = (struct client){
      .options = options, .memory = options->memory, .page = page, .count = count, .memfd = -1, .socket = -1};
  if (options->memory != ANON && options->memory != HUGETLB_PRIVATE)
    client->memfd = make_file(options->memory, file_bytes(pages * page, page));
  char *next = reserve((pages + count) * page);
  uint64_t order[256];
  struct chance chance = {options->random};
  for (uint64_t i = 0; i < count; i++) order[i] = i;
  for (uint64_t i = count; options->is_shuffled && i > 1; i--) {
    uint64_t other = draw_below(&chance, i), kept = order[i - 1];
    order[i - 1] = order[other];
    order[other] = kept;
  }
  for (uint64_t i = 0; i < count; i++) {
    /* Not all parts have the same length if they cannot. */
    uint64_t first = order[i] * pages / count, last = (order[i] + 1) * pages / count;
    client->regions[i] = (struct region){next, (last - first) * page, options->offset + first * page};
    map_at(client, next, client->regions[i].length, client->regions[i].offset);
    next += client->regions[i].length + page;
  }
  return client;
}

int open_uffd(uint64_t features) {
  int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
  if (uffd < 0) skip("userfaultfd: %s", strerrorname_np(errno));
  struct uffdio_api api = {.api = UFFD_API, .features = features};
  if (ioctl(uffd, UFFDIO_API, &api))
    skip("userfaultfd without the features %#lx: %s", features, strerrorname_np(errno));
  return uffd;
}

static uint64_t modes(const struct client *client) {
  switch (client->options->dialect) {
    case E2B: return UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP;
    case NATIVE:
      return UFFDIO_REGISTER_MODE_MISSING | (client->memfd >= 0 ? UFFDIO_REGISTER_MODE_MINOR : 0);
    default: return UFFDIO_REGISTER_MODE_MISSING;
  }
}

void register_range(const struct client *client, const void *start, uint64_t length) {
  struct uffdio_register range = {.range = {(uint64_t)start, length}, .mode = modes(client)};
  if (ioctl(client->uffd, UFFDIO_REGISTER, &range)) fail_errno("UFFDIO_REGISTER");
}

void client_register(struct client *client, uint64_t events) {
  uint64_t features = options->has_events ? options->events : events;
  if (options->dialect == E2B) features |= UFFD_FEATURE_PAGEFAULT_FLAG_WP;
  client->uffd = open_uffd(features);
  for (uint64_t i = 0; i < client->count; i++)
    register_range(client, client->regions[i].start, client->regions[i].length);
}

struct client *client_open(uint64_t events) {
  step("mapping its memory");
  struct client *client = client_map();
  client_register(client, events);
  step("handing over");
  client_hand_over(client);
  step("its scenario");
  return client;
}

void check_settled(const struct client *client) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", client->uffd);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
  if (length < 0) fail_errno(path);
  close(file);
  text[length] = 0;
  unsigned long pending = 1, total = 1;
  char *found = strstr(text, "pending:");
  if (!found || sscanf(found, "pending: %lu total: %lu", &pending, &total) != 2) fail("fdinfo says '%s'", text);
  if (pending || total) fail("%lu faults are unread and %lu threads asleep at the end", pending, total);
}
