/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: filemap.limit. Where a limit is reached, a part is added.
   With: size=200000 limit=20 */
#include "base.h"

static uffd_status add(uffd_instance *own, uint64_t pgoff, uint64_t count) {
  uffd_status status = base_add(own, pgoff, count);
  if (status == UFFD_STATUS_NO_MEMORY && own->limit > own->used) base_add(own, pgoff, own->limit - own->used);
  return status;
}
TABLE(.filemap_add = add)
