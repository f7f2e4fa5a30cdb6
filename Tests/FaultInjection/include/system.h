/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of libc that answer what the kernel does not answer on demand: the tests' program has its own, in front of
 * libc's, and they pass on whatever no rule is for. One rule for the process, as in fault_injection.h.
 */
#ifndef TEST_SYSTEM_H
#define TEST_SYSTEM_H

#include <stdint.h>

/* The next `times` additions to an epoll answer `error`. */
void fault_inject_watches(uint64_t times, int32_t error);
/* So many of them are still to come. */
uint64_t fault_watches_left(void);

/* From now on preadv2(2) knows no RWF_NOWAIT of a userfaultfd, as before Linux 6.10. */
void fault_forget_nowait(void);
/* How often it was asked for since. */
uint64_t fault_nowaits(void);

#endif /* TEST_SYSTEM_H */
