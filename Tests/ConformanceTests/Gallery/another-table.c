/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: table.constant. The entry function makes a new table each time.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_provider tables[64];

const uffd_provider *uffd_provider_entry_v1(void) {
  static int next;
  uffd_provider *made = &tables[next++ % 64];
  *made = (uffd_provider){BASE_TABLE};
  return made;
}
