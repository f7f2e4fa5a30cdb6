/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: table.status. An answer that is no status.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  (void)own, (void)request, (void)folio;
  return 77;
}
TABLE(.alloc_folio = alloc)
