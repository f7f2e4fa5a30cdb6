/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rangeserver FILE SOCKET: the far end of the tutorial's last provider, as unreliable as a network.
 * A request is two 64-bit numbers, offset and length; the answer is that many bytes of the file. The
 * offset 2^64 - 1 asks for the size of the file, in 8 bytes. Each answer takes a millisecond, and every
 * 40th is cut short together with its connection. Ends by itself after a minute.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int file;
static uint64_t file_size;
static atomic_uint answers;

static int send_all(int connection, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t n = write(connection, bytes, length);
    if (n <= 0) return -1;
    bytes += n;
    length -= (size_t)n;
  }
  return 0;
}

static void *serve(void *context) {
  int connection = (int)(intptr_t)context;
  uint64_t request[2];
  while (recv(connection, request, sizeof request, MSG_WAITALL) == sizeof request) {
    if (request[0] == UINT64_MAX) {
      if (send_all(connection, (const char *)&file_size, sizeof file_size) != 0) break;
      continue;
    }
    char *bytes = calloc(1, request[1]);
    if (bytes == NULL || pread(file, bytes, request[1], (off_t)request[0]) < 0) break;
    usleep(1000);
    int is_cut = atomic_fetch_add(&answers, 1) % 40 == 39;
    int failed = send_all(connection, bytes, is_cut ? request[1] / 2 : request[1]);
    free(bytes);
    if (failed || is_cut) break;
  }
  close(connection);
  return NULL;
}

int main(int argc, char **argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct stat info;
  if (argc != 3 || strlen(argv[2]) >= sizeof address.sun_path) {
    fprintf(stderr, "usage: rangeserver FILE SOCKET\n");
    return 2;
  }
  alarm(60);
  signal(SIGPIPE, SIG_IGN);
  memcpy(address.sun_path, argv[2], strlen(argv[2]));
  file = open(argv[1], O_RDONLY | O_CLOEXEC);
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  unlink(argv[2]);
  if (file < 0 || fstat(file, &info) != 0 || listener < 0 ||
      bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
      listen(listener, 64) != 0) {
    perror("rangeserver");
    return 1;
  }
  file_size = (uint64_t)info.st_size;
  for (;;) {
    int connection = accept(listener, NULL, NULL);
    pthread_t thread;
    if (connection < 0) continue;
    if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)connection) != 0)
      close(connection);
    else
      pthread_detach(thread);
  }
}
