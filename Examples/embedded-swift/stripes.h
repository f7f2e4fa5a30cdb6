/* SPDX-License-Identifier: Apache-2.0 */
/* What Embedded Swift needs of C: the contract, and malloc, free and strings of libc. */
#include <stdlib.h>
#include <string.h>
#include <uffd_plugin.h>
