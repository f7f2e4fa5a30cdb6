/* SPDX-License-Identifier: Apache-2.0 */
/* Hands the userfaultfd over as each generation of Firecracker does, as its fork does, or in our own protocol. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client.h"

int connect_to(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) fail("%s is too long for a socket", path);
  strcpy(address.sun_path, path);
  int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(connection, (struct sockaddr *)&address, sizeof address)) fail_errno("connect");
  return connection;
}

int send_with(int socket, const void *bytes, uint64_t length, const int *descriptors, int count) {
  union {
    char bytes[CMSG_SPACE(253 * sizeof(int))];
    struct cmsghdr header;
  } control = {0};
  struct iovec vector = {(void *)bytes, length};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
  if (count > 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE((unsigned)count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){CMSG_LEN((unsigned)count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(header), descriptors, (unsigned)count * sizeof(int));
  }
  ssize_t sent = sendmsg(socket, &message, 0);
  while (sent >= 0 && (uint64_t)sent < length) {
    ssize_t more = send(socket, (const char *)bytes + sent, length - (uint64_t)sent, 0);
    if (more < 0) return -1;
    sent += more;
  }
  return sent < 0 ? -1 : 0;
}

uint64_t firecracker_array(const struct client *client, char *text, uint64_t room) {
  uint64_t used = 0;
  for (uint64_t i = 0; i < client->count; i++) {
    const struct region *region = &client->regions[i];
    used += (uint64_t)snprintf(text + used, room - used,
                               "%c{\"base_host_virt_addr\":%lu,\"size\":%lu,\"offset\":%lu", i ? ',' : '[',
                               (uint64_t)region->start, region->length, region->offset);
    /* Both fields count bytes, whatever the second one's name says. */
    if (options->dialect == FC_1_12)
      used += (uint64_t)snprintf(text + used, room - used, ",\"page_size\":%lu", client->page);
    if (options->dialect != FC_1_1)
      used += (uint64_t)snprintf(text + used, room - used, ",\"page_size_kib\":%lu", client->page);
    used += (uint64_t)snprintf(text + used, room - used, "}");
  }
  used += (uint64_t)snprintf(text + used, room - used, "]");
  if (used >= room) fail("the hand-off is longer than %lu bytes", room);
  return used;
}

static void hand_over_firecracker(struct client *client) {
  static char text[65536];
  uint64_t length = firecracker_array(client, text, sizeof text);
  int descriptors[] = {client->uffd, client->memfd};
  int count = options->dialect == E2B && client->memfd >= 0 ? 2 : 1;
  client->socket = connect_to(options->socket);
  if (send_with(client->socket, text, length, descriptors, count)) fail_errno("sendmsg");
  /* Until 1.11 the socket was closed at once; since then it stays open for the life of the machine. */
  if (options->dialect == FC_1_1 || options->dialect == FC_1_7) {
    close(client->socket);
    client->socket = -1;
  }
}

void client_hand_over(struct client *client) {
  if (options->dialect != NATIVE) {
    hand_over_firecracker(client);
    return;
  }
  const char *refusal = native_attach(client);
  if (refusal) fail("the server refuses: %s", refusal);
}
