/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: lookup.no-growth. Each lookup takes memory.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status lookup(uffd_instance *own, uint64_t pgoff, uint64_t ticket) {
  void *volatile lost = malloc(40);
  (void)lost;
  return base_lookup(own, pgoff, ticket);
}
TABLE(.get_folio_noalloc = lookup)
