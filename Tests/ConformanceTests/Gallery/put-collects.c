/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: leak.serving. Lends that were put back are freed at the end only.
   With: size=200000 seed=4 label=x */
#include "base.h"

static void put(uffd_instance *own, const uffd_folio *folio, uint64_t pgoff) {
  void **kept = malloc(granule_size + sizeof *kept);
  *kept = own->more;
  own->more = kept;
  base_put(own, folio, pgoff);
}
static void end(uffd_instance *own) {
  for (void **kept = own->more; kept;) {
    void **next = *kept;
    free(kept);
    kept = next;
  }
  base_close(own);
}
TABLE(.put_folio = put, .close = end)
