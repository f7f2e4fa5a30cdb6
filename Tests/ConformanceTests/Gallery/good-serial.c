/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps every rule. With: size=100000 */
#include "base.h"

/* SERIAL, and ends the process where a hook runs on another thread than the first, or in another hook. */
static _Atomic pthread_t owner;
static _Atomic int inside;

static void enter(void) {
  pthread_t nobody = 0;
  atomic_compare_exchange_strong(&owner, &nobody, pthread_self());
  if (owner != pthread_self() || atomic_fetch_add(&inside, 1)) abort();
}
static void leave(void) { atomic_fetch_sub(&inside, 1); }

static uffd_status configure(const uffd_host *host, const uffd_parameter *parameters, uint64_t count,
                             uffd_instance **instance) {
  enter();
  uffd_status status = base_configure(host, parameters, count, instance);
  leave();
  return status;
}
static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  enter();
  uffd_status status = base_alloc(own, request, folio);
  leave();
  return status;
}
static void put(uffd_instance *own, const uffd_folio *folio, uint64_t pgoff) {
  enter();
  base_put(own, folio, pgoff);
  leave();
}
static uffd_status lookup(uffd_instance *own, uint64_t pgoff, uint64_t ticket) {
  enter();
  uffd_status status = base_lookup(own, pgoff, ticket);
  leave();
  return status;
}
static uffd_status add(uffd_instance *own, uint64_t pgoff, uint64_t count) {
  enter();
  uffd_status status = base_add(own, pgoff, count);
  leave();
  return status;
}
static void take(uffd_instance *own, uint64_t pgoff, uint64_t count) {
  enter();
  base_remove(own, pgoff, count);
  leave();
}
static void end(uffd_instance *own) {
  enter();
  base_close(own);
  leave();
}
TABLE(.thread_model = UFFD_THREADS_SERIAL, .configure = configure, .alloc_folio = alloc, .put_folio = put,
      .get_folio_noalloc = lookup, .filemap_add = add, .filemap_remove = take, .discard = take, .close = end)
