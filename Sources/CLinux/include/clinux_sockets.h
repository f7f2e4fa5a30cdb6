/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets, their credentials and the descriptors that travel over them, and what one thread waits on:
 * epoll, signalfd, pidfds. Like clinux.h: no policy, no state, a negative errno where something fails.
 */
#ifndef CLINUX_SOCKETS_H
#define CLINUX_SOCKETS_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wnullability-completeness"

/* --- Unix stream sockets --------------------------------------------------------------------------- */

/* Longest path of a socket, without the byte that ends it. */
enum { CLINUX_MOST_SOCKET_PATH = 107 };

/* An unconnected SOCK_STREAM socket, close-on-exec and non-blocking. */
int32_t clinux_unix_socket(void);
/* bind(2) and connect(2). The path has at most CLINUX_MOST_SOCKET_PATH bytes, else -ENAMETOOLONG. */
int32_t clinux_unix_bind(int fd, const char *path);
int32_t clinux_unix_connect(int fd, const char *path);
int32_t clinux_listen(int fd, int backlog);
/* No connection is taken from now on; those that wait can still be accepted. shutdown(2), SHUT_RD. */
int32_t clinux_refuse_connections(int fd);
/* accept4(2): close-on-exec and non-blocking. */
int32_t clinux_accept(int fd);
/* 1 if `fd` is a Unix stream socket that listens, else 0, or -errno (-ENOTSOCK). */
int32_t clinux_is_unix_listener(int fd);
/* The path a socket is bound to, into `path`; its length (0: none, or an abstract name), or -errno. */
int64_t clinux_bound_path(int fd, char *path, uint64_t capacity);

struct clinux_credentials {
  int32_t pid;
  uint32_t uid;
  uint32_t gid;
};
/* SO_PEERCRED. */
int32_t clinux_peer_credentials(int fd, struct clinux_credentials *credentials);
/* SO_PEERPIDFD (Linux 6.5): a pidfd of the process that connected. */
int32_t clinux_peer_pidfd(int fd);
int32_t clinux_pidfd_open(int32_t pid);

/*
 * recvmsg(2) without waiting. Number of bytes, 0 at the end of the stream, or -errno. The descriptors that came
 * along are close-on-exec and the caller's; *lost is 1 if there were more than `capacity` (at most
 * CLINUX_MOST_DESCRIPTORS), or if this process's table was full: the kernel has closed the others.
 */
enum { CLINUX_MOST_DESCRIPTORS = 64 };
int64_t clinux_receive(int fd, void *buffer, uint64_t length, int32_t *descriptors, uint32_t capacity,
                       uint32_t *count, int32_t *lost);
/* send(2) without waiting and without SIGPIPE. Number of bytes, or -errno. */
int64_t clinux_send(int fd, const void *bytes, uint64_t length);
/* One datagram to a Unix socket; a path that begins with '@' is an abstract name. As sd_notify(3) does. */
int32_t clinux_send_datagram(const char *path, const void *bytes, uint64_t length);

/* --- Waiting --------------------------------------------------------------------------------------- */

struct clinux_ready {
  uint64_t token;
  uint32_t events;
};

/*
 * epoll_wait(2), for an epoll of clinux_epoll_create and level-triggered events of clinux_epoll_set; a negative
 * timeout waits for ever. Number of entries of `ready` (at most 64), or -errno.
 */
int32_t clinux_epoll_wait_events(int epoll, struct clinux_ready *ready, uint32_t capacity,
                                 int64_t milliseconds);

/* A signalfd(2) of these signals, which the caller has blocked, and the next one of them; 0: none waits. */
int32_t clinux_signalfd(const sigset_t *signals);
int32_t clinux_signalfd_take(int fd);

/* --- Files ----------------------------------------------------------------------------------------- */

struct clinux_file {
  uint64_t device;
  uint64_t inode;
  uint32_t mode;
  uint32_t uid;
};
/* lstat(2), or fstat(2) where `path` is NULL. */
int32_t clinux_identify(int fd, const char *path, struct clinux_file *file);
/* renameat2(2) with RENAME_NOREPLACE: -EEXIST where `to` is taken. */
int32_t clinux_rename_new(const char *from, const char *to);
/* open(2) with O_PATH and O_NOFOLLOW: the file itself, whatever is done to the path afterwards. */
int32_t clinux_open_file_itself(const char *path);
/* chown and chmod of what such a descriptor stands for. */
int32_t clinux_change_owner(int fd, uint32_t uid, uint32_t gid);
int32_t clinux_change_mode(int fd, uint32_t mode);

#pragma clang diagnostic pop

#endif /* CLINUX_SOCKETS_H */
