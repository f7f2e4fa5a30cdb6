/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: alloc.arena. Staging is freed, and handed back.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  void *memory;
  if (own->host->staging_alloc(own->host->instance, granule_size, &memory) == UFFD_STATUS_OK) {
    own->host->staging_free(own->host->instance, memory);
    own->host->staging_free(own->host->instance, memory);
  }
  return base_alloc(own, request, folio);
}
TABLE(.alloc_folio = alloc)
