/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: leak.open-close. The close frees too little.
   With: size=200000 seed=4 label=x */
#include "base.h"

static void end(uffd_instance *own) {
  void *volatile lost = malloc(64);
  (void)lost;
  base_close(own);
}
TABLE(.close = end)
