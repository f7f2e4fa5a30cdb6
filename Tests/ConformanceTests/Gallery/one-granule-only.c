/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: alloc.sizes. It declares 2 MiB and does not serve them.
   With: size=200000 seed=4 label=x */
#include "base.h"

TABLE(.operations = base_operations & ~UFFD_OP_PREDICATE, .can_userfault = NULL,
      .granules = UFFD_GRANULE_4K | UFFD_GRANULE_2M)
