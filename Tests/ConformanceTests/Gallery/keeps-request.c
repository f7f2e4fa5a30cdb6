/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: life.kept-pointer. The last request is read when the next one comes.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  const uffd_folio_request *last = own->more;
  own->more = (void *)(uintptr_t)request;
  if (last && *(const volatile uint64_t *)&last->pgoff == UINT64_MAX) return UFFD_STATUS_GONE;
  return base_alloc(own, request, folio);
}
TABLE(.alloc_folio = alloc)
