/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: alloc.beyond-staging. One byte behind staging is written.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  if (request->pgoff < own->granules) *((volatile char *)request->staging + request->staging_length) = 0;
  return base_alloc(own, request, folio);
}
TABLE(.alloc_folio = alloc)
