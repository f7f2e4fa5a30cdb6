/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: life.exit. A hook ends the process.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  (void)own, (void)request, (void)folio;
  exit(0);
}
TABLE(.alloc_folio = alloc)
