/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: busy.reserves-nothing. Questions that are given up keep their places.
   With: size=100000 delay=2000 */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  int free_places = 0;
  for (int i = 0; i < pending_most; i++)
    if (!own->pending[i].ticket || own->pending[i].ticket == request->ticket) free_places++;
  if (!free_places) return UFFD_STATUS_NO_MEMORY;
  return base_alloc(own, request, folio);
}
TABLE(.alloc_folio = alloc)
