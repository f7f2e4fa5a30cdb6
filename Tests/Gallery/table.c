/* SPDX-License-Identifier: Apache-2.0 */
/* A table with one wrong field: -DLIE='.abi = 0x20000u'. The hooks are at hand for a lie to name them. */
#include "gallery.h"

#ifndef CAN
#define CAN return 1
#endif

static inline uint32_t can(uffd_instance *instance, const uffd_region_query *query, const char **reason) {
  (void)instance, (void)query, (void)reason;
  CAN;
}
static inline void put(uffd_instance *instance, const uffd_folio *folio, uint64_t pgoff) {
  (void)instance, (void)folio, (void)pgoff;
}
static inline void hint(uffd_instance *instance, uint64_t pgoff, uint64_t count) {
  (void)instance, (void)pgoff, (void)count;
}
static inline uffd_status extents(uffd_instance *instance, uint64_t pgoff, uint64_t count,
                                  uffd_extent *list, uint64_t room, uint64_t stride, uint64_t *filled) {
  (void)instance, (void)pgoff, (void)count, (void)list, (void)room, (void)stride, (void)filled;
  return UFFD_STATUS_IO_ERROR;
}
static inline uffd_status writeback(uffd_instance *instance, uint64_t pgoff, uint64_t count,
                                    const void *bytes, uint64_t length) {
  (void)instance, (void)pgoff, (void)count, (void)bytes, (void)length;
  return UFFD_STATUS_OK;
}
static inline uffd_status flush(uffd_instance *instance) {
  (void)instance;
  return UFFD_STATUS_OK;
}
static inline void cancel(uffd_instance *instance, uint64_t ticket) { (void)instance, (void)ticket; }

/* Parameter lists for lies about them. */
__attribute__((unused)) static const uffd_parameter_info good_list[] = {
    {.key = "number", .kind = UFFD_PARAMETER_NUMBER}, {.key = "text", .kind = UFFD_PARAMETER_STRING}};
__attribute__((unused)) static const uffd_parameter_info twice[] = {
    {.key = "text", .kind = UFFD_PARAMETER_STRING}, {.key = "text", .kind = UFFD_PARAMETER_STRING}};
__attribute__((unused)) static const uffd_parameter_info no_key[] = {{.kind = UFFD_PARAMETER_STRING}};
__attribute__((unused)) static const uffd_parameter_info bad_key[] = {
    {.key = "9 lives", .kind = UFFD_PARAMETER_STRING}};
__attribute__((unused)) static const uffd_parameter_info wild_key[] = {
    {.key = (const char *)64, .kind = UFFD_PARAMETER_STRING}};
__attribute__((unused)) static const uffd_parameter_info odd_kind[] = {{.key = "text", .kind = 77}};
#define LIST(list, number) \
  .parameters = list, .parameter_count = number, .parameter_stride = sizeof(uffd_parameter_info)

GALLERY_PROVIDER(LIE)
