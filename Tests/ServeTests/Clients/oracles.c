/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of the client's memory, without a touch: /proc/self/smaps and pagemap. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

/* Whether the mapping at `address` is registered: VmFlags has um (missing) or ui (minor). */
static int is_watched(uint64_t address) {
  FILE *maps = fopen("/proc/self/smaps", "re");
  char line[512];
  int is_here = 0, is_watched = -1;
  if (!maps) fail_errno("/proc/self/smaps");
  while (is_watched < 0 && fgets(line, sizeof line, maps)) {
    unsigned long start, end;
    if (sscanf(line, "%lx-%lx ", &start, &end) == 2) is_here = start <= address && address < end;
    if (is_here && !strncmp(line, "VmFlags:", 8)) is_watched = strstr(line, " um") || strstr(line, " ui");
  }
  fclose(maps);
  if (is_watched < 0) fail("smaps has no mapping at %#lx", address);
  return is_watched;
}

void expect_watched(const struct client *client, int wanted) {
  for (uint64_t i = 0; i < client->count; i++) {
    uint64_t start = (uint64_t)client->regions[i].start;
    for (uint64_t at = start; at < start + client->regions[i].length; at += client->regions[i].length / 4)
      if (is_watched(at) != wanted) fail("smaps says that %#lx is%s watched", at, wanted ? " not" : "");
  }
}

/* Pages of all regions that are in the page table: bit 63 of their entries. */
uint64_t present_pages(const struct client *client) {
  int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  uint64_t present = 0, entry;
  if (file < 0) fail_errno("/proc/self/pagemap");
  for (uint64_t i = 0; i < client->count; i++)
    for (uint64_t j = 0; j < PAGES(client, i); j++) {
      uint64_t at = (uint64_t)client->regions[i].start + j * client->page;
      if (pread(file, &entry, sizeof entry, (off_t)(at / 4096 * 8)) != sizeof entry) fail_errno("pagemap");
      present += entry >> 63;
    }
  close(file);
  return present;
}

uint64_t all_pages(const struct client *client) {
  uint64_t pages = 0;
  for (uint64_t i = 0; i < client->count; i++) pages += PAGES(client, i);
  return pages;
}
