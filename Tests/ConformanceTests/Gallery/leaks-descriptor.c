/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: leak.open-close. A descriptor stays open.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status complete(uffd_instance *own, uffd_traits *traits) {
  (void)!open("/dev/null", O_RDONLY | O_CLOEXEC);
  return base_complete(own, traits);
}
TABLE(.config_complete = complete)
