/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: kernel.minor. The filemap refuses what the object has.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status add(uffd_instance *own, uint64_t pgoff, uint64_t count) {
  if (pgoff > 4 && getenv("SPECIMEN_NEVER") == NULL && own->more) return UFFD_STATUS_NO_MEMORY;
  return base_add(own, pgoff, count);
}
static uffd_status complete(uffd_instance *own, uffd_traits *traits) {
  static int next;
  own->more = next++ ? own : NULL;
  return base_complete(own, traits);
}
TABLE(.filemap_add = add, .config_complete = complete)
