/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A provider that is right in everything. Each file of the gallery includes it and changes one thing: what
 * it defines with GALLERY_PROVIDER is laid over the defaults. Compiled by tests, loaded by uffdhost.
 *
 *   -DMODEL=UFFD_THREADS_...   thread model of the table (default: PARALLEL)
 *   -DBLOCKS=1                 the hooks may wait, and run on workers
 *   -DSHMEM=1                  content goes into a shmem backing; the filemap hooks are there
 *
 * The object has 4 granules of 4 KiB; every byte of granule n is n + 1.
 */
#include "uffd_plugin.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__clang__)
#pragma clang diagnostic ignored "-Winitializer-overrides"
#elif defined(__GNUC__)
#pragma GCC diagnostic ignored "-Woverride-init"
#endif

#ifndef MODEL
#define MODEL UFFD_THREADS_PARALLEL
#endif
#ifndef BLOCKS
#define BLOCKS 0
#endif
#ifndef SHMEM
#define SHMEM 0
#endif
#ifndef GRANULES
#define GRANULES 4
#endif

struct uffd_instance {
  const uffd_host *host;
  atomic_int held[GRANULES]; /* the filemap: 1 for a granule that is in it */
  atomic_int asked[GRANULES];
};

static inline void gallery_fill(const uffd_folio_request *request, uffd_folio *folio) {
  memset(request->staging, (int)request->pgoff + 1, request->granule);
  folio->kind = UFFD_FOLIO_STAGED;
  folio->count = 1;
}

static inline void gallery_say(uffd_instance *instance, const char *text) {
  instance->host->log(instance->host->instance, UFFD_LOG_INFO, text, strlen(text));
}

static inline uffd_status gallery_configure(const uffd_host *host, const uffd_parameter *parameters,
                                            uint64_t count, uffd_instance **instance) {
  (void)parameters;
  (void)count;
  *instance = calloc(1, sizeof **instance);
  (*instance)->host = host;
  return UFFD_STATUS_OK;
}

static inline uffd_status gallery_complete(uffd_instance *instance, uffd_traits *traits) {
  (void)instance;
  traits->object_size = GRANULES * 4096;
  traits->granule = 4096;
  traits->memory_kind = SHMEM ? UFFD_MEMORY_SHMEM : UFFD_MEMORY_ANON;
  traits->backing = SHMEM ? UFFD_BACKING_HOST : UFFD_BACKING_NONE;
  return UFFD_STATUS_OK;
}

static inline uffd_status gallery_alloc(uffd_instance *instance, const uffd_folio_request *request,
                                        uffd_folio *folio) {
  (void)instance;
  gallery_fill(request, folio);
  return UFFD_STATUS_OK;
}

static inline uffd_status gallery_lookup(uffd_instance *instance, uint64_t pgoff, uint64_t ticket) {
  (void)ticket;
  return instance->held[pgoff] ? UFFD_STATUS_OK : UFFD_STATUS_ABSENT;
}

static inline uffd_status gallery_add(uffd_instance *instance, uint64_t pgoff, uint64_t count) {
  while (count--) instance->held[pgoff + count]++;
  return UFFD_STATUS_OK;
}

static inline void gallery_remove(uffd_instance *instance, uint64_t pgoff, uint64_t count) {
  while (count--) instance->held[pgoff + count]--;
}

static inline void gallery_close(uffd_instance *instance) { free(instance); }

#define GALLERY_DEFAULTS \
  .size = sizeof(uffd_provider), .abi = UFFD_ABI, .thread_model = MODEL, \
  .operations = UFFD_OP_ALLOC | (SHMEM ? UFFD_OP_LOOKUP | UFFD_OP_FILEMAP : 0), \
  .modes = UFFD_MODE_MISSING | (SHMEM ? UFFD_MODE_MINOR : 0), \
  .memory_kinds = SHMEM ? UFFD_KINDS_SHMEM : UFFD_KINDS_ANON, .granules = UFFD_GRANULE_4K, \
  .behaviours = BLOCKS ? UFFD_BEHAVIOUR_BLOCKS : 0, .name = "gallery", .version = "1", \
  .summary = "a piece of the gallery", .configure = gallery_configure, \
  .config_complete = gallery_complete, .alloc_folio = gallery_alloc, \
  .get_folio_noalloc = SHMEM ? gallery_lookup : NULL, .filemap_add = SHMEM ? gallery_add : NULL, \
  .filemap_remove = SHMEM ? gallery_remove : NULL, .close = gallery_close

/* The table: the defaults, and over them what differs. */
#define GALLERY_PROVIDER(...) \
  static const uffd_provider gallery_table = {GALLERY_DEFAULTS, __VA_ARGS__}; \
  UFFD_REGISTER_PROVIDER(gallery_table)
