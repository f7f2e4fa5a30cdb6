/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: filemap.install-fails. Of a run only the first granule is removed.
   With: size=200000 seed=4 label=x */
#include "base.h"

static void take(uffd_instance *own, uint64_t pgoff, uint64_t count) {
  base_remove(own, pgoff, count ? 1 : 0);
}
TABLE(.filemap_remove = take)
