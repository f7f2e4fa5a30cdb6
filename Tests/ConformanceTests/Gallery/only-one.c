/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: life.many. One instance at a time.
   With: size=200000 seed=4 label=x */
#include "base.h"

static _Atomic int open_now;

static uffd_status configure(const uffd_host *host, const uffd_parameter *parameters, uint64_t count,
                             uffd_instance **instance) {
  if (open_now) {
    say(host, "there is an instance already");
    return UFFD_STATUS_NO_MEMORY;
  }
  uffd_status status = base_configure(host, parameters, count, instance);
  if (status == UFFD_STATUS_OK) open_now = 1;
  return status;
}
static void end(uffd_instance *own) {
  open_now = 0;
  base_close(own);
}
TABLE(.configure = configure, .close = end)
