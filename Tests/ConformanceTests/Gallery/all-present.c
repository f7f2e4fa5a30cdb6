/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: filemap.agrees. Everything is present.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status lookup(uffd_instance *own, uint64_t pgoff, uint64_t ticket) {
  uffd_status status = base_lookup(own, pgoff, ticket);
  return status == UFFD_STATUS_ABSENT ? UFFD_STATUS_OK : status;
}
TABLE(.get_folio_noalloc = lookup)
