/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: life.after-close. A service is called after close.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_host services;
static void *late(void *argument) {
  (void)argument;
  usleep(20000);
  services.kick(services.instance, 1);
  return NULL;
}
static void end(uffd_instance *own) {
  pthread_t thread;
  services = *own->host;
  base_close(own);
  pthread_create(&thread, NULL, late, NULL);
  pthread_detach(thread);
}
TABLE(.close = end)
