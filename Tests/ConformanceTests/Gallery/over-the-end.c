/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: alloc.over-the-end. A run goes on beyond the object.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  if (request->pgoff + 1 == own->granules && request->count > 1) {
    folio->kind = UFFD_FOLIO_ZERO;
    folio->count = request->count;
    return UFFD_STATUS_OK;
  }
  return base_alloc(own, request, folio);
}
TABLE(.alloc_folio = alloc)
