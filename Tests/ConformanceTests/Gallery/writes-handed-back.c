/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: alloc.arena. Memory that was handed back is written.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  if (own->more) *(volatile char *)own->more = 1;
  uffd_status status = base_alloc(own, request, folio);
  if (status == UFFD_STATUS_OK
      && folio->kind == UFFD_FOLIO_STAGED) own->more = (void *)(uintptr_t)folio->memory;
  return status;
}
TABLE(.alloc_folio = alloc)
