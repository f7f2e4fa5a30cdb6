/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every hook takes 2 ms and notes who called it. Says when an instance closes: on how many threads all hooks
 * of the library ran so far, the most hooks at one time in this instance, and in the library.
 */
#undef GRANULES
#define GRANULES 64
#undef SHMEM
#define SHMEM 1
#include "gallery.h"

#include <sys/syscall.h>
#include <unistd.h>

static atomic_long seen[64];
static atomic_int inside_all, most_all;
static atomic_int inside[2], most[2], instances;

static void raise_to(atomic_int *most, int value) {
  int before = *most;
  while (before < value && !atomic_compare_exchange_weak(most, &before, value)) {}
}

static int number(uffd_instance *instance) { return instance ? instance->asked[0] : 1; }

static void enter(uffd_instance *instance) {
  long self = syscall(SYS_gettid), empty = 0;
  for (int i = 0; i < 64 && seen[i] != self; i++, empty = 0)
    if (atomic_compare_exchange_strong(&seen[i], &empty, self)) break;
  raise_to(&most[number(instance)], ++inside[number(instance)]);
  raise_to(&most_all, ++inside_all);
  usleep(2000);
  inside_all--;
  inside[number(instance)]--;
}

static uffd_status configure(const uffd_host *host, const uffd_parameter *list, uint64_t count,
                             uffd_instance **instance) {
  gallery_configure(host, list, count, instance);
  (*instance)->asked[0] = instances++ & 1;
  enter(*instance);
  return UFFD_STATUS_OK;
}
static uffd_status complete(uffd_instance *instance, uffd_traits *traits) {
  enter(instance);
  return gallery_complete(instance, traits);
}
static uffd_status alloc(uffd_instance *instance, const uffd_folio_request *request, uffd_folio *folio) {
  enter(instance);
  return gallery_alloc(instance, request, folio);
}
static uffd_status lookup(uffd_instance *instance, uint64_t pgoff, uint64_t ticket) {
  enter(instance);
  return gallery_lookup(instance, pgoff, ticket);
}
static uffd_status add(uffd_instance *instance, uint64_t pgoff, uint64_t count) {
  enter(instance);
  return gallery_add(instance, pgoff, count);
}
static uint32_t can(uffd_instance *instance, const uffd_region_query *query, const char **reason) {
  (void)query, (void)reason;
  enter(instance);
  return 1;
}
static void closed(uffd_instance *instance) {
  char text[80];
  int threads = 0;
  enter(instance);
  for (int i = 0; i < 64; i++) threads += seen[i] != 0;
  snprintf(text, sizeof text, "threads=%d instance=%d library=%d", threads, most[number(instance)],
           most_all);
  gallery_say(instance, text);
  gallery_close(instance);
}

GALLERY_PROVIDER(.configure = configure, .config_complete = complete, .alloc_folio = alloc,
                 .get_folio_noalloc = lookup, .filemap_add = add, .can_userfault = can, .close = closed,
                 .operations = UFFD_OP_ALLOC | UFFD_OP_LOOKUP | UFFD_OP_FILEMAP | UFFD_OP_PREDICATE)
