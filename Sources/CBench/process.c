/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that a measurement starts, and what they cost. */
#define _GNU_SOURCE
#include "internal.h"

#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

static int32_t spawn(const char *path, char *const *arguments, int report, pid_t *process) {
  posix_spawn_file_actions_t actions;
  int source = report == 3 ? fcntl(report, F_DUPFD_CLOEXEC, 4) : report;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  /* dup2 onto itself would leave O_CLOEXEC set. */
  if (report >= 0)
    posix_spawn_file_actions_adddup2(&actions, source, 3);
  else
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  errno = posix_spawn(process, path, &actions, NULL, arguments, environ);
  int32_t error = errno ? cbench_failed("posix_spawn") : 0;
  posix_spawn_file_actions_destroy(&actions);
  if (source != report) close(source);
  return error;
}

static uint64_t nanoseconds(const struct timeval *time) {
  return (uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_usec * 1000u;
}

int32_t cbench_run(const char *path, char *const *arguments, uint64_t limit, char *report, uint64_t room,
                   struct cbench_child *child) {
  int ends[2];
  pid_t process = -1;
  uint64_t used = 0, begun = clinux_now();
  struct rusage usage;
  int status;
  if (pipe2(ends, O_CLOEXEC)) return cbench_failed("pipe2");
  int32_t error = spawn(path, arguments, ends[1], &process);
  close(ends[1]);
  /* A server that the child has started may hold the pipe open for longer: the limit is for both. */
  while (error == 0) {
    uint64_t now = clinux_now();
    struct pollfd slot = {.fd = ends[0], .events = POLLIN};
    if (now - begun >= limit || clinux_poll(&slot, 1, (int64_t)(limit - (now - begun))) <= 0) {
      kill(process, SIGKILL);
      break;
    }
    char rest[256];
    char *place = used + 1 < room ? report + used : rest;
    ssize_t length = read(ends[0], place, used + 1 < room ? room - 1 - used : sizeof rest);
    if (length <= 0) break;
    if (place != rest) used += (uint64_t)length;
  }
  close(ends[0]);
  if (room) report[used] = 0;
  if (error) return error;
  while (wait4(process, &status, 0, &usage) < 0)
    if (errno != EINTR) return cbench_failed("wait4");
  child->elapsed = clinux_now() - begun;
  child->busy = nanoseconds(&usage.ru_utime) + nanoseconds(&usage.ru_stime);
  child->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return 0;
}

int32_t cbench_start(const char *path, char *const *arguments) {
  pid_t process;
  int32_t error = spawn(path, arguments, -1, &process);
  return error ? error : process;
}

void cbench_end(int32_t process) {
  kill(process, SIGKILL);
  while (waitpid(process, NULL, 0) < 0 && errno == EINTR) {
  }
}
