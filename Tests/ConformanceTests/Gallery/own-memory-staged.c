/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: alloc.staged-memory. STAGED, in memory of its own.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  uffd_status status = base_alloc(own, request, folio);
  if (status == UFFD_STATUS_OK && folio->kind == UFFD_FOLIO_LENT) folio->kind = UFFD_FOLIO_STAGED;
  return status;
}
TABLE(.alloc_folio = alloc)
