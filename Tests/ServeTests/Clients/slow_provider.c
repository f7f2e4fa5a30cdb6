/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A provider whose source is far away, and partly broken. Its bytes are those of pattern=SEED.
 *
 *   seed=N size=BYTES        the object
 *   granule=BYTES            4096, or 2097152: then its memory is hugetlb
 *   delay=MICROSECONDS       before each answer
 *   bad=FIRST bad-count=N    granules that cannot be read
 *   gone=1                   bad ones are gone for good: nobody asks again
 *   hang=FIRST hang-count=N  granules whose answer never comes
 */
#include "uffd_plugin.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pattern.h"

struct uffd_instance {
  uint64_t seed, size, granule, delay, bad, bad_count, gone, hang, hang_count;
  char *added; /* the filemap: one byte for each granule */
};

static uint64_t number(const char *text) {
  char *rest;
  uint64_t value = strtoull(text, &rest, 0);
  if (*rest == 'K') return value << 10;
  if (*rest == 'M') return value << 20;
  return *rest == 'G' ? value << 30 : value;
}

static const uffd_parameter_info parameters[] = {
    {.key = "seed", .kind = UFFD_PARAMETER_NUMBER},      {.key = "size", .kind = UFFD_PARAMETER_SIZE},
    {.key = "granule", .kind = UFFD_PARAMETER_SIZE},     {.key = "delay", .kind = UFFD_PARAMETER_NUMBER},
    {.key = "bad", .kind = UFFD_PARAMETER_NUMBER},       {.key = "bad-count", .kind = UFFD_PARAMETER_NUMBER},
    {.key = "gone", .kind = UFFD_PARAMETER_NUMBER},      {.key = "hang", .kind = UFFD_PARAMETER_NUMBER},
    {.key = "hang-count", .kind = UFFD_PARAMETER_NUMBER}};

static uffd_status configure(const uffd_host *host, const uffd_parameter *given, uint64_t count,
                             uffd_instance **out) {
  uffd_instance *self = malloc(sizeof *self);
  (void)host;
  if (!self) return UFFD_STATUS_NO_MEMORY;
  *self = (uffd_instance){.seed = 1, .size = 16 << 20, .granule = 4096};
  uint64_t *const fields[] = {&self->seed,      &self->size, &self->granule, &self->delay,     &self->bad,
                              &self->bad_count, &self->gone, &self->hang,    &self->hang_count};
  for (uint64_t i = 0; i < count; i++)
    for (uint64_t j = 0; j < sizeof fields / sizeof *fields; j++)
      if (!strcmp(given[i].key, parameters[j].key)) *fields[j] = number(given[i].value);
  self->added = calloc(1, self->size / self->granule + 1);
  *out = self;
  return self->added ? UFFD_STATUS_OK : UFFD_STATUS_NO_MEMORY;
}

static uffd_status config_complete(uffd_instance *self, uffd_traits *traits) {
  traits->memory_kind = self->granule == 4096 ? UFFD_MEMORY_ANON : UFFD_MEMORY_HUGETLB;
  traits->object_size = self->size;
  traits->granule = self->granule;
  traits->backing = self->granule == 4096 ? UFFD_BACKING_NONE : UFFD_BACKING_HOST;
  return UFFD_STATUS_OK;
}

static uffd_status alloc_folio(uffd_instance *self, const uffd_folio_request *request, uffd_folio *folio) {
  if (request->pgoff - self->hang < self->hang_count)
    for (;;) pause();
  if (self->delay) usleep((useconds_t)self->delay);
  if (request->pgoff - self->bad < self->bad_count) return self->gone ? UFFD_STATUS_GONE : UFFD_STATUS_IO_ERROR;
  /* One granule at a time: as slow as it can be, and nothing is said about the next one. */
  uint64_t offset = request->pgoff * request->granule;
  pattern_fill(request->staging, request->granule, self->seed, self->size, offset);
  folio->kind = UFFD_FOLIO_STAGED;
  folio->count = 1;
  return UFFD_STATUS_OK;
}

static uffd_status get_folio_noalloc(uffd_instance *self, uint64_t pgoff, uint64_t ticket) {
  (void)ticket;
  return __atomic_load_n(&self->added[pgoff], __ATOMIC_ACQUIRE) ? UFFD_STATUS_OK : UFFD_STATUS_ABSENT;
}

static uffd_status filemap_add(uffd_instance *self, uint64_t pgoff, uint64_t count) {
  while (count-- > 0) __atomic_store_n(&self->added[pgoff + count], 1, __ATOMIC_RELEASE);
  return UFFD_STATUS_OK;
}

static void filemap_remove(uffd_instance *self, uint64_t pgoff, uint64_t count) {
  while (count-- > 0) __atomic_store_n(&self->added[pgoff + count], 0, __ATOMIC_RELEASE);
}

static void close_instance(uffd_instance *self) {
  free(self->added);
  free(self);
}

static const uffd_provider table = {
    .size = sizeof table,
    .abi = UFFD_ABI,
    .thread_model = UFFD_THREADS_PARALLEL,
    .operations = UFFD_OP_ALLOC | UFFD_OP_LOOKUP | UFFD_OP_FILEMAP | UFFD_OP_DISCARD,
    .modes = UFFD_MODE_MISSING | UFFD_MODE_MINOR,
    .memory_kinds = UFFD_KINDS_ANON | UFFD_KINDS_SHMEM | UFFD_KINDS_HUGETLB,
    .granules = UFFD_GRANULE_4K | UFFD_GRANULE_2M,
    .behaviours = UFFD_BEHAVIOUR_BLOCKS,
    .name = "slow",
    .version = "1",
    .summary = "far away, and partly broken",
    .parameters = parameters,
    .parameter_count = sizeof parameters / sizeof *parameters,
    .parameter_stride = sizeof *parameters,
    .configure = configure,
    .config_complete = config_complete,
    .alloc_folio = alloc_folio,
    .get_folio_noalloc = get_folio_noalloc,
    .filemap_add = filemap_add,
    .filemap_remove = filemap_remove,
    .discard = filemap_remove,
    .close = close_instance,
};

UFFD_REGISTER_PROVIDER(table)
