/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: config.repeated-key. A repeated key ends the process.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status configure(const uffd_host *host, const uffd_parameter *parameters, uint64_t count,
                             uffd_instance **instance) {
  for (uint64_t i = 0; i < count; i++)
    for (uint64_t j = 0; j < i; j++)
      if (!strcmp(parameters[i].key, parameters[j].key)) abort();
  return base_configure(host, parameters, count, instance);
}
TABLE(.configure = configure)
