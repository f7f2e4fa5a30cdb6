/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guarded access: a thread that verifies served memory must survive a poisoned page, which the kernel
 * reports as SIGBUS to the access itself. Swift cannot leave a signal handler by siglongjmp, C can.
 */
#include "clinux.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>

static _Thread_local sigjmp_buf resume;
static _Thread_local volatile sig_atomic_t guarded;

static void on_bad_access(int number) {
  if (guarded) siglongjmp(resume, number);
  /* Not ours: the default action, as if no handler had been there. */
  signal(number, SIG_DFL);
  raise(number);
}

void clinux_install_access_guard(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_bad_access;
  action.sa_flags = SA_NODEFER;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, NULL);
  sigaction(SIGSEGV, &action, NULL);
}

int32_t clinux_touch(const volatile void *address, int write) {
  volatile unsigned char *byte = (volatile unsigned char *)(uintptr_t)address;
  int number = sigsetjmp(resume, 0);
  if (number == 0) {
    guarded = 1;
    unsigned char value = 0;
    /* A write fault must be the first access; an atomic OR of 0 stores without changing the byte. */
    if (write)
      __atomic_fetch_or((unsigned char *)(uintptr_t)address, 0, __ATOMIC_RELAXED);
    else
      value = *byte;
    (void)value;
  }
  guarded = 0;
  return number;
}

int32_t clinux_compare(const void *a, const void *b, uint64_t length, uint64_t *offset) {
  int number = sigsetjmp(resume, 0);
  int32_t result = number;
  if (number == 0) {
    guarded = 1;
    if (memcmp(a, b, length) != 0) {
      const unsigned char *x = a, *y = b;
      uint64_t i = 0;
      while (i < length && x[i] == y[i]) i++;
      *offset = i;
      result = -1;
    }
  }
  guarded = 0;
  return result;
}
