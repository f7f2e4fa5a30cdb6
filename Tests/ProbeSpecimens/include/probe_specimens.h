/* SPDX-License-Identifier: Apache-2.0 */
/* Probes that are wrong on purpose, by which the tests see what the runner makes of one. */
#ifndef PROBE_SPECIMENS_H
#define PROBE_SPECIMENS_H

#include "kernel_probes.h"

/* Claims that COPY may replace a present page. */
extern const struct kernel_probe probe_specimen_false;
/* Sleeps on a page that nobody serves. */
extern const struct kernel_probe probe_specimen_hangs;
/* Dies of a signal; ends without a word. */
extern const struct kernel_probe probe_specimen_crashes;
extern const struct kernel_probe probe_specimen_silent;

#endif /* PROBE_SPECIMENS_H */
