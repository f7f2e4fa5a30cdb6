/* SPDX-License-Identifier: Apache-2.0 */
/* A right provider whose structs are filled by position: it does not compile, or does not serve, once
   somebody reorders fields or puts one in the middle. */
#include "uffd_plugin.h"

#include <string.h>

struct uffd_instance {
  int unused;
} the_instance;

static uffd_status configure(const uffd_host *host, const uffd_parameter *parameters, uint64_t count,
                             uffd_instance **instance) {
  (void)host, (void)parameters, (void)count;
  *instance = &the_instance;
  return UFFD_STATUS_OK;
}
static uffd_status complete(uffd_instance *instance, uffd_traits *traits) {
  const uffd_traits mine = {sizeof(uffd_traits), UFFD_MEMORY_ANON, 5 * 4096, 4096, UFFD_BACKING_NONE,
                            UFFD_THREADS_UNCHANGED, 0, UFFD_FILE_UNUSED, NULL, UFFD_HOLE_REFUSE, 0, 7, 9};
  (void)instance;
  *traits = mine;
  return UFFD_STATUS_OK;
}
static uint32_t can(uffd_instance *instance, const uffd_region_query *query, const char **reason) {
  const uffd_region_query expected = {sizeof(uffd_region_query), UFFD_MEMORY_ANON, UFFD_MODE_MISSING, 4096,
                                      0, 5, 0};
  (void)instance, (void)reason;
  return memcmp(query, &expected, sizeof expected) == 0;
}
static uffd_status alloc(uffd_instance *instance, const uffd_folio_request *request, uffd_folio *folio) {
  const uffd_folio answer = {sizeof(uffd_folio), UFFD_FOLIO_STAGED, 1, NULL, 0, UFFD_RESIDENCE_RESIDENT, 0, 0};
  (void)instance;
  memset(request->staging, (int)request->pgoff, request->granule);
  *folio = answer;
  return UFFD_STATUS_OK;
}
static void closed(uffd_instance *instance) { (void)instance; }

static const uffd_parameter_info list[] = {
    {"colour", "does nothing", "red", UFFD_PARAMETER_STRING, 0, UFFD_PARAMETER_REPEATABLE}};

static const uffd_provider table = {
    sizeof(uffd_provider), UFFD_ABI, 0, UFFD_THREADS_PARALLEL, UFFD_OP_ALLOC | UFFD_OP_PREDICATE,
    UFFD_MODE_MISSING, UFFD_KINDS_ANON, UFFD_GRANULE_4K, 0, "positional", "1.2", "by position", list, 1,
    sizeof(uffd_parameter_info), configure, complete, can, alloc, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, closed};
UFFD_REGISTER_PROVIDER(table)
