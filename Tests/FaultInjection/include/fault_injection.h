/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session's call table that answers what the kernel does not answer on demand. Every call that no rule
 * is for goes to the kernel. One table for the process: its tests run in a process of their own.
 */
#ifndef FAULT_INJECTION_H
#define FAULT_INJECTION_H

#include "clinux.h"

#include <stdint.h>

enum fault_call : int32_t {
  FAULT_CALL_READ,
  FAULT_CALL_COPY,
  FAULT_CALL_ZERO,
  FAULT_CALL_CONTINUE,
  FAULT_CALL_POISON,
  FAULT_CALL_WAKE,
};
#define FAULT_CALL_COUNT 6

/* The table, for SessionTuning.calls. */
const struct clinux_uffd_ops *fault_injection_table(void);

/* The next `times` calls of `call` on ranges longer than `longer_than` answer -error and do nothing. */
void fault_inject(enum fault_call call, uint64_t times, int32_t error, uint64_t longer_than);
/* The next `times` calls that are longer than `bytes` do that many, and answer EAGAIN with the count. */
void fault_inject_partial(enum fault_call call, uint64_t times, uint64_t bytes);
/* The next `times` reads that bring a fault bring a REMOVE of its page behind it. */
void fault_inject_remove(uint64_t times);
/* COPY waits so long, busily, before it calls the kernel. */
void fault_delay_copy(uint64_t nanoseconds);

/* Calls so far, and those that a rule answered. */
uint64_t fault_calls(enum fault_call call);
uint64_t fault_answered(enum fault_call call);

#endif /* FAULT_INJECTION_H */
