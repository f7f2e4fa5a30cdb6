/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: kernel.granules. One of the granules it can be configured for is never filled.
   With: size=8M granule=4096 */
#include "base.h"

static const uffd_parameter_info parameters_of_two[] = {
    {"size", NULL, NULL, UFFD_PARAMETER_SIZE, 0, 0}, {"granule", NULL, NULL, UFFD_PARAMETER_SIZE, 0, 0}};

static uffd_status configure(const uffd_host *host, const uffd_parameter *parameters, uint64_t count,
                             uffd_instance **instance) {
  uint64_t given = granule_size;
  uffd_parameter others[8];
  uint64_t left = 0;
  for (uint64_t i = 0; i < count && left < 8; i++) {
    int ok;
    if (strcmp(parameters[i].key, "granule")) others[left++] = parameters[i];
    else given = number(parameters[i].value, &ok);
  }
  uffd_status status = base_configure(host, others, left, instance);
  if (status == UFFD_STATUS_OK) (*instance)->more = (void *)(uintptr_t)given;
  return status;
}
static uffd_status complete(uffd_instance *own, uffd_traits *traits) {
  uffd_status status = base_complete(own, traits);
  traits->granule = (uint64_t)(uintptr_t)own->more;
  if (traits->granule != granule_size) traits->memory_kind = UFFD_MEMORY_HUGETLB;
  return status;
}
TABLE(.configure = configure, .config_complete = complete, .can_userfault = NULL,
      .operations = base_operations & ~UFFD_OP_PREDICATE,
       .parameters = parameters_of_two, .parameter_count = 2,
      .memory_kinds = UFFD_KINDS_SHMEM | UFFD_KINDS_HUGETLB, .granules = UFFD_GRANULE_4K | UFFD_GRANULE_2M)
