/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: life.process-state. A hook changes the environment.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status complete(uffd_instance *own, uffd_traits *traits) {
  setenv("SPECIMEN", "1", 1);
  return base_complete(own, traits);
}
TABLE(.config_complete = complete)
