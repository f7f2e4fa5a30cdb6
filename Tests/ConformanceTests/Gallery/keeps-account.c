/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: filemap.accounting. What is removed stays accounted.
   With: size=200000 limit=20 */
#include "base.h"

static void take(uffd_instance *own, uint64_t pgoff, uint64_t count) {
  base_remove(own, pgoff, count);
  own->used += count;
}
TABLE(.filemap_remove = take)
