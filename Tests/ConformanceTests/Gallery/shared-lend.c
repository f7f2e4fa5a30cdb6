/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: lend.same-page-twice. Putting one lend of a page ends the other.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  uffd_status status = base_alloc(own, request, folio);
  if (folio->kind == UFFD_FOLIO_LENT) {
    free((void *)(uintptr_t)folio->cookie);
    folio->memory = own->data + request->pgoff * granule_size;
    folio->cookie = 0;
    own->data[request->pgoff * granule_size] ^= own->more == folio->memory ? 0x40 : 0;
    own->more = (void *)(uintptr_t)folio->memory;
  }
  return status;
}
static void put(uffd_instance *own, const uffd_folio *folio, uint64_t pgoff) {
  own->more = NULL;
  base_put(own, folio, pgoff);
}
TABLE(.alloc_folio = alloc, .put_folio = put)
