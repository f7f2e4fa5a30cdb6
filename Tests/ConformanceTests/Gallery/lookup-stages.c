/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: lookup.no-staging. A lookup asks for staging memory.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status lookup(uffd_instance *own, uint64_t pgoff, uint64_t ticket) {
  void *memory;
  if (own->host->staging_alloc(own->host->instance, granule_size, &memory) == UFFD_STATUS_OK)
    own->host->staging_free(own->host->instance, memory);
  return base_lookup(own, pgoff, ticket);
}
TABLE(.get_folio_noalloc = lookup)
