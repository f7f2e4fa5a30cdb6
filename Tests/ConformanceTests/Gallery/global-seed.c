/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: config.instances-apart. All instances have the settings of the last one.
   With: size=200000 seed=4 label=x */
#include "base.h"

static unsigned char *content;

static uffd_status configure(const uffd_host *host, const uffd_parameter *parameters, uint64_t count,
                             uffd_instance **instance) {
  uffd_status status = base_configure(host, parameters, count, instance);
  if (status == UFFD_STATUS_OK) content = (*instance)->data;
  return status;
}
static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  unsigned char *own_data = own->data;
  if (request->pgoff < 3) own->data = content;
  uffd_status status = base_alloc(own, request, folio);
  own->data = own_data;
  return status;
}
static void end(uffd_instance *own) {
  if (content == own->data) content = calloc(own->granules, granule_size);
  base_close(own);
}
TABLE(.configure = configure, .alloc_folio = alloc, .close = end)
