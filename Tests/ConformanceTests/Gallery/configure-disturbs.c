/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: threads.open-close. While one instance is made, others answer wrongly.
   With: size=200000 seed=4 label=x */
#include "base.h"

static _Atomic int making;

static uffd_status configure(const uffd_host *host, const uffd_parameter *parameters, uint64_t count,
                             uffd_instance **instance) {
  making = 1;
  usleep(3000);
  uffd_status status = base_configure(host, parameters, count, instance);
  making = 0;
  return status;
}
static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  uffd_status status = base_alloc(own, request, folio);
  if (making && status == UFFD_STATUS_OK && folio->kind == UFFD_FOLIO_STAGED && !folio->memory)
    *(char *)request->staging ^= 1;
  return status;
}
TABLE(.configure = configure, .alloc_folio = alloc)
