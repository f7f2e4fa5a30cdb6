/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps every rule. With: size=60000 */
#include "base.h"

/* Slow, and says so. */
static uffd_status slow(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  usleep(1000);
  return base_alloc(own, request, folio);
}
TABLE(.alloc_folio = slow, .behaviours = UFFD_BEHAVIOUR_BLOCKS)
