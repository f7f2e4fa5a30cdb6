/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: busy.asked-late. An answer that is not fetched soon is forgotten.
   With: size=100000 delay=2000 */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  pthread_mutex_lock(&own->lock);
  for (int i = 0; i < pending_most; i++) {
    struct pending *p = &own->pending[i];
    if (p->ticket == request->ticket && p->due + 20000000 < now()) p->due = now() + own->delay;
  }
  pthread_mutex_unlock(&own->lock);
  return base_alloc(own, request, folio);
}
TABLE(.alloc_folio = alloc)
