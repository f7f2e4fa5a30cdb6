/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest provider of ABI 1.0, and tables like those that older and newer compilers would make of
 * it: the macros say which. Compiled against the frozen header, once per case.
 */
#include <string.h>
#include <uffd_plugin.h>

#ifndef SIZE
#define SIZE sizeof table
#endif
#ifndef TABLE_ABI
#define TABLE_ABI UFFD_ABI
#endif
#ifndef REQUIRES
#define REQUIRES 0
#endif
#ifndef UNKNOWN_BITS /* of every set of bits in the table */
#define UNKNOWN_BITS 0
#endif
#ifndef ENTRY
#define ENTRY uffd_provider_entry_v1
#endif
#ifndef ANSWER
#define ANSWER &table.known
#endif

struct uffd_instance { char unused; };
static uffd_instance everybody;

static uffd_status configure(const uffd_host *host, const uffd_parameter *parameters,
                             uint64_t count, uffd_instance **out) {
  (void)host, (void)parameters, (void)count;
  *out = &everybody;
  return UFFD_STATUS_OK;
}

static uffd_status config_complete(uffd_instance *self, uffd_traits *traits) {
  (void)self;
  traits->object_size = 16 * UFFD_GRANULE_4K;
  traits->granule = UFFD_GRANULE_4K;
  traits->memory_kind = UFFD_MEMORY_ANON;
  return UFFD_STATUS_OK;
}

static uffd_status alloc_folio(uffd_instance *self, const uffd_folio_request *request,
                               uffd_folio *folio) {
  (void)self;
  if (request->pgoff >= 16) return UFFD_STATUS_OUT_OF_RANGE;
  memset(request->staging, (int)request->pgoff + 1, request->granule);
  folio->kind = UFFD_FOLIO_STAGED;
  folio->count = 1;
  return UFFD_STATUS_OK;
}

static void close_instance(uffd_instance *self) { (void)self; }

/* What a later minor adds behind the fields that are known: here it is anything but zero. */
struct later_parameter {
  uffd_parameter_info known;
  uint64_t later[3];
};

static const struct later_parameter parameters[] = {
    {{.key = "first", .kind = UFFD_PARAMETER_NUMBER}, {1, 2, 3}},
    {{.key = "second", .kind = UFFD_PARAMETER_SIZE, .help = "more"}, {4, 5, 6}},
};

struct later_provider {
  uffd_provider known;
  uint64_t later[8];
};

static const struct later_provider table = {
    .known = {.size = SIZE, .abi = TABLE_ABI, .requires_minor = REQUIRES,
              .thread_model = UFFD_THREADS_PARALLEL,
              .operations = UFFD_OP_ALLOC | (UNKNOWN_BITS),
              .modes = UFFD_MODE_MISSING | (UNKNOWN_BITS),
              .memory_kinds = UFFD_KINDS_ANON | (UNKNOWN_BITS),
              .granules = UFFD_GRANULE_4K | (UNKNOWN_BITS), .behaviours = (UNKNOWN_BITS),
              .name = "tables", .version = "1.0", .summary = "a table of another time",
              .parameters = &parameters[0].known, .parameter_count = 2,
              .parameter_stride = sizeof parameters[0], .configure = configure,
              .config_complete = config_complete, .alloc_folio = alloc_folio,
              .close = close_instance},
    .later = {1, 2, 3, 4, 5, 6, 7, 8},
};

UFFD_EXPORT const uffd_provider *ENTRY(void);
UFFD_EXPORT const uffd_provider *ENTRY(void) {
  (void)table;
  return ANSWER;
}
