/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is registered, and touched before it is handed over. */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

/* One region is served; the other one is `place` regions' lengths from it. */
static struct client *open_beside(int64_t place) {
  struct client *client = client_map();
  uint64_t length = client->regions[0].length;
  char *memory = reserve(length * 5) + length * 2;
  if (options->dialect != NATIVE) fail("only the native dialect can add regions");
  client->count = 1;
  client->regions[0] = (struct region){memory, length, options->offset};
  map_at(client, memory, length, options->offset);
  client_register(client, EVENTS_DEFAULT);
  client_hand_over(client);
  expect_pattern(memory, client->page, options->offset);
  char *other = memory + place * (int64_t)length;
  client->regions[1] = (struct region){other, length, options->offset + length};
  if (client->regions[1].offset + length > options->object) fail("the object is too small for two regions");
  map_at(client, other, length, client->regions[1].offset);
  register_range(client, other, length);
  return client;
}

/* --mode: whether the memory lies above the region that is served, or below. */
static struct client *open_apart(void) { return open_beside(!strcmp(options->mode, "below") ? -2 : 2); }

/* Whoever touches it sleeps until it is handed over, and reads the content. */
void scenario_early(void) {
  struct client *client = open_apart();
  struct sleeper reader;
  if (!sleeper_start(&reader, client->regions[1].start + (PAGES(client, 1) - 1) * client->page))
    fail("memory that was not handed over can be read");
  /* The server has long read the fault. */
  pause_ns(50000000);
  client->count = 2;
  native_add(client, 1);
  step("waiting for the thread that was early");
  pthread_join(reader.thread, NULL);
  if (reader.signal_number != 0) fail("it got signal %d", reader.signal_number);
  verify_region(client, 0, options->random);
  verify_region(client, 1, options->random);
  check_settled(client);
}

/* It never is: the page is poisoned when the deadline of a fault has passed, and the thread does not sleep on. */
void scenario_early_never(void) {
  struct client *client = open_apart();
  uint64_t word;
  int signal_number = try_read(client->regions[1].start, &word);
  if (signal_number != SIGBUS) fail("memory that was never handed over costs signal %d", signal_number);
  COUNT(signals, 1);
  verify_region(client, 0, options->random);
  check_settled(client);
}

/* Right behind a region it looks like one that has grown: it reads zero, and the hand-over says so. */
void scenario_early_adjacent(void) {
  struct client *client = open_beside(1);
  expect_zero(client->regions[1].start + 2 * client->page, client->page);
  client->count = 2;
  const char *error = native_try_add(client, 1);
  if (error == NULL) fail("the server takes memory that reads zero already");
  if (strstr(error, "touched before it was handed over") == NULL) fail("the server says: %s", error);
  verify_region(client, 0, options->random);
  check_settled(client);
}
