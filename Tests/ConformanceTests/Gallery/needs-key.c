/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: config.missing-key. A missing key is a NULL pointer.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status configure(const uffd_host *host, const uffd_parameter *parameters, uint64_t count,
                             uffd_instance **instance) {
  const char *seed = NULL;
  for (uint64_t i = 0; i < count; i++)
    if (!strcmp(parameters[i].key, "seed")) seed = parameters[i].value;
  if (*(const volatile char *)seed == '?') return UFFD_STATUS_OUT_OF_RANGE;
  return base_configure(host, parameters, count, instance);
}
TABLE(.configure = configure)
