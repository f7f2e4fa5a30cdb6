/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: filemap.discard. Discarded granules stay present.
   With: size=200000 seed=4 label=x */
#include "base.h"

static void take(uffd_instance *own, uint64_t pgoff, uint64_t count) {
  (void)own, (void)pgoff, (void)count;
}
TABLE(.discard = take)
