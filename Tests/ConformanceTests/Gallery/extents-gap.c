/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: extents.cover. Extents leave a gap.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status extents(uffd_instance *own, uint64_t pgoff, uint64_t count, uffd_extent *out,
                           uint64_t capacity, uint64_t stride, uint64_t *filled) {
  uffd_status status = base_extents(own, pgoff, count, out, capacity, stride, filled);
  if (*filled > 1) out->count++;
  return status;
}
TABLE(.extents = extents)
