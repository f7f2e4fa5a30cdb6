/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: busy.prefetch. What was prefetched is taken as filled.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  if (request->pgoff < own->granules && request->access & UFFD_ACCESS_PREFETCH)
    memset(own->data + request->pgoff * granule_size, 0, granule_size);
  return base_alloc(own, request, folio);
}
TABLE(.alloc_folio = alloc)
