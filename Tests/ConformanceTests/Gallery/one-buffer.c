/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: lend.unchanged. One buffer for all lends.
   With: size=200000 seed=4 label=x */
#include "base.h"

static unsigned char buffer[granule_size];

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  uffd_status status = base_alloc(own, request, folio);
  if (folio->kind == UFFD_FOLIO_LENT) {
    memcpy(buffer, folio->memory, granule_size);
    folio->memory = buffer;
  }
  return status;
}
TABLE(.alloc_folio = alloc)
