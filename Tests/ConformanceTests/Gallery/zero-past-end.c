/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: alloc.past-end. Beyond the end all is zero.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  if (request->pgoff >= own->granules) {
    folio->kind = UFFD_FOLIO_ZERO;
    folio->count = 1;
    return UFFD_STATUS_OK;
  }
  return base_alloc(own, request, folio);
}
TABLE(.alloc_folio = alloc)
