/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps every rule. With: size=200000 limit=20 */
#include "base.h"
TABLE()
