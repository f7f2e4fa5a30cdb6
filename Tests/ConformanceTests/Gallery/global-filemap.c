/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: filemap.other-instance. All instances have one filemap.
   With: size=200000 seed=4 label=x */
#include "base.h"

static _Atomic uint64_t map[4096];

static uffd_status complete(uffd_instance *own, uffd_traits *traits) {
  free(own->map);
  own->map = map;
  return base_complete(own, traits);
}
static void end(uffd_instance *own) {
  own->map = NULL;
  base_close(own);
}
TABLE(.config_complete = complete, .close = end)
