/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: life.predicate. An answer that is neither yes nor no.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uint32_t predicate(uffd_instance *own, const uffd_region_query *query, const char **reason) {
  return base_predicate(own, query, reason) * 2;
}
TABLE(.can_userfault = predicate)
