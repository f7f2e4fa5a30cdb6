/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: lookup.changes-nothing. Looking a granule up makes it present.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status lookup(uffd_instance *own, uint64_t pgoff, uint64_t ticket) {
  uffd_status status = base_lookup(own, pgoff, ticket);
  if (status == UFFD_STATUS_ABSENT) base_add(own, pgoff, 1);
  return status;
}
TABLE(.get_folio_noalloc = lookup)
