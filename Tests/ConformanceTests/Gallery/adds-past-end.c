/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: filemap.past-end. Granules beyond the object are added.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status add(uffd_instance *own, uint64_t pgoff, uint64_t count) {
  uffd_status status = base_add(own, pgoff, count);
  return status == UFFD_STATUS_OUT_OF_RANGE ? UFFD_STATUS_OK : status;
}
TABLE(.filemap_add = add)
