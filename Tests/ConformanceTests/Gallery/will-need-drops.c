/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: extents.will-need. A hint changes content.
   With: size=200000 seed=4 label=x */
#include "base.h"

static void will_need(uffd_instance *own, uint64_t pgoff, uint64_t count) {
  (void)count;
  own->data[pgoff * granule_size] ^= 1;
}
TABLE(.will_need = will_need)
