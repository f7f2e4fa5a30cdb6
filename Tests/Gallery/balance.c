/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps the books of a provider that loans, over a source with a torn page (granule 5 of each 8 cannot be
 * read), a filemap that refuses now and then and a source that is short of memory now and then. Says at the
 * end what was lent and put back, added and removed, and what its filemap holds.
 */
#undef GRANULES
#define GRANULES 64
#undef SHMEM
#define SHMEM 1
#include "gallery.h"

#include <sys/mman.h>

static char *source;
static atomic_int loans, returns, doubles, added, removed, calls;
static atomic_char open_cookies[1 << 16];

static uffd_status alloc(uffd_instance *instance, const uffd_folio_request *request, uffd_folio *folio) {
  (void)instance;
  if (++calls % 7 == 0) return UFFD_STATUS_NO_MEMORY;
  folio->kind = UFFD_FOLIO_LENT;
  folio->count = request->count;
  folio->memory = source + request->pgoff * 4096;
  folio->length = request->count * 4096;
  folio->residence = RESIDENCE;
  folio->cookie = (uint64_t)++loans & 0xffff;
  open_cookies[folio->cookie] = 1;
  return UFFD_STATUS_OK;
}

static void put(uffd_instance *instance, const uffd_folio *folio, uint64_t pgoff) {
  (void)instance;
  returns++;
  if (folio->memory != source + pgoff * 4096) doubles++;
  if (atomic_exchange(&open_cookies[folio->cookie & 0xffff], 0) != 1) doubles++;
}

static uffd_status add(uffd_instance *instance, uint64_t pgoff, uint64_t count) {
  if (++calls % 11 == 0) return UFFD_STATUS_NO_MEMORY;
  added += (int)count;
  return gallery_add(instance, pgoff, count);
}

static void take(uffd_instance *instance, uint64_t pgoff, uint64_t count) {
  removed += (int)count;
  gallery_remove(instance, pgoff, count);
}

static uffd_status complete(uffd_instance *instance, uffd_traits *traits) {
  source = mmap(NULL, GRANULES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < GRANULES; i++) memset(source + i * 4096, i + 1, 4096);
  for (int i = 5; i < GRANULES; i += 8) mprotect(source + i * 4096, 4096, PROT_NONE);
  return gallery_complete(instance, traits);
}

static void closed(uffd_instance *instance) {
  char text[160];
  int held = 0, wrong = 0;
  for (int i = 0; i < GRANULES; i++) {
    held += instance->held[i] == 1;
    wrong += instance->held[i] < 0 || instance->held[i] > 1;
  }
  snprintf(text, sizeof text, "open=%d doubles=%d torn=%d balance=%d held=%d wrong=%d",
           loans - returns, doubles, instance->held[5], added - removed, held, wrong);
  gallery_say(instance, text);
  gallery_close(instance);
}

GALLERY_PROVIDER(.config_complete = complete, .alloc_folio = alloc, .put_folio = put, .filemap_add = add,
                 .filemap_remove = take, .close = closed,
                 .operations = UFFD_OP_ALLOC | UFFD_OP_LEND | UFFD_OP_LOOKUP | UFFD_OP_FILEMAP)
