/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: prompt.never-waiting. A lookup waits.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status lookup(uffd_instance *own, uint64_t pgoff, uint64_t ticket) {
  usleep(60000);
  return base_lookup(own, pgoff, ticket);
}
TABLE(.get_folio_noalloc = lookup, .behaviours = UFFD_BEHAVIOUR_BLOCKS)
