/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: config.unknown-key. An unknown key is an I/O error.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status configure(const uffd_host *host, const uffd_parameter *parameters, uint64_t count,
                             uffd_instance **instance) {
  uffd_status status = base_configure(host, parameters, count, instance);
  return status == UFFD_STATUS_ABSENT ? UFFD_STATUS_IO_ERROR : status;
}
TABLE(.configure = configure)
