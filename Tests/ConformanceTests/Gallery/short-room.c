/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: config.odd-values. A value is copied into a room that is too small.
   With: size=200000 seed=4 label=x */
#include "base.h"

static char room[64];

static uffd_status configure(const uffd_host *host, const uffd_parameter *parameters, uint64_t count,
                             uffd_instance **instance) {
  for (uint64_t i = 0; i < count; i++) {
    volatile char *to = room;
    for (const char *from = parameters[i].value; (*to++ = *from++);) {}
  }
  return base_configure(host, parameters, count, instance);
}
TABLE(.configure = configure)
