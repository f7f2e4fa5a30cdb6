/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps every rule. With: size=200000 seed=4 label=x */
#include "base.h"
TABLE()
