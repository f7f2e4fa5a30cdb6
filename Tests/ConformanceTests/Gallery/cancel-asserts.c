/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: busy.cancel-unknown. A cancel of an answered ticket ends the process.
   With: size=200000 seed=4 label=x */
#include "base.h"

static void cancel(uffd_instance *own, uint64_t ticket) {
  (void)own, (void)ticket;
  abort();
}
TABLE(.cancel = cancel)
