/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: alloc.late-staging. A thread fills staging after the answer.
   With: size=200000 seed=4 label=x */
#include "base.h"

static void *late(void *argument) {
  usleep(20000);
  *(volatile char *)argument = 1;
  return NULL;
}
static uffd_status alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  pthread_t thread;
  pthread_create(&thread, NULL, late, request->staging);
  pthread_detach(thread);
  return base_alloc(own, request, folio);
}
TABLE(.alloc_folio = alloc)
