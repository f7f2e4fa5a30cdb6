/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: threads.filemap. Bits of the filemap are set without care.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status add(uffd_instance *own, uint64_t pgoff, uint64_t count) {
  if (pgoff >= own->granules || count > own->granules - pgoff) return UFFD_STATUS_OUT_OF_RANGE;
  for (uint64_t i = pgoff; i < pgoff + count; i++) {
    uint64_t word = own->map[i / 64];
    usleep(10);
    own->map[i / 64] = word | 1ull << i % 64;
  }
  return UFFD_STATUS_OK;
}
TABLE(.filemap_add = add)
