/* SPDX-License-Identifier: Apache-2.0 */
/* An entry function that returns something else: -DLIE=NULL, or a library without the entry function of this
   ABI: -Duffd_provider_entry_v1=another_name. */
#include "gallery.h"

#include <sys/mman.h>

static const uffd_provider table = {GALLERY_DEFAULTS};

/* Tables at the very end of readable memory, of which only the first `bytes` can be read. */
__attribute__((unused)) static const uffd_provider *cut_off(unsigned long bytes) {
  char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(pages + 4096, 4096, PROT_NONE);
  memcpy(pages + 4096 - bytes, &table, bytes);
  return (const uffd_provider *)(pages + 4096 - bytes);
}

/* A table as a newer provider has it: more fields than this ABI knows. */
__attribute__((unused)) static const uffd_provider *longer(void) {
  static struct {
    uffd_provider known;
    void (*unknown[8])(void);
  } newer = {.known = {GALLERY_DEFAULTS}};
  newer.known.size = sizeof newer;
  for (int i = 0; i < 8; i++) newer.unknown[i] = abort;
  return &newer.known;
}

const uffd_provider *uffd_provider_entry_v1(void) { return LIE; }
