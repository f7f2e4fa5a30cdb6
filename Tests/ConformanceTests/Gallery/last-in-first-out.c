/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: lend.order. A lend must be put back before the ones that came earlier.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  uffd_status status = base_alloc(own, request, folio);
  if (folio->kind == UFFD_FOLIO_LENT) {
    own->more = (char *)own->more + 1;
    folio->cookie = (uint64_t)(uintptr_t)own->more;
  }
  return status;
}
static void put(uffd_instance *own, const uffd_folio *folio, uint64_t pgoff) {
  if (folio->cookie != (uint64_t)(uintptr_t)own->more) memset(own->data + pgoff * granule_size, 9, 64);
  own->more = (char *)own->more - 1;
}
TABLE(.alloc_folio = alloc, .put_folio = put)
