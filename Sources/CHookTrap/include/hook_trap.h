/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the conformance suite's child processes: which hook of a provider runs on which thread, and
 * what to say when it crashes, hangs or exits. C, because it needs thread-local state, a
 * signal handler that does nothing but write(2), and numbers of the C library that Swift does not import.
 */
#ifndef HOOK_TRAP_H
#define HOOK_TRAP_H

#include <stdint.h>

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wnullability-completeness"

/* Why nobody may touch a piece of memory: said in the report when somebody does. */
enum hook_trap_fence {
  HOOK_TRAP_BEYOND_STAGING = 1, /* behind request.staging */
  HOOK_TRAP_PAST_STAGING = 2,   /* request.staging after the hook returned */
  HOOK_TRAP_PAST_STRUCT = 3,    /* request, folio, traits, parameters after the hook returned */
  HOOK_TRAP_BEYOND_ARENA = 4,   /* behind memory from staging_alloc */
  HOOK_TRAP_PAST_ARENA = 5,     /* memory from staging_alloc that was handed back */
  HOOK_TRAP_BEYOND_EXTENTS = 7, /* behind the room for extents */
  HOOK_TRAP_PAST_CLOSE = 6      /* host table and strings after close */
};

/*
 * Catches SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP and exit(3): writes one line to `fd`
 * ("trap<TAB>signal<TAB>hook<TAB>fence" or "exit<TAB>hook") and ends the process.
 */
void hook_trap_install(int fd);
/* Gives the calling thread a stack for the handler: a hook may run out of its own. */
void hook_trap_thread(void);
/* Gives it back, and the thread's place in the list of running hooks. */
void hook_trap_thread_end(void);
/* From now on exit(3) is ours. */
void hook_trap_disarm(void);

/* The calling thread enters and leaves a hook; `hook` is a static string. */
void hook_trap_enter(const char *hook);
void hook_trap_leave(void);
/* The hook that runs on the calling thread, or NULL. */
const char *hook_trap_current(void);
/* Names of all hooks that run now, separated by commas, into `text`; NUL-terminated. */
void hook_trap_running(char *text, uint64_t room);

/* Registers [start, start + length) as forbidden; the kind is one of the above. Slot, or -1: full. */
int32_t hook_trap_fence(const void *start, uint64_t length, int32_t kind);
void hook_trap_unfence(int32_t slot);

/* --- What a provider may leave behind ------------------------------------------------------------ */

/* Bytes that malloc(3) has handed out and not taken back. */
uint64_t hook_trap_malloced(void);
/* A number that changes with the environment, the locale, and the working directory. */
uint64_t hook_trap_process_state(void);
/* The handler of a signal, as a number. */
uint64_t hook_trap_signal_handler(int number);
/* Whether another process was made by this one and not waited for. */
int32_t hook_trap_has_child(void);

/* --- For the parent ------------------------------------------------------------------------------- */

/* pipe2(2), O_CLOEXEC. 0, or a negative errno. */
int32_t hook_trap_pipe(int32_t *read_end, int32_t *write_end);
/*
 * Starts `path` with `arguments` (NULL-terminated) such that descriptor 3 there is `report_fd` and
 * standard output is ours for errors. The pid, or a negative errno.
 */
int32_t hook_trap_spawn(const char *path, char *const *arguments, int32_t report_fd);
/* waitpid(2) without waiting: 0 still runs, 1 ended with *code, 2 killed by the signal *code. */
int32_t hook_trap_ended(int32_t pid, int32_t *code);
void hook_trap_kill(int32_t pid);

#pragma clang diagnostic pop
#endif
