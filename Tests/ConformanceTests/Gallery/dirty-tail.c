/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: alloc.tail. The tail of the last granule is not zero.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status complete(uffd_instance *own, uffd_traits *traits) {
  memset(own->data + own->size, 7, own->granules * granule_size - own->size);
  return base_complete(own, traits);
}
TABLE(.config_complete = complete)
