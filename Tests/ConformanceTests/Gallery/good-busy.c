/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps every rule. With: size=100000 delay=2000 */
#include "base.h"
TABLE()
