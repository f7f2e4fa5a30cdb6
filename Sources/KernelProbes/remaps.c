/* SPDX-License-Identifier: Apache-2.0 */
/* mremap(2): what it tells, in which order, and what is registered where afterwards. */
#define _GNU_SOURCE
#include "kernel_probes.h"
#include "probe_words.h"

#include <signal.h>
#include <sys/mman.h>

enum { BOTH = CLINUX_REGISTER_MISSING | CLINUX_REGISTER_MINOR };

/* A userfaultfd that tells of moves and of unmapping. */
static int telling_uffd(void) {
  PROBE_NEED(EVENT_REMAP);
  PROBE_NEED(EVENT_UNMAP);
  return probe_uffd(CLINUX_FEATURE_EVENT_REMAP | CLINUX_FEATURE_EVENT_UNMAP);
}

/* Registered anonymous pages. */
static char *registered(int uffd, size_t count) {
  char *pages = probe_anonymous(count * probe_page);
  probe_register(uffd, pages, count * probe_page, CLINUX_REGISTER_MISSING);
  return pages;
}

static void fill(int uffd, char *page) {
  char *source = probe_source(probe_page, 0x5a);
  probe_expect_code(probe_copy(uffd, page, source, probe_page), 0, "COPY");
}

/* Pages of a move, in numbers of them. */
static struct probe_remapping moving(char *from, size_t count, size_t wanted, char *to) {
  return (struct probe_remapping){
      .from = from, .to = to, .length = count * probe_page, .wanted = wanted * probe_page,
      .flags = MREMAP_MAYMOVE | (to ? MREMAP_FIXED : 0)};
}

static struct uffd_msg expect_remap(int uffd, struct probe_remapping *moves) {
  struct uffd_msg message;
  probe_expect(probe_next(uffd, &message), CLINUX_EVENT_REMAP, "number of the message");
  probe_expect((int64_t)message.arg.remap.from, (int64_t)moves->from, "the old place");
  if (moves->to) probe_expect((int64_t)message.arg.remap.to, (int64_t)moves->to, "the new place");
  return message;
}

static void expect_unmap(int uffd, char *start, size_t count, const char *what) {
  struct uffd_msg message;
  probe_expect(probe_next(uffd, &message), CLINUX_EVENT_UNMAP, what);
  probe_expect((int64_t)message.arg.remove.start, (int64_t)start, "start of what is unmapped");
  probe_expect((int64_t)message.arg.remove.end, (int64_t)(start + count * probe_page),
               "end of what is unmapped");
}

static void remap_event(void) {
  PROBE_NEED(EVENT_REMAP);
  int uffd = probe_uffd(CLINUX_FEATURE_EVENT_REMAP);
  struct probe_remapping moves = moving(registered(uffd, 2), 2, 2, probe_anonymous(2 * probe_page));
  probe_start_remapping(&moves);
  struct uffd_msg message = expect_remap(uffd, &moves);
  probe_expect((int64_t)message.arg.remap.len, (int64_t)(2 * probe_page), "the length");
  probe_expect_remapped(&moves, "reading the event");
  probe_expect_fault_at(uffd, moves.to, PROBE_MISSING, "the new place");
}

/* The new place is registered memory as well, so that its end is told, too. */
static void remap_order(void) {
  int uffd = telling_uffd();
  struct probe_remapping moves = moving(registered(uffd, 2), 2, 2, registered(uffd, 2));
  probe_start_remapping(&moves);
  expect_unmap(uffd, moves.to, 2, "the first message");
  expect_remap(uffd, &moves);
  expect_unmap(uffd, moves.from, 2, "the third message");
  probe_expect_remapped(&moves, "reading all three");
  probe_expect_silence(uffd, "messages after the third");
}

/* Memory is behind the two pages, so that they must move. */
static void remap_grows(void) {
  PROBE_NEED(EVENT_REMAP);
  int uffd = probe_uffd(CLINUX_FEATURE_EVENT_REMAP);
  char *pages = probe_anonymous(3 * probe_page);
  probe_register(uffd, pages, 2 * probe_page, CLINUX_REGISTER_MISSING);
  struct probe_remapping moves = moving(pages, 2, 4, NULL);
  probe_start_remapping(&moves);
  struct uffd_msg message = expect_remap(uffd, &moves);
  probe_expect((int64_t)message.arg.remap.len, (int64_t)(2 * probe_page), "the length");
  probe_expect_remapped(&moves, "reading the event");
  char *tail = moves.now + 3 * probe_page;
  probe_expect_fault_at(uffd, tail, PROBE_MISSING, "the grown tail");
  fill(uffd, tail);
}

static void remap_shrinks(void) {
  int uffd = telling_uffd();
  struct probe_remapping moves = moving(registered(uffd, 4), 4, 2, probe_anonymous(2 * probe_page));
  probe_start_remapping(&moves);
  struct uffd_msg message = expect_remap(uffd, &moves);
  /* Kernels before 6.15 give the old length. */
  int64_t length = (int64_t)message.arg.remap.len;
  if (length != (int64_t)(4 * probe_page)) probe_expect(length, (int64_t)(2 * probe_page), "the length");
  expect_unmap(uffd, moves.from + 2 * probe_page, 2, "the second message, of the tail");
  expect_unmap(uffd, moves.from, 2, "the third message, of the old place");
  probe_expect_remapped(&moves, "reading all three");
}

/* An old length of 0 leaves the mapping where it is and makes another one of the same file. */
static void remap_duplicates(void) {
  PROBE_NEED(MINOR_SHMEM);
  int uffd = telling_uffd(), file = probe_memfd(2 * probe_page);
  struct probe_remapping moves = moving(probe_map(file, 2 * probe_page, MAP_SHARED), 0, 2, NULL);
  probe_register(uffd, moves.from, 2 * probe_page, BOTH);
  fill(uffd, moves.from);
  probe_start_remapping(&moves);
  struct uffd_msg message = expect_remap(uffd, &moves);
  probe_expect((int64_t)message.arg.remap.len, 0, "the length");
  probe_expect_remapped(&moves, "reading the event");
  probe_expect_silence(uffd, "messages after REMAP");
  probe_expect_byte(moves.from, 0x5a, "the page, in its place");
  probe_expect_fault_at(uffd, moves.now, PROBE_MINOR, "the page, in the duplicate");
  probe_expect_fault_at(uffd, moves.now + probe_page, PROBE_MISSING, "a hole, in the duplicate");
}

static void remap_waiter(void) {
  int uffd = telling_uffd();
  struct probe_remapping moves = moving(registered(uffd, 1), 1, 1, probe_anonymous(probe_page));
  /* From before the move: what is mapped afterwards may come to lie in the old place. */
  char *source = probe_source(probe_page, 0x5a);
  struct probe_thread access;
  probe_start_access(&access, moves.from);
  probe_expect_next(uffd, PROBE_MISSING, "the first access");
  probe_start_remapping(&moves);
  expect_remap(uffd, &moves);
  expect_unmap(uffd, moves.from, 1, "the second message");
  probe_expect_remapped(&moves, "reading both events");
  probe_expect_code(probe_copy(uffd, moves.to, source, probe_page), 0, "COPY at the new place");
  probe_expect_asleep(&access, "mremap, and COPY at the new place");
  probe_wake(uffd, moves.from, probe_page);
  probe_expect_access(&access, PROBE_SIGNAL(SIGSEGV), "WAKE of the old place");
}

static void growth_silent(void) {
  int uffd = telling_uffd();
  char *pages = probe_anonymous(2 * probe_page);
  probe_register(uffd, pages, probe_page, CLINUX_REGISTER_MISSING);
  munmap(pages + probe_page, probe_page);
  struct probe_remapping grows = moving(pages, 1, 2, NULL);
  grows.flags = 0;
  probe_start_remapping(&grows);
  probe_expect_remapped(&grows, "mremap in place, with nobody reading");
  probe_expect_silence(uffd, "messages after mremap in place");
  probe_expect_fault_at(uffd, pages + probe_page, PROBE_MISSING, "the tail");
  fill(uffd, pages + probe_page);
}

static int64_t copy_protected(int uffd, char *start, uint64_t length) {
  int64_t done;
  void *source = mmap(NULL, probe_page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return probe_copy_done(uffd, start, source, length, UFFDIO_COPY_MODE_WP | UFFDIO_COPY_MODE_DONTWAKE, &done);
}

static void one_mapping(void) {
  int uffd = probe_uffd(0), file = probe_memfd(4 * probe_page);
  char *both[] = {probe_anonymous(4 * probe_page), probe_map(file, 4 * probe_page, MAP_SHARED)};
  for (int i = 0; i < 2; i++) {
    char *pages = both[i];
    probe_register(uffd, pages, 4 * probe_page, CLINUX_REGISTER_MISSING);
    probe_expect_code(copy_protected(uffd, pages, 4 * probe_page), -EINVAL, "COPY over one mapping");
    munmap(pages + 2 * probe_page, probe_page);
    probe_expect_code(copy_protected(uffd, pages, 2 * probe_page), -EINVAL, "COPY up to the hole");
    probe_expect_code(copy_protected(uffd, pages, 4 * probe_page), -ENOENT, "COPY over the hole");
    probe_expect_fault_at(uffd, pages, PROBE_MISSING, "a page after that");
  }
}

/* Moves all of the memory and leaves the old place mapped; the only event is read. */
static void leave_behind(int uffd, struct probe_remapping *moves) {
  moves->flags |= MREMAP_DONTUNMAP;
  probe_start_remapping(moves);
  struct uffd_msg message = expect_remap(uffd, moves);
  probe_expect((int64_t)message.arg.remap.len, (int64_t)moves->length, "the length");
  probe_expect_remapped(moves, "reading the event");
  probe_expect_silence(uffd, "messages after REMAP");
}

static void dontunmap(void) {
  int uffd = telling_uffd();
  struct probe_remapping moves = moving(registered(uffd, 2), 2, 2, NULL);
  fill(uffd, moves.from);
  leave_behind(uffd, &moves);
  probe_expect_byte(moves.now, 0x5a, "the filled page at the new place");
  probe_expect_fault_at(uffd, moves.now + probe_page, PROBE_MISSING, "a hole at the new place");
  probe_expect_fault_at(uffd, moves.from, PROBE_MISSING, "the filled page's old place");
  probe_expect_code(probe_zeropage(uffd, moves.from, probe_page), 0, "ZEROPAGE at the old place");
  probe_expect_byte(moves.from, 0, "the old place");
}

/* Both places map the file, so the old one is not empty: it has the file's pages, and its holes. */
static void dontunmap_shared(void) {
  PROBE_NEED(MINOR_SHMEM);
  int uffd = telling_uffd(), file = probe_memfd(2 * probe_page);
  struct probe_remapping moves = moving(probe_map(file, 2 * probe_page, MAP_SHARED), 2, 2, NULL);
  probe_register(uffd, moves.from, 2 * probe_page, BOTH);
  fill(uffd, moves.from);
  leave_behind(uffd, &moves);
  probe_expect_byte(moves.now, 0x5a, "the filled page at the new place");
  probe_expect_fault_at(uffd, moves.from, PROBE_MINOR, "the filled page's old place");
  probe_expect_code(probe_continue(uffd, moves.from, probe_page), 0, "CONTINUE at the old place");
  probe_expect_byte(moves.from, 0x5a, "the old place");
  char *hole = moves.from + probe_page;
  probe_expect_code(probe_zeropage(uffd, hole, probe_page), 0, "ZEROPAGE of a hole at the old place");
  probe_expect_fault_at(uffd, moves.now + probe_page, PROBE_MINOR, "the same hole at the new place");
}

static const struct kernel_probe probes[] = {
    {"remap-event", "REMAP names both places, and later faults carry the new addresses", remap_event},
    {"remap-order", "mremap tells UNMAP of what the new place was, then REMAP, then UNMAP of the old place",
     remap_order},
    {"remap-grows", "REMAP of a move that grows has the old length; the tail is registered and missing",
     remap_grows},
    {"remap-shrinks", "UNMAP of the tail that a move cuts off comes after REMAP", remap_shrinks},
    {"remap-duplicates",
     "mremap of no length duplicates a shared mapping; REMAP has length 0, the duplicate is registered",
     remap_duplicates},
    {"remap-waiter", "a move wakes nobody at the old place; after WAKE the access gets SIGSEGV",
     remap_waiter},
    {"growth-silent", "mremap that grows in place sends no event; the tail is registered and missing",
     growth_silent},
    {"one-mapping",
     "COPY with write protection where none is registered is EINVAL in one mapping, ENOENT beyond it, and does"
     " nothing",
     one_mapping},
    {"dontunmap", "MREMAP_DONTUNMAP sends REMAP alone; the old place stays registered and is missing",
     dontunmap},
    {"dontunmap-shared",
     "after MREMAP_DONTUNMAP of a shared memfd both places have the file's pages, each as minor faults",
     dontunmap_shared},
};
PROBE_TOPIC(probe_remaps, probes);
