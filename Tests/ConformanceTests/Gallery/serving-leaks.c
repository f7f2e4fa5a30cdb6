/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: leak.open-serve-close. What was served is not freed.
   With: size=200000 seed=4 label=x */
#include "base.h"

static void put(uffd_instance *own, const uffd_folio *folio, uint64_t pgoff) {
  (void)own, (void)folio, (void)pgoff;
}
TABLE(.put_folio = put)
