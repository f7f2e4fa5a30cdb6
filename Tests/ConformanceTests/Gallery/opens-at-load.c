/* SPDX-License-Identifier: Apache-2.0 */
/* Breaks: table.quiet. A constructor opens a file.
   With: size=200000 seed=4 label=x */
#include "base.h"

__attribute__((constructor)) static void begin(void) { (void)!open("/dev/null", O_RDONLY | O_CLOEXEC); }
TABLE()
