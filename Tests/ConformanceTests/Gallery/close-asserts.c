/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: busy.close. The close expects that nothing is pending.
   With: size=100000 delay=2000 */
#include "base.h"

static void end(uffd_instance *own) {
  for (int i = 0; i < pending_most; i++)
    if (own->pending[i].ticket) abort();
  base_close(own);
}
TABLE(.close = end)
