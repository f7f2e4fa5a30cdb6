/* SPDX-License-Identifier: Apache-2.0 */
/* The native dialect, through the header that every program uses. */
#define UFFD_CLIENT_IMPLEMENTATION
#include "uffd_client.h"

#include "client.h"

static struct uffd_client connection;

static struct uffd_client_region described(const struct client *client, uint64_t index) {
  const struct region *region = &client->regions[index];
  int has_backing = client->memfd >= 0;
  return (struct uffd_client_region){
      .start = (uint64_t)region->start,
      .length = region->length,
      .offset = region->offset,
      .page_size = client->page,
      .flags = is_shared(client->memory) ? UFFD_CLIENT_SHARED : 0,
      .modes = UFFD_CLIENT_MISSING | (has_backing ? UFFD_CLIENT_MINOR : 0),
      .backing = has_backing ? 0 : UFFD_WIRE_NO_BACKING};
}

const char *native_attach(struct client *client) {
  struct uffd_client_region regions[256];
  if (uffd_client_connect(&connection, options->socket)) return connection.error;
  connection.uffd = client->uffd;
  client->native = &connection;
  client->socket = connection.socket;
  for (uint64_t i = 0; i < client->count; i++) regions[i] = described(client, i);
  uint32_t count = (uint32_t)client->count, backings = client->memfd >= 0;
  return uffd_client_attach(&connection, regions, count, &client->memfd, backings) ? connection.error : NULL;
}

const char *native_try_add(struct client *client, uint64_t first) {
  struct uffd_client_region regions[256];
  uint64_t count = client->count - first;
  for (uint64_t i = 0; i < count; i++) regions[i] = described(client, first + i);
  int result =
      uffd_client_add(client->native, regions, (uint32_t)count, &client->memfd, client->memfd >= 0);
  return result ? connection.error : NULL;
}

void native_add(struct client *client, uint64_t first) {
  if (native_try_add(client, first)) fail("ADD_REGIONS: %s", connection.error);
}

void native_remove(struct client *client, const void *start, uint64_t length) {
  if (uffd_client_remove(client->native, start, length, -1)) fail("REMOVE_REGION: %s", connection.error);
}

void native_drain(struct client *client) {
  if (uffd_client_drain(client->native, -1)) fail("DRAIN: %s", connection.error);
}

uint64_t native_missing(struct client *client) {
  struct uffd_client_progress progress;
  if (uffd_client_progress(client->native, &progress)) fail("PROGRESS: %s", connection.error);
  return progress.missing;
}
