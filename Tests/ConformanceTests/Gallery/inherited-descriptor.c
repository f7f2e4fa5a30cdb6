/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: life.descriptors. A descriptor without O_CLOEXEC.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status complete(uffd_instance *own, uffd_traits *traits) {
  own->more = (void *)(intptr_t)open("/dev/null", O_RDONLY);
  return base_complete(own, traits);
}
static void end(uffd_instance *own) {
  close((int)(intptr_t)own->more);
  base_close(own);
}
TABLE(.config_complete = complete, .close = end)
