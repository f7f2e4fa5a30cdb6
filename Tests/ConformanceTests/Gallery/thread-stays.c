/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: life.threads. A thread outlives its instance.
   With: size=200000 seed=4 label=x */
#include "base.h"

static void *sleeper(void *argument) {
  (void)argument;
  for (;;) pause();
  return NULL;
}
static uffd_status complete(uffd_instance *own, uffd_traits *traits) {
  pthread_t thread;
  pthread_create(&thread, NULL, sleeper, NULL);
  return base_complete(own, traits);
}
TABLE(.config_complete = complete)
