/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: alloc.no-memory. Without staging memory the source is called gone.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  uffd_status status = base_alloc(own, request, folio);
  return status == UFFD_STATUS_NO_MEMORY ? UFFD_STATUS_GONE : status;
}
TABLE(.alloc_folio = alloc)
