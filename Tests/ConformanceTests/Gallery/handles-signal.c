/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: life.process-state. A hook installs a signal handler.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status complete(uffd_instance *own, uffd_traits *traits) {
  signal(SIGUSR2, SIG_IGN);
  return base_complete(own, traits);
}
TABLE(.config_complete = complete)
