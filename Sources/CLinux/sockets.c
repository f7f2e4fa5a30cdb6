/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "clinux_sockets.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* --- Unix stream sockets --------------------------------------------------------------------------- */

static int32_t checked(long result) { return result < 0 ? -errno : (int32_t)result; }

int32_t clinux_unix_socket(void) {
  return checked(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/* The address of a path; 0: too long. With its final zero byte, as in unix(7). */
static socklen_t address_of(const char *path, struct sockaddr_un *address) {
  size_t length = strlen(path);
  if (length > CLINUX_MOST_SOCKET_PATH) return 0;
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path, length);
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
}

int32_t clinux_unix_bind(int fd, const char *path) {
  struct sockaddr_un address;
  socklen_t length = address_of(path, &address);
  return length ? checked(bind(fd, (struct sockaddr *)&address, length)) : -ENAMETOOLONG;
}

int32_t clinux_unix_connect(int fd, const char *path) {
  struct sockaddr_un address;
  socklen_t length = address_of(path, &address);
  return length ? checked(connect(fd, (struct sockaddr *)&address, length)) : -ENAMETOOLONG;
}

int32_t clinux_listen(int fd, int backlog) { return checked(listen(fd, backlog)); }

int32_t clinux_refuse_connections(int fd) { return checked(shutdown(fd, SHUT_RD)); }

int32_t clinux_accept(int fd) {
  return checked(accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

int32_t clinux_is_unix_listener(int fd) {
  int domain = 0, type = 0, listens = 0;
  socklen_t length = sizeof domain;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length)) return -errno;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length)) return -errno;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length)) return -errno;
  return domain == AF_UNIX && type == SOCK_STREAM && listens;
}

int64_t clinux_bound_path(int fd, char *path, uint64_t capacity) {
  struct sockaddr_un address = {0};
  socklen_t length = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &length)) return -errno;
  if (length <= offsetof(struct sockaddr_un, sun_path)) return 0;
  size_t count = strnlen(address.sun_path, length - offsetof(struct sockaddr_un, sun_path));
  if (count > capacity) return -ENAMETOOLONG;
  memcpy(path, address.sun_path, count);
  return (int64_t)count;
}

int32_t clinux_peer_credentials(int fd, struct clinux_credentials *credentials) {
  struct ucred peer = {0};
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length)) return -errno;
  *credentials = (struct clinux_credentials){peer.pid, peer.uid, peer.gid};
  return 0;
}

int32_t clinux_peer_pidfd(int fd) {
  int pidfd = -1;
  socklen_t length = sizeof pidfd;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length)) return -errno;
  return pidfd;
}

int32_t clinux_pidfd_open(int32_t pid) { return checked(syscall(SYS_pidfd_open, pid, 0)); }

/* Takes the descriptors out of a control message; returns how many there are now. */
static uint32_t take_descriptors(const struct cmsghdr *header, int32_t *descriptors, uint32_t capacity,
                                 uint32_t count, int32_t *lost) {
  size_t here = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  for (size_t index = 0; index < here; index++) {
    int fd;
    memcpy(&fd, CMSG_DATA(header) + index * sizeof fd, sizeof fd);
    if (count < capacity) {
      descriptors[count++] = fd;
    } else {
      close(fd);
      *lost = 1;
    }
  }
  return count;
}

int64_t clinux_receive(int fd, void *buffer, uint64_t length, int32_t *descriptors, uint32_t capacity,
                       uint32_t *count, int32_t *lost) {
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * CLINUX_MOST_DESCRIPTORS)];
  struct iovec bytes = {buffer, length};
  struct msghdr message = {
      .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  *count = 0;
  *lost = 0;
  ssize_t received = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (received < 0) return -errno;
  if (message.msg_flags & MSG_CTRUNC) *lost = 1;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    *count = take_descriptors(header, descriptors, capacity, *count, lost);
  }
  return received;
}

int64_t clinux_send(int fd, const void *bytes, uint64_t length) {
  ssize_t sent = send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent < 0 ? -errno : sent;
}

int32_t clinux_send_datagram(const char *path, const void *bytes, uint64_t length) {
  struct sockaddr_un address;
  socklen_t size = address_of(path, &address);
  if (!size) return -ENAMETOOLONG;
  if (address.sun_path[0] == '@') {
    address.sun_path[0] = 0;
    size--;
  }
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  ssize_t sent =
      sendto(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&address, size);
  int32_t result = sent < 0 ? -errno : 0;
  close(fd);
  return result;
}

/* --- Waiting --------------------------------------------------------------------------------------- */

int32_t clinux_epoll_wait_events(int epoll, struct clinux_ready *ready, uint32_t capacity,
                                 int64_t milliseconds) {
  enum { MOST = 64 };
  struct epoll_event events[MOST];
  int timeout = milliseconds < 0 ? -1 : milliseconds > 86400000 ? 86400000 : (int)milliseconds;
  int count = epoll_wait(epoll, events, capacity < MOST ? (int)capacity : MOST, timeout);
  if (count < 0) return -errno;
  for (int index = 0; index < count; index++)
    ready[index] = (struct clinux_ready){events[index].data.u64, events[index].events};
  return count;
}

int32_t clinux_signalfd(const sigset_t *signals) {
  return checked(signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK));
}

int32_t clinux_signalfd_take(int fd) {
  struct signalfd_siginfo info;
  ssize_t count = read(fd, &info, sizeof info);
  return count == sizeof info ? (int32_t)info.ssi_signo : 0;
}

/* --- Files ----------------------------------------------------------------------------------------- */

int32_t clinux_identify(int fd, const char *path, struct clinux_file *file) {
  struct stat info;
  if (path ? lstat(path, &info) : fstat(fd, &info)) return -errno;
  *file = (struct clinux_file){info.st_dev, info.st_ino, info.st_mode, info.st_uid};
  return 0;
}

int32_t clinux_rename_new(const char *from, const char *to) {
  return checked(renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE));
}

int32_t clinux_open_file_itself(const char *path) {
  return checked(open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC));
}

int32_t clinux_change_owner(int fd, uint32_t uid, uint32_t gid) {
  return checked(fchownat(fd, "", uid, gid, AT_EMPTY_PATH));
}

/* fchmodat2(2) with AT_EMPTY_PATH is of Linux 6.6; the descriptor's link in /proc is the file itself, too. */
int32_t clinux_change_mode(int fd, uint32_t mode) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  return checked(chmod(link, mode));
}
