/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: table.status. The hook configure has no BUSY.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status configure(const uffd_host *host, const uffd_parameter *parameters, uint64_t count,
                             uffd_instance **instance) {
  (void)base_configure;
  (void)host, (void)parameters, (void)count, (void)instance;
  return UFFD_STATUS_BUSY;
}
TABLE(.configure = configure)
