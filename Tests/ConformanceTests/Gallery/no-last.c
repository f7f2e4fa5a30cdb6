/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: alloc.first-and-last. The last granule is not there.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  if (request->pgoff + 1 == own->granules) return UFFD_STATUS_ABSENT;
  return base_alloc(own, request, folio);
}
TABLE(.alloc_folio = alloc)
