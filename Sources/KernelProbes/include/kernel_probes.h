/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel behaviours that uffdhost relies on, each as a small experiment. `uffdhost doctor --deep`
 * runs them; docs/kernel.md explains each one under the same id.
 *
 * A probe runs in a child process with an alarm, so that it can neither hang nor crash the caller,
 * and leaves nothing behind: no file, no mount, no huge page.
 */
#ifndef KERNEL_PROBES_H
#define KERNEL_PROBES_H

#include <stdint.h>

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wnullability-completeness"

enum : int32_t {
  KERNEL_PROBE_HOLDS = 0,
  KERNEL_PROBE_DIFFERS = 1,
  KERNEL_PROBE_NOT_APPLICABLE = 2,
};

struct kernel_probe {
  const char *id;
  /* One sentence, present tense, without a full stop. */
  const char *expectation;
  /* Returns when the expectation holds; otherwise ends the child by a word of probe_words.h. */
  void (*body)(void);
};

struct kernel_probe_result {
  int32_t outcome;
  /* What was seen instead, or why the probe does not apply; empty when it holds. */
  char detail[256];
};

/* All probes, in the order of docs/kernel.md. */
uint64_t kernel_probe_count(void);
const struct kernel_probe *kernel_probe_at(uint64_t index);

/*
 * Runs one probe. `hidden_features` are UFFDIO_API bits to treat as absent; `seconds` is the child's
 * alarm. Blocks for at most that time; any thread may call it.
 */
void kernel_probe_run(const struct kernel_probe *probe, uint64_t hidden_features, uint32_t seconds,
                      struct kernel_probe_result *result);
const char *kernel_probe_detail(const struct kernel_probe_result *result);

#pragma clang diagnostic pop

#endif /* KERNEL_PROBES_H */
