/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: busy.kick-known. Tickets that nobody has are kicked.
   With: size=100000 delay=2000 */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  own->host->kick(own->host->instance, request->ticket + 1000);
  return base_alloc(own, request, folio);
}
TABLE(.alloc_folio = alloc)
