/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every hook of ABI 1.0, with the signatures of 1.0: page N is filled with N + 1. Compiled against the
 * frozen header and against today's, so that a signature which changes does not compile.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uffd_plugin.h>

enum { PAGES = 64 };

struct uffd_instance {
  const uffd_host *host;
  atomic_bool filemap[PAGES];
};

static uffd_status configure(const uffd_host *host, const uffd_parameter *parameters,
                             uint64_t count, uffd_instance **out) {
  static const char line[] = "made for ABI 1.0";
  if (host->size < 56 || host->abi >> 16 != 1) return UFFD_STATUS_GONE;
  if (!UFFD_HAS(uffd_host, host, kick)) return UFFD_STATUS_GONE;
  if (count > 0 && strcmp(parameters[0].key, "word") != 0) return UFFD_STATUS_ABSENT;
  *out = calloc(1, sizeof **out);
  if (*out == NULL) return UFFD_STATUS_NO_MEMORY;
  (*out)->host = host;
  host->log(host->instance, UFFD_LOG_INFO, line, sizeof line - 1);
  return UFFD_STATUS_OK;
}

static uffd_status config_complete(uffd_instance *self, uffd_traits *traits) {
  (void)self;
  if (traits->size < 72) return UFFD_STATUS_GONE;
  traits->object_size = PAGES * UFFD_GRANULE_4K;
  traits->granule = UFFD_GRANULE_4K;
  traits->memory_kind = UFFD_MEMORY_SHMEM;
  traits->backing = UFFD_BACKING_HOST;
  return UFFD_STATUS_OK;
}

static uint32_t can_userfault(uffd_instance *self, const uffd_region_query *query,
                              const char **reason) {
  (void)self;
  if (query->size >= 48 && query->granule == UFFD_GRANULE_4K) return 1;
  *reason = "the granule is not 4096";
  return 0;
}

/* Odd pages are staged in memory of the host, even ones lent. */
static uffd_status alloc_folio(uffd_instance *self, const uffd_folio_request *request,
                               uffd_folio *folio) {
  if (request->size < 64 || folio->size < 48) return UFFD_STATUS_GONE;
  if (request->pgoff >= PAGES) return UFFD_STATUS_OUT_OF_RANGE;
  void *memory = NULL;
  folio->count = 1;
  if (request->pgoff % 2 == 1) {
    uffd_status status =
        self->host->staging_alloc(self->host->instance, request->granule, &memory);
    if (status != UFFD_STATUS_OK) return status;
    folio->kind = UFFD_FOLIO_STAGED;
  } else {
    memory = malloc(request->granule);
    if (memory == NULL) return UFFD_STATUS_NO_MEMORY;
    folio->kind = UFFD_FOLIO_LENT;
    folio->length = request->granule;
    folio->residence = UFFD_RESIDENCE_RESIDENT;
    folio->cookie = (uint64_t)(uintptr_t)memory;
  }
  memset(memory, (int)request->pgoff + 1, request->granule);
  folio->memory = memory;
  return UFFD_STATUS_OK;
}

static void put_folio(uffd_instance *self, const uffd_folio *folio, uint64_t pgoff) {
  (void)self, (void)pgoff;
  free((void *)(uintptr_t)folio->cookie);
}

static uffd_status get_folio_noalloc(uffd_instance *self, uint64_t pgoff, uint64_t ticket) {
  (void)ticket;
  if (pgoff >= PAGES) return UFFD_STATUS_OUT_OF_RANGE;
  return atomic_load(&self->filemap[pgoff]) ? UFFD_STATUS_OK : UFFD_STATUS_ABSENT;
}

static uffd_status filemap_add(uffd_instance *self, uint64_t pgoff, uint64_t count) {
  if (pgoff >= PAGES || count > PAGES - pgoff) return UFFD_STATUS_OUT_OF_RANGE;
  for (uint64_t i = 0; i < count; i++) atomic_store(&self->filemap[pgoff + i], 1);
  return UFFD_STATUS_OK;
}

static void filemap_remove(uffd_instance *self, uint64_t pgoff, uint64_t count) {
  for (uint64_t i = 0; i < count && pgoff + i < PAGES; i++)
    atomic_store(&self->filemap[pgoff + i], 0);
}

static void discard(uffd_instance *self, uint64_t pgoff, uint64_t count) {
  filemap_remove(self, pgoff, count);
}

static uffd_status extents(uffd_instance *self, uint64_t pgoff, uint64_t count, uffd_extent *first,
                           uint64_t capacity, uint64_t stride, uint64_t *filled) {
  (void)self, (void)stride;
  if (capacity == 0) return UFFD_STATUS_GONE;
  first->pgoff = pgoff;
  first->count = count;
  first->is_zero = 0;
  *filled = 1;
  return UFFD_STATUS_OK;
}

static void will_need(uffd_instance *self, uint64_t pgoff, uint64_t count) {
  (void)self, (void)pgoff, (void)count;
}

static uffd_status writeback(uffd_instance *self, uint64_t pgoff, uint64_t count,
                             const void *bytes, uint64_t length) {
  (void)self, (void)pgoff, (void)count, (void)bytes, (void)length;
  return UFFD_STATUS_IO_ERROR;
}

static uffd_status flush(uffd_instance *self) {
  (void)self;
  return UFFD_STATUS_OK;
}

static void cancel(uffd_instance *self, uint64_t ticket) { (void)self, (void)ticket; }

static void close_instance(uffd_instance *self) { free(self); }

static const uffd_parameter_info parameters[] = {
    {.key = "word", .kind = UFFD_PARAMETER_STRING, .help = "any", .default_value = "none"},
};

static const uffd_provider table = {
    .size = sizeof table, .abi = UFFD_ABI, .thread_model = UFFD_THREADS_PARALLEL,
    .operations = UFFD_OP_ALLOC | UFFD_OP_LEND | UFFD_OP_LOOKUP | UFFD_OP_FILEMAP |
                  UFFD_OP_DISCARD | UFFD_OP_EXTENTS | UFFD_OP_WILL_NEED | UFFD_OP_WRITEBACK |
                  UFFD_OP_FLUSH | UFFD_OP_CANCEL | UFFD_OP_PREDICATE,
    .modes = UFFD_MODE_MISSING | UFFD_MODE_MINOR, .memory_kinds = UFFD_KINDS_SHMEM,
    .granules = UFFD_GRANULE_4K, .name = "frozen-full", .version = "1.0",
    .summary = "every hook of ABI 1.0", .parameters = parameters, .parameter_count = 1,
    .parameter_stride = sizeof parameters[0], .configure = configure,
    .config_complete = config_complete, .can_userfault = can_userfault,
    .alloc_folio = alloc_folio, .put_folio = put_folio, .get_folio_noalloc = get_folio_noalloc,
    .filemap_add = filemap_add, .filemap_remove = filemap_remove, .discard = discard,
    .extents = extents, .will_need = will_need, .writeback = writeback, .flush = flush,
    .cancel = cancel, .close = close_instance,
};
UFFD_REGISTER_PROVIDER(table)
