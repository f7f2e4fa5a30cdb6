/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: config.unknown-key. An unknown key is a NULL pointer.
   With: size=200000 seed=4 label=x */
#include "base.h"

static const char *const known[] = {"size", "seed", "limit", "delay", "label", NULL};

static uffd_status configure(const uffd_host *host, const uffd_parameter *parameters, uint64_t count,
                             uffd_instance **instance) {
  for (uint64_t i = 0; i < count; i++) {
    int place = 0;
    while (strcmp(known[place], parameters[i].key)) place++;
  }
  return base_configure(host, parameters, count, instance);
}
TABLE(.configure = configure)
