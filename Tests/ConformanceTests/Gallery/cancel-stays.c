/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: busy.cancel-running. After a cancel everything is cancelled.
   With: size=200000 seed=4 label=x */
#include "base.h"

static void cancel(uffd_instance *own, uint64_t ticket) {
  if (ticket > 1 && ticket != UINT64_MAX) own->more = own;
}
static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  if (own->more) return UFFD_STATUS_IO_ERROR;
  return base_alloc(own, request, folio);
}
TABLE(.alloc_folio = alloc, .cancel = cancel)
