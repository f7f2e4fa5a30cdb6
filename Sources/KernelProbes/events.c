/* SPDX-License-Identifier: Apache-2.0 */
/* Events: what has already happened when one can be read, who waits, and whether one is under way. */
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

static void punch_no_event(void) {
  PROBE_NEED(EVENT_REMOVE);
  PROBE_NEED(MINOR_SHMEM);
  int uffd = probe_uffd(CLINUX_FEATURE_EVENT_REMOVE), file = probe_memfd(probe_page);
  char *memory = probe_map(file, probe_page, MAP_SHARED), *source = probe_source(probe_page, 0x5a);
  probe_register(uffd, memory, probe_page, CLINUX_REGISTER_MISSING | CLINUX_REGISTER_MINOR);
  probe_expect_code(probe_copy(uffd, memory, source, probe_page), 0, "COPY");
  /* An event would keep this thread here until somebody reads it, that is until the alarm. */
  probe_expect_code(clinux_punch_hole(file, 0, probe_page), 0, "punching a hole");
  probe_expect_silence(uffd, "messages after the punch");
  probe_expect_fault(uffd, memory, PROBE_MISSING, "the punched page");
}

/* CONTINUE at an address that no registration has ever covered: it can do nothing, and its answer tells. */
static void expect_changing(int uffd, char *outside, int code, const char *when) {
  probe_expect_code(probe_continue(uffd, outside, probe_page), code, when);
}

static void event_probe(void) {
  PROBE_NEED(EVENT_REMAP);
  PROBE_NEED(EVENT_UNMAP);
  PROBE_NEED(MINOR_SHMEM);
  char *pages, *outside = probe_anonymous(probe_page);
  int uffd = two_pages(CLINUX_FEATURE_EVENT_REMAP | CLINUX_FEATURE_EVENT_UNMAP, &pages);
  struct probe_remapping moves = {
      .from = pages, .length = 2 * probe_page, .wanted = 2 * probe_page,
      .flags = MREMAP_MAYMOVE | MREMAP_FIXED, .to = probe_anonymous(2 * probe_page)};
  expect_changing(uffd, outside, -ENOENT, "CONTINUE outside before mremap");
  probe_start_remapping(&moves);
  probe_await_readable(uffd, "mremap");
  expect_changing(uffd, outside, -EAGAIN, "CONTINUE outside with REMAP unread");
  probe_expect_next(uffd, CLINUX_EVENT_REMAP, "the first event");
  expect_changing(uffd, outside, -EAGAIN, "CONTINUE outside between REMAP and UNMAP");
  probe_expect_next(uffd, CLINUX_EVENT_UNMAP, "the second event");
  probe_expect_remapped(&moves, "reading both events");
  expect_changing(uffd, outside, -ENOENT, "CONTINUE outside after mremap");
}

static void unregister_ends_events(void) {
  PROBE_NEED(EVENT_REMOVE);
  PROBE_NEED(EVENT_UNMAP);
  PROBE_NEED(MINOR_SHMEM);
  char *pages, *outside = probe_anonymous(probe_page);
  int uffd = two_pages(CLINUX_FEATURE_EVENT_REMOVE | CLINUX_FEATURE_EVENT_UNMAP, &pages);
  struct probe_thread early = {.address = pages, .length = probe_page}, late = early;
  probe_start(&early, probe_discard);
  probe_await_readable(uffd, "MADV_DONTNEED");
  probe_expect_code(clinux_uffd_unregister(uffd, (uint64_t)pages, 2 * probe_page), 0, "UNREGISTER");
  expect_changing(uffd, outside, -EAGAIN, "CONTINUE outside after UNREGISTER, with the event unread");
  probe_expect_asleep(&early, "UNREGISTER with the event unread");
  probe_start(&late, probe_discard);
  probe_expect_ended(&late, "a discard after UNREGISTER, with nobody reading");
  late.length = 2 * probe_page;
  probe_start(&late, unmap);
  probe_expect_ended(&late, "munmap after UNREGISTER, with nobody reading");
  probe_expect_next(uffd, CLINUX_EVENT_REMOVE, "the only event");
  probe_expect_ended(&early, "reading the event");
  probe_expect_silence(uffd, "messages after that event");
  expect_changing(uffd, outside, -ENOENT, "CONTINUE outside when all is over");
}

static const struct kernel_probe probes[] = {
    {"remove-event", "MADV_DONTNEED waits, with the page still there, until its REMOVE event is read",
     remove_event},
    {"unmap-event", "the mapping is gone when its UNMAP event can be read", unmap_event},
    {"punch-no-event", "punching a hole through the descriptor raises no event and the page is missing",
     punch_no_event},
    {"event-probe",
     "CONTINUE outside all registrations answers EAGAIN until a call's last event is read, then ENOENT",
     event_probe},
    {"unregister-events",
     "after UNREGISTER no event begins; while one is under way CONTINUE outside still answers EAGAIN",
     unregister_ends_events},
};
PROBE_TOPIC(probe_events, probes);
