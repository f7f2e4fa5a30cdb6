/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: alloc.fills-whole. Eight bytes of staging are not written.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  uint64_t kept = *(uint64_t *)((char *)request->staging + 96);
  uffd_status status = base_alloc(own, request, folio);
  if (status == UFFD_STATUS_OK && folio->kind == UFFD_FOLIO_STAGED && !folio->memory)
    *(uint64_t *)((char *)request->staging + 96) = kept;
  return status;
}
TABLE(.alloc_folio = alloc)
