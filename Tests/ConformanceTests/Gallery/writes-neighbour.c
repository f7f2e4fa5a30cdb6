/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: writeback.alone. A write goes to the last granule too.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status store(uffd_instance *own, uint64_t pgoff, uint64_t count, const void *bytes,
                         uint64_t length) {
  if (pgoff == 0) memset(own->data + (own->granules - 1) * granule_size, 1, 8);
  return base_writeback(own, pgoff, count, bytes, length);
}
TABLE(.writeback = store)
