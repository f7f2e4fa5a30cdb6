/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: alloc.same-bytes. The second granule of a run has the bytes of the first.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  uffd_status status = base_alloc(own, request, folio);
  if (status == UFFD_STATUS_OK && folio->kind == UFFD_FOLIO_STAGED && folio->count > 1)
    memcpy((char *)request->staging + granule_size, request->staging, granule_size);
  return status;
}
TABLE(.alloc_folio = alloc)
