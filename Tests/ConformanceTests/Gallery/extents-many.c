/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: extents.inside-room. More elements than there is room for.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status extents(uffd_instance *own, uint64_t pgoff, uint64_t count, uffd_extent *out,
                           uint64_t capacity, uint64_t stride, uint64_t *filled) {
  return base_extents(own, pgoff, count, out, capacity + 4, stride, filled);
}
TABLE(.extents = extents)
