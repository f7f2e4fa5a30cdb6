/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layout of ABI 1, field by field. A change that moves a field does not compile. New fields go to
 * the end of a struct and get a line here; no line ever changes.
 */
#include "uffd_plugin.h"

#define LAYOUT(type, field, offset) \
  _Static_assert(offsetof(type, field) == (offset), #type "." #field " moved")
/* Sizes grow with minor versions; a struct is never shorter than it was in 1.0. */
#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type " changed its size")

_Static_assert(sizeof(void *) == 8, "ABI 1 is defined for 64-bit machines");

SIZE(uffd_parameter_info, 40);
LAYOUT(uffd_parameter_info, key, 0);
LAYOUT(uffd_parameter_info, help, 8);
LAYOUT(uffd_parameter_info, default_value, 16);
LAYOUT(uffd_parameter_info, kind, 24);
LAYOUT(uffd_parameter_info, reserved, 28);
LAYOUT(uffd_parameter_info, flags, 32);

SIZE(uffd_parameter, 16);
LAYOUT(uffd_parameter, key, 0);
LAYOUT(uffd_parameter, value, 8);

SIZE(uffd_host, 56);
LAYOUT(uffd_host, size, 0);
LAYOUT(uffd_host, abi, 4);
LAYOUT(uffd_host, instance, 8);
LAYOUT(uffd_host, log, 16);
LAYOUT(uffd_host, report_error, 24);
LAYOUT(uffd_host, staging_alloc, 32);
LAYOUT(uffd_host, staging_free, 40);
LAYOUT(uffd_host, kick, 48);

SIZE(uffd_traits, 72);
LAYOUT(uffd_traits, size, 0);
LAYOUT(uffd_traits, memory_kind, 4);
LAYOUT(uffd_traits, object_size, 8);
LAYOUT(uffd_traits, granule, 16);
LAYOUT(uffd_traits, backing, 24);
LAYOUT(uffd_traits, thread_model, 28);
LAYOUT(uffd_traits, may_block, 32);
LAYOUT(uffd_traits, file_role, 36);
LAYOUT(uffd_traits, file_key, 40);
LAYOUT(uffd_traits, hole, 48);
LAYOUT(uffd_traits, reserved, 52);
LAYOUT(uffd_traits, content_id_high, 56);
LAYOUT(uffd_traits, content_id_low, 64);

SIZE(uffd_region_query, 48);
LAYOUT(uffd_region_query, size, 0);
LAYOUT(uffd_region_query, memory_kind, 4);
LAYOUT(uffd_region_query, modes, 8);
LAYOUT(uffd_region_query, granule, 16);
LAYOUT(uffd_region_query, pgoff, 24);
LAYOUT(uffd_region_query, count, 32);
LAYOUT(uffd_region_query, flags, 40);

SIZE(uffd_folio_request, 64);
LAYOUT(uffd_folio_request, size, 0);
LAYOUT(uffd_folio_request, reserved, 4);
LAYOUT(uffd_folio_request, pgoff, 8);
LAYOUT(uffd_folio_request, count, 16);
LAYOUT(uffd_folio_request, granule, 24);
LAYOUT(uffd_folio_request, access, 32);
LAYOUT(uffd_folio_request, ticket, 40);
LAYOUT(uffd_folio_request, staging, 48);
LAYOUT(uffd_folio_request, staging_length, 56);

SIZE(uffd_folio, 48);
LAYOUT(uffd_folio, size, 0);
LAYOUT(uffd_folio, kind, 4);
LAYOUT(uffd_folio, count, 8);
LAYOUT(uffd_folio, memory, 16);
LAYOUT(uffd_folio, length, 24);
LAYOUT(uffd_folio, residence, 32);
LAYOUT(uffd_folio, reserved, 36);
LAYOUT(uffd_folio, cookie, 40);

SIZE(uffd_extent, 24);
LAYOUT(uffd_extent, pgoff, 0);
LAYOUT(uffd_extent, count, 8);
LAYOUT(uffd_extent, is_zero, 16);
LAYOUT(uffd_extent, reserved, 20);

SIZE(uffd_provider, 224);
LAYOUT(uffd_provider, size, 0);
LAYOUT(uffd_provider, abi, 4);
LAYOUT(uffd_provider, requires_minor, 8);
LAYOUT(uffd_provider, thread_model, 12);
LAYOUT(uffd_provider, operations, 16);
LAYOUT(uffd_provider, modes, 24);
LAYOUT(uffd_provider, memory_kinds, 32);
LAYOUT(uffd_provider, granules, 40);
LAYOUT(uffd_provider, behaviours, 48);
LAYOUT(uffd_provider, name, 56);
LAYOUT(uffd_provider, version, 64);
LAYOUT(uffd_provider, summary, 72);
LAYOUT(uffd_provider, parameters, 80);
LAYOUT(uffd_provider, parameter_count, 88);
LAYOUT(uffd_provider, parameter_stride, 96);
LAYOUT(uffd_provider, configure, 104);
LAYOUT(uffd_provider, config_complete, 112);
LAYOUT(uffd_provider, can_userfault, 120);
LAYOUT(uffd_provider, alloc_folio, 128);
LAYOUT(uffd_provider, put_folio, 136);
LAYOUT(uffd_provider, get_folio_noalloc, 144);
LAYOUT(uffd_provider, filemap_add, 152);
LAYOUT(uffd_provider, filemap_remove, 160);
LAYOUT(uffd_provider, discard, 168);
LAYOUT(uffd_provider, extents, 176);
LAYOUT(uffd_provider, will_need, 184);
LAYOUT(uffd_provider, writeback, 192);
LAYOUT(uffd_provider, flush, 200);
LAYOUT(uffd_provider, cancel, 208);
LAYOUT(uffd_provider, close, 216);
