/* SPDX-License-Identifier: Apache-2.0 */
/* A filemap that goes wrong at granule 1: -DADD='...' in filemap_add, -DLOOKUP='...' in get_folio_noalloc.
   Says at the end how many granules its filemap still holds. */
#undef SHMEM
#define SHMEM 1
#include "gallery.h"

#ifndef ADD
#define ADD (void)0
#endif
#ifndef LOOKUP
#define LOOKUP (void)0
#endif

static uffd_status add(uffd_instance *instance, uint64_t pgoff, uint64_t count) {
  if (pgoff <= 1 && pgoff + count > 1) { ADD; }
  return gallery_add(instance, pgoff, count);
}

static uffd_status lookup(uffd_instance *instance, uint64_t pgoff, uint64_t ticket) {
  if (pgoff == 1) { LOOKUP; }
  return gallery_lookup(instance, pgoff, ticket);
}

static void closed(uffd_instance *instance) {
  int held = 0;
  char text[64];
  for (int i = 0; i < GRANULES; i++) held += instance->held[i];
  snprintf(text, sizeof text, "held=%d", held);
  gallery_say(instance, text);
  gallery_close(instance);
}

GALLERY_PROVIDER(.filemap_add = add, .get_folio_noalloc = lookup, .close = closed)
