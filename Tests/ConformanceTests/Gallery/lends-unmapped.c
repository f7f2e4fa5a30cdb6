/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: lend.readable. A lend of memory that is not mapped.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  uffd_status status = base_alloc(own, request, folio);
  if (folio->kind == UFFD_FOLIO_LENT) folio->memory = (void *)4096;
  return status;
}
TABLE(.alloc_folio = alloc)
