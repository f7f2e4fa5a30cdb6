/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: lend.declared. LENT without the capability.
   With: size=200000 seed=4 label=x */
#include "base.h"

TABLE(.operations = base_operations & ~UFFD_OP_LEND, .put_folio = NULL)
