/* SPDX-License-Identifier: Apache-2.0 */
/* Faults one by one: the kernel's own, the minimal handler's, the peers', and those of a handler elsewhere. */
#define _GNU_SOURCE
#include "internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

/* --- In this process -------------------------------------------------------------------------------------- */

static void addresses(const struct cbench_areas *areas, uint32_t count, uint64_t *starts) {
  for (uint32_t i = 0; i < count; i++) starts[i] = (uint64_t)(uintptr_t)areas->start[i];
}

/* Faults that the kernel resolves by itself. */
static int32_t by_kernel(const struct cbench_job *job, struct cbench_result *result) {
  struct cbench_areas areas;
  /* Anonymous content is the image, copied on write. */
  int private_file = job->memory == CBENCH_ANON && job->operation == CBENCH_COPY;
  int32_t error = cbench_map(job, private_file, &areas);
  if (error == 0 && job->operation == CBENCH_CONTINUE) error = cbench_publish(job, &areas);
  if (error == 0) error = cbench_touch(job, areas.start, result);
  if (error || job->operation == CBENCH_ZERO) return error;
  /* Fresh pages of shared memory are zeroed, not copied: there is no content to compare. */
  if (!private_file && job->operation == CBENCH_COPY) return 0;
  return cbench_verify(job, areas.start, 1, result);
}

static int32_t by_handler(const struct cbench_job *job, struct cbench_result *result) {
  static struct cbench_server server;
  struct cbench_job mine = *job;
  struct cbench_areas areas;
  uint64_t starts[CBENCH_MOST_AREAS];
  int32_t error = cbench_map(job, 0, &areas);
  if (error == 0 && job->operation == CBENCH_CONTINUE) error = cbench_publish(job, &areas);
  if (error) return error;
  if (job->operation == CBENCH_POISON) {
    mine.image = cbench_make_image(NULL, job->bytes, 0);
    if (mine.image < 0) return mine.image;
  }
  int uffd = cbench_watch(job, &areas, job->subject == CBENCH_C && job->wait == CBENCH_READ);
  if (uffd < 0) return uffd;
  /* A hole that is mapped and read is none any more. */
  const char *content = job->operation == CBENCH_ZERO ? NULL : cbench_map_image(&mine);
  if (!content && job->operation != CBENCH_ZERO) return -EIO;
  /* From now on nothing can be read there. */
  if (job->operation == CBENCH_POISON && ftruncate(mine.image, 0)) return cbench_failed("ftruncate");
  addresses(&areas, job->regions, starts);
  error = cbench_server_init(&server, &mine, uffd, starts, content);
  if (job->is_spied) server.calls = cbench_spy_table();
  if (error == 0) error = cbench_server_start(&server, job->subject == CBENCH_PEER);
  if (error == 0) error = cbench_touch(job, areas.start, result);
  if (error) return error;
  cbench_server_stop(&server);
  if (job->is_spied) cbench_spy_report(result);
  return cbench_verify(job, areas.start, 1, result);
}

/* --- In another process ------------------------------------------------------------------------------------- */

/*
 * One fault that is not measured: the first one waits for a server that is about to begin. It takes the last page;
 * a touch that finds it there is one of thousands.
 */
static void begin(const struct cbench_job *job, const struct cbench_areas *areas) {
  char *last = (char *)areas->start[job->regions - 1] + cbench_area_bytes(job) - job->page;
  *(volatile char *)last = CBENCH_MARK;
}

/* Sends bytes and a descriptor in one message. */
static int32_t send_with(int socket, const char *text, size_t length, int fd) {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {.room = {0}};
  struct iovec bytes = {(void *)text, length};
  struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control.room,
                           .msg_controllen = sizeof control.room};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  return sendmsg(socket, &message, 0) == (ssize_t)length ? 0 : cbench_failed("sendmsg");
}

/* The addresses of the regions, and the uffd. */
static int receive(int socket, uint64_t *starts, size_t length) {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec bytes = {starts, length};
  struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control.room,
                           .msg_controllen = sizeof control.room};
  int fd = -1;
  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_WAITALL) != (ssize_t)length) return -1;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (header) memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

/* The server: the minimal handler, until the client is gone. Does not return. */
static void serve_elsewhere(const struct cbench_job *job, int socket) {
  static struct cbench_server server;
  uint64_t starts[CBENCH_MOST_AREAS];
  char end;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const char *content = cbench_map_image(job);
  int uffd = receive(socket, starts, job->regions * sizeof *starts);
  if (!content || uffd < 0 || cbench_server_init(&server, job, uffd, starts, content) ||
      cbench_server_start(&server, 0))
    _exit(1);
  /* Nothing comes but the end of the connection. */
  ssize_t ignored = read(socket, &end, 1);
  (void)ignored;
  _exit(0);
}

static int32_t by_handler_elsewhere(const struct cbench_job *job, struct cbench_result *result) {
  struct cbench_areas areas;
  uint64_t starts[CBENCH_MOST_AREAS];
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) return cbench_failed("socketpair");
  pid_t server = fork();
  if (server < 0) return cbench_failed("fork");
  if (server == 0) {
    close(ends[0]);
    serve_elsewhere(job, ends[1]);
  }
  close(ends[1]);
  int32_t error = cbench_map(job, 0, &areas);
  if (error) return error;
  int uffd = cbench_watch(job, &areas, job->wait == CBENCH_READ);
  if (uffd < 0) return uffd;
  addresses(&areas, job->regions, starts);
  error = send_with(ends[0], (const char *)starts, job->regions * sizeof *starts, uffd);
  if (error == 0) begin(job, &areas);
  if (error == 0) error = cbench_touch(job, areas.start, result);
  if (error == 0) error = cbench_verify(job, areas.start, 1, result);
  cbench_end(server);
  return error;
}

/* --- A client of `uffdhost serve` ------------------------------------------------------------------------- */

static int connect_to(const char *path, int32_t server, uint64_t patience) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  uint64_t limit = clinux_now() + patience;
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address.sun_path, path);
  for (;;) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    int error = errno;
    if (fd >= 0) close(fd);
    errno = error;
    if (clinux_now() > limit) return -1;
    siginfo_t info = {.si_pid = 0};
    if (waitid(P_PID, (id_t)server, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
      errno = ESRCH;
      return -1;
    }
    usleep(2000);
  }
}

/* What Firecracker says of its memory. */
static size_t describe(const struct cbench_job *job, const struct cbench_areas *areas, char *text, size_t room) {
  uint64_t length = cbench_area_bytes(job);
  size_t used = 0;
  for (uint32_t i = 0; i < job->regions; i++)
    used += (size_t)snprintf(
        text + used, room - used,
        "%s{\"base_host_virt_addr\":%llu,\"size\":%llu,\"offset\":%llu,\"page_size\":%llu,"
        "\"page_size_kib\":%llu}",
        i == 0 ? "[" : ",", (unsigned long long)(uintptr_t)areas->start[i], (unsigned long long)length,
        (unsigned long long)(i * length), (unsigned long long)job->page, (unsigned long long)job->page);
  return used + (size_t)snprintf(text + used, room - used, "]");
}

int32_t cbench_client(const struct cbench_job *job, const char *path, int32_t server, uint64_t patience,
                      struct cbench_result *result) {
  static char text[CBENCH_MOST_AREAS * 160];
  struct cbench_areas areas;
  int socket = connect_to(path, server, patience);
  if (socket < 0) return cbench_failed("connect to the server");
  int32_t error = cbench_map(job, 0, &areas);
  if (error) return error;
  int uffd = cbench_watch(job, &areas, 0);
  if (uffd < 0) return uffd;
  error = send_with(socket, text, describe(job, &areas, text, sizeof text), uffd);
  if (error == 0) begin(job, &areas);
  if (error == 0) error = cbench_touch(job, areas.start, result);
  return error ? error : cbench_verify(job, areas.start, 1, result);
}

int32_t cbench_demand(const struct cbench_job *job, struct cbench_result *result) {
  memset(result, 0, sizeof *result);
  switch (job->subject) {
  case CBENCH_KERNEL: return by_kernel(job, result);
  case CBENCH_EXTERNAL: return by_handler_elsewhere(job, result);
  default: return by_handler(job, result);
  }
}
