/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: lookup.lost. Granules that were added are absent.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status lookup(uffd_instance *own, uint64_t pgoff, uint64_t ticket) {
  return pgoff % 2 && pgoff < own->granules ? UFFD_STATUS_ABSENT : base_lookup(own, pgoff, ticket);
}
TABLE(.get_folio_noalloc = lookup)
