/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: config.traits. One instance alone is SERIAL.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status complete(uffd_instance *own, uffd_traits *traits) {
  uffd_status status = base_complete(own, traits);
  traits->thread_model = UFFD_THREADS_SERIAL;
  return status;
}
TABLE(.config_complete = complete)
