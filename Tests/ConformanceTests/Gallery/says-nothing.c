/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: config.says-why. A refusal without a word.
   With: size=200000 seed=4 label=x */
#include "base.h"

static void nothing(uint64_t instance, const char *text, uint64_t length) {
  (void)instance, (void)text, (void)length;
}

static uffd_status configure(const uffd_host *host, const uffd_parameter *parameters, uint64_t count,
                             uffd_instance **instance) {
  uffd_host silent = *host;
  silent.report_error = nothing;
  uffd_status status = base_configure(&silent, parameters, count, instance);
  if (status == UFFD_STATUS_OK) (*instance)->host = host;
  return status;
}
TABLE(.configure = configure)
