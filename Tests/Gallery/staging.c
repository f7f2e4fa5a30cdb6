/* SPDX-License-Identifier: Apache-2.0 */
/* Answers BUSY first, fetches into memory from staging_alloc on a thread of its own, kicks, and answers from
   that memory. Also tries what staging_alloc must refuse. */
#include "gallery.h"

#include <pthread.h>

struct work {
  uffd_instance *instance;
  uint64_t pgoff, ticket;
};

static _Atomic(void *) ready[GRANULES];
static atomic_int refused;

static void *fetch(void *argument) {
  struct work work = *(struct work *)argument;
  const uffd_host *host = work.instance->host;
  void *memory = NULL, *spare = NULL;
  free(argument);
  if (host->staging_alloc(host->instance, 4096, &memory) != UFFD_STATUS_OK) return NULL;
  memset(memory, (int)work.pgoff + 1, 4096);
  if (host->staging_alloc(host->instance, 8192, &spare) == UFFD_STATUS_OK)
    host->staging_free(host->instance, spare);
  refused += host->staging_alloc(host->instance, 100, &spare) == UFFD_STATUS_OUT_OF_RANGE;
  refused += host->staging_alloc(host->instance, 0, &spare) == UFFD_STATUS_OUT_OF_RANGE;
  refused += host->staging_alloc(host->instance, 1ull << 50, &spare) == UFFD_STATUS_NO_MEMORY;
  refused += host->staging_alloc(~0ull, 4096, &spare) == UFFD_STATUS_GONE;
  ready[work.pgoff] = memory;
  host->kick(host->instance, work.ticket);
  return NULL;
}

static uffd_status alloc(uffd_instance *instance, const uffd_folio_request *request, uffd_folio *folio) {
  void *memory = atomic_exchange(&ready[request->pgoff], NULL);
  if (memory) {
    folio->kind = UFFD_FOLIO_STAGED;
    folio->count = 1;
    folio->memory = memory;
    instance->asked[request->pgoff] = 0;
    return UFFD_STATUS_OK;
  }
  if (!instance->asked[request->pgoff]++) {
    pthread_t thread;
    struct work *work = malloc(sizeof *work);
    *work = (struct work){instance, request->pgoff, request->ticket};
    pthread_create(&thread, NULL, fetch, work);
    pthread_detach(thread);
  }
  return UFFD_STATUS_BUSY;
}

static void closed(uffd_instance *instance) {
  char text[64];
  snprintf(text, sizeof text, "refused=%d", refused);
  gallery_say(instance, text);
  gallery_close(instance);
}

GALLERY_PROVIDER(.alloc_folio = alloc, .close = closed)
