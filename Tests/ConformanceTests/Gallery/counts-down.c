/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: life.repeat. Places for instances are not given back.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status configure(const uffd_host *host, const uffd_parameter *parameters, uint64_t count,
                             uffd_instance **instance) {
  static int left = 60;
  if (!left--) {
    say(host, "there are no more places");
    return UFFD_STATUS_NO_MEMORY;
  }
  return base_configure(host, parameters, count, instance);
}
TABLE(.configure = configure)
