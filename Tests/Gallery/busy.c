/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers BUSY to the first -DTIMES=N questions about each granule. -DEARLY kicks before it returns BUSY,
 * -DLATE from a thread of its own 20 ms later, -DSTALE kicks tickets that nobody has, -DTWICE kicks each
 * ticket twice. Says at the end if a granule was asked again under another ticket, and the most questions
 * that one granule took.
 */
#include "gallery.h"

#include <pthread.h>
#include <unistd.h>

static atomic_ulong tickets[GRANULES];
static atomic_int changed, most;

struct errand {
  const uffd_host *host;
  uint64_t ticket;
};

__attribute__((unused)) static void *run(void *argument) {
  struct errand errand = *(struct errand *)argument;
  free(argument);
  usleep(20000);
  errand.host->kick(errand.host->instance, errand.ticket);
  return NULL;
}

static void kick(const uffd_host *host, uint64_t ticket) {
  (void)host, (void)ticket;
#ifdef EARLY
  host->kick(host->instance, ticket);
#endif
#ifdef TWICE
  host->kick(host->instance, ticket);
  host->kick(host->instance, ticket);
#endif
#ifdef STALE
  host->kick(host->instance, ticket - (1ull << 32));
  host->kick(host->instance, ticket + (7ull << 32));
  host->kick(host->instance, 0);
  host->kick(host->instance, ~0ull);
  host->kick(~0ull, ticket);
#endif
#ifdef LATE
  pthread_t thread;
  struct errand *errand = malloc(sizeof *errand);
  *errand = (struct errand){host, ticket};
  pthread_create(&thread, NULL, run, errand);
  pthread_detach(thread);
#endif
}

static uffd_status alloc(uffd_instance *instance, const uffd_folio_request *request, uffd_folio *folio) {
  int asked = ++instance->asked[request->pgoff];
  if (asked == 1) tickets[request->pgoff] = request->ticket;
  if (tickets[request->pgoff] != request->ticket) changed = 1;
  if (asked > most) most = asked;
  if (asked <= TIMES) {
    kick(instance->host, request->ticket);
    return UFFD_STATUS_BUSY;
  }
  gallery_fill(request, folio);
  return UFFD_STATUS_OK;
}

static void closed(uffd_instance *instance) {
  char text[64];
  snprintf(text, sizeof text, "tickets %s, most=%d", changed ? "changed" : "stayed", most);
  gallery_say(instance, text);
  usleep(50000); /* threads of ours live until close */
  gallery_close(instance);
}

GALLERY_PROVIDER(.alloc_folio = alloc, .close = closed)
