/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: config.again. The content id is another one each time.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status complete(uffd_instance *own, uffd_traits *traits) {
  static uint64_t next;
  uffd_status status = base_complete(own, traits);
  traits->content_id_low = ++next;
  return status;
}
TABLE(.config_complete = complete)
