/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_folio of granule 1 returns after -DSECONDS=N at the earliest; cancel is told about it if -DCANCEL=1. */
#include "gallery.h"

#include <unistd.h>

#ifndef CANCEL
#define CANCEL 0
#endif

static atomic_int is_cancelled;

static uffd_status alloc(uffd_instance *instance, const uffd_folio_request *request, uffd_folio *folio) {
  (void)instance;
  if (request->pgoff == 1)
    for (int i = 0; i < SECONDS * 100 && !is_cancelled; i++) usleep(10000);
  gallery_fill(request, folio);
  return UFFD_STATUS_OK;
}

__attribute__((unused)) static void cancel(uffd_instance *instance, uint64_t ticket) {
  (void)ticket;
  is_cancelled = 1;
  gallery_say(instance, "cancelled");
}

GALLERY_PROVIDER(.alloc_folio = alloc, .operations = UFFD_OP_ALLOC | (CANCEL ? UFFD_OP_CANCEL : 0),
                 .cancel = CANCEL ? cancel : NULL)
