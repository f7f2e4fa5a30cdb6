/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: kernel.missing kernel.private kernel.threads. Each instance has other bytes.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status complete(uffd_instance *own, uffd_traits *traits) {
  static unsigned char next;
  own->data[7] = ++next;
  return base_complete(own, traits);
}
TABLE(.config_complete = complete)
