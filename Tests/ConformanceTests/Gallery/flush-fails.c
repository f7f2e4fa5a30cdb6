/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: writeback.flush. The flush fails.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status flush(uffd_instance *own) {
  (void)own;
  return UFFD_STATUS_IO_ERROR;
}
TABLE(.flush = flush)
