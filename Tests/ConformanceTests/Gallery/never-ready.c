/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: busy.answered. The answer never comes.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  if (request->pgoff % 2 && request->pgoff < own->granules) return UFFD_STATUS_BUSY;
  return base_alloc(own, request, folio);
}
TABLE(.alloc_folio = alloc)
