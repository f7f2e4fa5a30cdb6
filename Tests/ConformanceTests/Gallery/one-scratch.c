/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: threads.content. Threads share a buffer.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  static unsigned char scratch[granule_size];
  uffd_status status = base_alloc(own, request, folio);
  if (status != UFFD_STATUS_OK || folio->kind != UFFD_FOLIO_STAGED || folio->memory) return status;
  memcpy(scratch, request->staging, granule_size);
  usleep(50);
  memcpy(request->staging, scratch, granule_size);
  return status;
}
TABLE(.alloc_folio = alloc)
