/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: writeback.comes-back. What is written is dropped.
   With: size=200000 seed=4 label=x */
#include "base.h"

static uffd_status store(uffd_instance *own, uint64_t pgoff, uint64_t count, const void *bytes,
                         uint64_t length) {
  (void)own, (void)pgoff, (void)count, (void)bytes, (void)length;
  return UFFD_STATUS_OK;
}
TABLE(.writeback = store)
