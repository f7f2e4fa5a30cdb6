/* SPDX-License-Identifier: Apache-2.0 */
/* An alloc_folio that lies about granule 1 and is right about the others: -DLIE='return 77'. */
#include "gallery.h"

#include <sys/mman.h>

static char own[2 * 4096];

/* Something of ours that was mapped once and is gone. */
__attribute__((unused)) static const void *gone(void) {
  static void *page;
  if (!page) {
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page, 4096);
  }
  return page;
}

__attribute__((unused)) static uffd_status lend(uffd_folio *folio, const void *memory, uint64_t length,
                                                uint64_t count) {
  folio->kind = UFFD_FOLIO_LENT;
  folio->memory = memory;
  folio->length = length;
  folio->count = count;
  return UFFD_STATUS_OK;
}

__attribute__((unused)) static uffd_status answer(uffd_folio *folio, uffd_folio_kind kind, uint64_t count,
                                                  const void *memory) {
  folio->kind = kind;
  folio->count = count;
  folio->memory = memory;
  return UFFD_STATUS_OK;
}

static uffd_status alloc(uffd_instance *instance, const uffd_folio_request *request, uffd_folio *folio) {
  (void)instance, (void)own;
  if (request->pgoff == 1) { LIE; }
  gallery_fill(request, folio);
  return UFFD_STATUS_OK;
}

__attribute__((unused)) static void put(uffd_instance *instance, const uffd_folio *folio, uint64_t pgoff) {
  (void)folio;
  if (pgoff != 1) abort();
  gallery_say(instance, "put back");
}

#ifdef LENDS
GALLERY_PROVIDER(.alloc_folio = alloc, .put_folio = put, .operations = UFFD_OP_ALLOC | UFFD_OP_LEND)
#else
GALLERY_PROVIDER(.alloc_folio = alloc)
#endif
