/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: lend.other-instance. Any close ends all lends.
   With: size=200000 seed=4 label=x */
#include "base.h"

static unsigned char pool[64][granule_size];
static int next;

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  uffd_status status = base_alloc(own, request, folio);
  if (folio->kind == UFFD_FOLIO_LENT) {
    unsigned char *place = pool[next++ % 64];
    memcpy(place, folio->memory, granule_size);
    folio->memory = place;
  }
  return status;
}
static void end(uffd_instance *own) {
  memset(pool, 0, sizeof pool);
  base_close(own);
}
TABLE(.alloc_folio = alloc, .close = end)
