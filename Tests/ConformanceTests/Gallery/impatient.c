/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: busy.kick-lost. Asking early starts the answer anew.
   With: size=100000 delay=100000 */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  pthread_mutex_lock(&own->lock);
  for (int i = 0; i < pending_most; i++) {
    struct pending *p = &own->pending[i];
    if (p->ticket == request->ticket && !p->kicked) p->due = now() + own->delay;
  }
  pthread_mutex_unlock(&own->lock);
  return base_alloc(own, request, folio);
}
TABLE(.alloc_folio = alloc)
