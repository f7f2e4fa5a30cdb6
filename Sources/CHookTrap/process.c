/* SPDX-License-Identifier: Apache-2.0 */
/* What a process shows of itself, and the start of a child. */
#define _GNU_SOURCE
#include "hook_trap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <malloc.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

uint64_t hook_trap_malloced(void) {
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

static uint64_t mix(uint64_t hash, const char *text) {
  for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
  return hash;
}

uint64_t hook_trap_process_state(void) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (char **word = environ; word && *word; word++) hash = mix(hash, *word);
  const char *locale = setlocale(LC_ALL, NULL);
  if (locale) hash = mix(hash, locale);
  char folder[4096];
  if (getcwd(folder, sizeof folder)) hash = mix(hash, folder);
  return hash;
}

uint64_t hook_trap_signal_handler(int number) {
  struct sigaction action;
  if (sigaction(number, NULL, &action)) return 0;
  return (uint64_t)(uintptr_t)action.sa_handler;
}

int32_t hook_trap_has_child(void) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

int32_t hook_trap_pipe(int32_t *read_end, int32_t *write_end) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC)) return -errno;
  *read_end = ends[0];
  *write_end = ends[1];
  return 0;
}

int32_t hook_trap_spawn(const char *path, char *const *arguments, int32_t report) {
  posix_spawn_file_actions_t actions;
  pid_t pid = -1;
  /* dup2 onto itself would leave O_CLOEXEC set. */
  int source = report == 3 ? fcntl(report, F_DUPFD_CLOEXEC, 4) : report;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, source, 3);
  posix_spawn_file_actions_adddup2(&actions, 2, 1);
  int error = posix_spawn(&pid, path, &actions, NULL, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (source != report) close(source);
  return error ? -error : pid;
}

int32_t hook_trap_ended(int32_t pid, int32_t *code) {
  int status = 0;
  pid_t result = waitpid(pid, &status, WNOHANG);
  if (result == 0) return 0;
  if (result > 0 && WIFSIGNALED(status)) {
    *code = WTERMSIG(status);
    return 2;
  }
  *code = result > 0 ? WEXITSTATUS(status) : -1;
  return 1;
}

void hook_trap_kill(int32_t pid) { kill(pid, SIGKILL); }
