/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: life.predicate. A no to what it declares.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uint32_t predicate(uffd_instance *own, const uffd_region_query *query, const char **reason) {
  (void)own, (void)query;
  *reason = "no region is good enough";
  return 0;
}
TABLE(.can_userfault = predicate)
