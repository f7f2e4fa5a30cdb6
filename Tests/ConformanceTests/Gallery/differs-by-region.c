/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: kernel.two-regions. Each time it is asked other bytes.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  uffd_status status = base_alloc(own, request, folio);
  static _Atomic unsigned char next;
  if (status == UFFD_STATUS_OK && folio->kind == UFFD_FOLIO_STAGED && !folio->memory)
    *(char *)request->staging = (char)++next;
  return status;
}
TABLE(.alloc_folio = alloc)
