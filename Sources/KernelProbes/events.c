/* SPDX-License-Identifier: Apache-2.0 */
/* Events: what has already happened when one can be read, and who waits. */
#define _GNU_SOURCE
#include "kernel_probes.h"
#include "probe_words.h"

#include <string.h>
#include <sys/mman.h>

static int64_t unmap(struct probe_thread *thread) {
  return munmap(thread->address, thread->length) ? -errno : 0;
}

/* Two registered anonymous pages, the first one filled. */
static int two_pages(uint64_t features, char **pages) {
  int uffd = probe_uffd(features);
  *pages = probe_anonymous(2 * probe_page);
  probe_register(uffd, *pages, 2 * probe_page, CLINUX_REGISTER_MISSING);
  char *source = probe_source(probe_page, 0x5a);
  probe_expect_code(probe_copy(uffd, *pages, source, probe_page), 0, "COPY");
  return uffd;
}

static void remove_event(void) {
  PROBE_NEED(EVENT_REMOVE);
  char *pages;
  struct uffd_msg message;
  int uffd = two_pages(CLINUX_FEATURE_EVENT_REMOVE, &pages);
  struct probe_thread thread = {.address = pages, .length = probe_page};
  probe_start(&thread, probe_discard);
  probe_await_readable(uffd, "MADV_DONTNEED");
  probe_expect_byte(pages, 0x5a, "the page while the event is unread");
  probe_expect_asleep(&thread, "MADV_DONTNEED with the event unread");
  probe_expect(probe_next(uffd, &message), CLINUX_EVENT_REMOVE, "number of the message");
  probe_expect((int64_t)message.arg.remove.start, (int64_t)pages, "start of the range");
  probe_expect((int64_t)message.arg.remove.end, (int64_t)(pages + probe_page), "end of the range");
  probe_expect_ended(&thread, "reading the event");
  probe_expect_fault(uffd, pages, PROBE_MISSING, "the discarded page");
}

static void unmap_event(void) {
  PROBE_NEED(EVENT_UNMAP);
  char *pages;
  unsigned char resident;
  struct uffd_msg message;
  int uffd = two_pages(CLINUX_FEATURE_EVENT_UNMAP, &pages);
  struct probe_thread thread = {.address = pages, .length = 2 * probe_page};
  probe_start(&thread, unmap);
  probe_await_readable(uffd, "munmap");
  int code = mincore(pages, probe_page, &resident) ? -errno : 0;
  probe_expect_code(code, -ENOMEM, "mincore while the event is unread");
  probe_expect(probe_next(uffd, &message), CLINUX_EVENT_UNMAP, "number of the message");
  probe_expect((int64_t)message.arg.remove.start, (int64_t)pages, "start of the range");
  probe_expect((int64_t)message.arg.remove.end, (int64_t)(pages + 2 * probe_page), "end of the range");
  probe_expect_ended(&thread, "reading the event");
}

static int64_t move(struct probe_thread *thread) {
  char *place = thread->address + thread->option * (int64_t)probe_page;
  void *moved = mremap(thread->address, thread->length, thread->length,
                       MREMAP_MAYMOVE | MREMAP_FIXED, place);
  return moved == MAP_FAILED ? -errno : 0;
}

static void remap_event(void) {
  PROBE_NEED(EVENT_REMAP);
  int uffd = probe_uffd(CLINUX_FEATURE_EVENT_REMAP);
  char *pages = probe_anonymous(2 * probe_page), *place = probe_anonymous(2 * probe_page);
  struct uffd_msg message;
  probe_register(uffd, pages, 2 * probe_page, CLINUX_REGISTER_MISSING);
  int64_t distance = (place - pages) / (int64_t)probe_page;
  struct probe_thread thread = {
      .address = pages, .length = 2 * probe_page, .option = (int)distance};
  probe_start(&thread, move);
  probe_expect(probe_next(uffd, &message), CLINUX_EVENT_REMAP, "number of the message");
  probe_expect((int64_t)message.arg.remap.from, (int64_t)pages, "the old place");
  probe_expect((int64_t)message.arg.remap.to, (int64_t)place, "the new place");
  probe_expect((int64_t)message.arg.remap.len, (int64_t)(2 * probe_page), "the length");
  probe_expect_ended(&thread, "reading the event");
  struct probe_thread access;
  probe_start_access(&access, place);
  probe_expect(probe_next(uffd, &message), PROBE_MISSING, "kind of fault at the new place");
  probe_expect((int64_t)message.arg.pagefault.address, (int64_t)place, "address of that fault");
}

/*
 * Forks; the child's exit status is what it saw in the page, and the result. The thread stays until then:
 * a child that dies with its parent dies with the thread that forked it.
 */
static int64_t fork_and_look(struct probe_thread *thread) {
  int child = probe_fork();
  if (child == 0) _exit(clinux_touch(thread->address, 0) ? 1 : *(unsigned char *)thread->address);
  return probe_reap(child);
}

static void fork_event(void) {
  PROBE_NEED(EVENT_FORK);
  uint64_t features = CLINUX_FEATURE_EVENT_FORK, ioctls = 0;
  int asked = probe_open(O_CLOEXEC);
  int code = asked < 0 ? asked : clinux_uffd_api(asked, &features, &ioctls);
  if (code) probe_not_applicable("EVENT_FORK is refused: %s", strerrorname_np(-code));
  int uffd = probe_uffd(CLINUX_FEATURE_EVENT_FORK);
  char *page = probe_anonymous(probe_page), *source = probe_source(probe_page, 0x5a);
  struct uffd_msg message;
  probe_register(uffd, page, probe_page, CLINUX_REGISTER_MISSING);
  struct probe_thread thread = {.address = page};
  probe_start(&thread, fork_and_look);
  probe_expect(probe_next(uffd, &message), CLINUX_EVENT_FORK, "number of the message");
  int child_uffd = (int)message.arg.fork.ufd;
  probe_expect_next(child_uffd, PROBE_MISSING, "the child's access, on the child's userfaultfd");
  probe_expect_code(probe_copy(child_uffd, page, source, probe_page), 0, "COPY into the child");
  probe_expect_access(&thread, 0x5a, "the child");
}

static void punch_no_event(void) {
  PROBE_NEED(EVENT_REMOVE);
  PROBE_NEED(MINOR_SHMEM);
  int uffd = probe_uffd(CLINUX_FEATURE_EVENT_REMOVE), file = probe_memfd(probe_page);
  char *memory = probe_map(file, probe_page, MAP_SHARED), *source = probe_source(probe_page, 0x5a);
  probe_register(uffd, memory, probe_page, CLINUX_REGISTER_MISSING | CLINUX_REGISTER_MINOR);
  probe_expect_code(probe_copy(uffd, memory, source, probe_page), 0, "COPY");
  /* An event would keep this thread here until somebody reads it, that is until the alarm. */
  probe_expect_code(clinux_punch_hole(file, 0, probe_page), 0, "punching a hole");
  struct pollfd state = {.fd = uffd, .events = POLLIN};
  probe_expect(poll(&state, 1, 20), 0, "messages after the punch");
  probe_expect_fault(uffd, memory, PROBE_MISSING, "the punched page");
}

static const struct kernel_probe probes[] = {
    {"remove-event", "MADV_DONTNEED waits, with the page still there, until its REMOVE event is read",
     remove_event},
    {"unmap-event", "the mapping is gone when its UNMAP event can be read", unmap_event},
    {"remap-event", "REMAP names both places, and later faults carry the new addresses", remap_event},
    {"fork-event", "FORK brings a userfaultfd that serves the child", fork_event},
    {"punch-no-event", "punching a hole through the descriptor raises no event and the page is missing",
     punch_no_event},
};
PROBE_TOPIC(probe_events, probes);
