/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: leak.open-close. A mapping stays.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status complete(uffd_instance *own, uffd_traits *traits) {
  (void)!mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return base_complete(own, traits);
}
TABLE(.config_complete = complete)
