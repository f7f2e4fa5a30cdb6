/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: life.predicate. A no without a reason.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uint32_t predicate(uffd_instance *own, const uffd_region_query *query, const char **reason) {
  uint32_t answer = base_predicate(own, query, reason);
  *reason = NULL;
  return answer;
}
TABLE(.can_userfault = predicate)
