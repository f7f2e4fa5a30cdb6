/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: config.failure-leaves-nothing. A refused configuration is not freed.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status configure(const uffd_host *host, const uffd_parameter *parameters, uint64_t count,
                             uffd_instance **instance) {
  uffd_status status = base_configure(host, parameters, count, instance);
  void *volatile lost = status == UFFD_STATUS_OK ? NULL : malloc(100);
  (void)lost;
  return status;
}
TABLE(.configure = configure)
