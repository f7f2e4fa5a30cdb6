/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: lookup.past-end. Beyond the end all is absent.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status lookup(uffd_instance *own, uint64_t pgoff, uint64_t ticket) {
  return pgoff >= own->granules ? UFFD_STATUS_ABSENT : base_lookup(own, pgoff, ticket);
}
TABLE(.get_folio_noalloc = lookup)
