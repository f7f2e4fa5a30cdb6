/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: prompt.content. It waits and does not say so.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  usleep(60000);
  return base_alloc(own, request, folio);
}
TABLE(.alloc_folio = alloc)
