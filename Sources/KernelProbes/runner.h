/* SPDX-License-Identifier: Apache-2.0 */
/* What the runner tells the words. */
#ifndef PROBE_RUNNER_H
#define PROBE_RUNNER_H

#include <stdint.h>

/* UFFDIO_API bits that this probe has to treat as absent. */
uint64_t probe_hidden_features(void);

#endif /* PROBE_RUNNER_H */
