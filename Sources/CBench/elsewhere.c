/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client in this process and a handler in another: the minimal one, or `uffdhost serve`. The userfaultfd goes
 * over a socket. Several clients are several userfaultfds of this process, each with a region and a connection.
 */
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

static uint32_t regions_of_client(const struct cbench_job *job) { return job->regions / job->clients; }

/*
 * One fault that is not measured: the first one waits for a server that is about to begin. It takes the last page;
 * a touch that finds it there is one of thousands.
 */
static void begin(const struct cbench_job *job, const struct cbench_areas *areas) {
  char *last = (char *)areas->start[job->regions - 1] + cbench_area_bytes(job) - job->page;
  *(volatile char *)last = CBENCH_MARK;
}

/* Sends bytes and a descriptor in one message. */
static int32_t send_with(int socket, const void *bytes, size_t length, int fd) {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {.room = {0}};
  struct iovec vector = {(void *)bytes, length};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.room,
                           .msg_controllen = sizeof control.room};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  return sendmsg(socket, &message, 0) == (ssize_t)length ? 0 : cbench_failed("sendmsg");
}

/* The addresses of a client's regions, and its uffd. */
static int receive(int socket, uint64_t *starts, size_t length) {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec vector = {starts, length};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.room,
                           .msg_controllen = sizeof control.room};
  int fd = -1;
  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_WAITALL) != (ssize_t)length) return -1;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (header) memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

/* Opens the uffd of a client and sends it, with what `describe` makes of the client's regions. */
static int32_t hand_over(const struct cbench_job *job, struct cbench_areas *areas, uint32_t client, int socket,
                         int blocking,
                         size_t (*describe)(const struct cbench_job *, const struct cbench_areas *, uint32_t first,
                                            uint32_t count, char *bytes, size_t room)) {
  static char bytes[CBENCH_MOST_AREAS * 160];
  uint32_t count = regions_of_client(job), first = client * count;
  int uffd = cbench_watch(job, areas, first, count, blocking);
  if (uffd < 0) return uffd;
  return send_with(socket, bytes, describe(job, areas, first, count, bytes, sizeof bytes), uffd);
}

/* --- The minimal handler ---------------------------------------------------------------------------------- */

static size_t describe_by_addresses(const struct cbench_job *job, const struct cbench_areas *areas,
                                    uint32_t first, uint32_t count, char *bytes, size_t room) {
  (void)job, (void)room;
  for (uint32_t i = 0; i < count; i++) {
    uint64_t start = (uint64_t)(uintptr_t)areas->start[first + i];
    memcpy(bytes + i * sizeof start, &start, sizeof start);
  }
  return count * sizeof(uint64_t);
}

/* The server: the minimal handler, until the client is gone. Does not return. */
static void serve_elsewhere(const struct cbench_job *job, int socket) {
  struct cbench_server *servers = calloc(job->clients, sizeof *servers);
  uint64_t starts[CBENCH_MOST_AREAS];
  uint32_t count = regions_of_client(job);
  char end;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const char *content = cbench_map_image(job);
  if (!content || !servers) _exit(1);
  for (uint32_t i = 0; i < job->clients; i++) {
    int uffd = receive(socket, starts, count * sizeof *starts);
    if (uffd < 0 || cbench_server_init(&servers[i], job, uffd, i * count, count, starts, content)) _exit(1);
  }
  if (job->clients > 1) cbench_serve_many(servers, job->clients);
  if (cbench_server_start(servers, 0)) _exit(1);
  /* Nothing comes but the end of the connection. */
  ssize_t ignored = read(socket, &end, 1);
  (void)ignored;
  _exit(0);
}

int32_t cbench_demand_elsewhere(const struct cbench_job *job, struct cbench_result *result) {
  struct cbench_areas areas;
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
  for (uint32_t i = 0; i < job->clients && error == 0; i++)
    error = hand_over(job, &areas, i, ends[0], job->wait == CBENCH_READ && job->clients == 1,
                      describe_by_addresses);
  if (error == 0) begin(job, &areas);
  if (error == 0) error = cbench_touch(job, areas.start, result);
  if (error == 0) error = cbench_verify(job, areas.start, 1, result);
  cbench_end(server);
  return error;
}

/* --- `uffdhost serve` -------------------------------------------------------------------------------------- */

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
static size_t describe_as_firecracker(const struct cbench_job *job, const struct cbench_areas *areas,
                                      uint32_t first, uint32_t count, char *text, size_t room) {
  uint64_t length = cbench_area_bytes(job);
  size_t used = 0;
  for (uint32_t i = first; i < first + count; i++)
    used += (size_t)snprintf(
        text + used, room - used,
        "%s{\"base_host_virt_addr\":%llu,\"size\":%llu,\"offset\":%llu,\"page_size\":%llu,"
        "\"page_size_kib\":%llu}",
        i == first ? "[" : ",", (unsigned long long)(uintptr_t)areas->start[i], (unsigned long long)length,
        (unsigned long long)(i * length), (unsigned long long)job->page, (unsigned long long)job->page);
  return used + (size_t)snprintf(text + used, room - used, "]");
}

int32_t cbench_client(const struct cbench_job *job, const char *path, int32_t server, uint64_t patience,
                      struct cbench_result *result) {
  struct cbench_areas areas;
  int32_t error = cbench_map(job, 0, &areas);
  for (uint32_t i = 0; i < job->clients && error == 0; i++) {
    /* It stays open: a server may take its end for the client's. */
    int socket = connect_to(path, server, patience);
    if (socket < 0) return cbench_failed("connect to the server");
    error = hand_over(job, &areas, i, socket, 0, describe_as_firecracker);
  }
  if (error == 0) begin(job, &areas);
  if (error == 0) error = cbench_touch(job, areas.start, result);
  return error ? error : cbench_verify(job, areas.start, 1, result);
}
