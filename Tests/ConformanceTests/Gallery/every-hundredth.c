/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: model.random. The hundredth answer is wrong.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  uffd_status status = base_alloc(own, request, folio);
  if (status == UFFD_STATUS_OK && folio->kind == UFFD_FOLIO_STAGED && !folio->memory) {
    own->more = (char *)own->more + 1;
    if ((uintptr_t)own->more % 100 == 0) *(char *)request->staging ^= 1;
  }
  return status;
}
TABLE(.alloc_folio = alloc)
