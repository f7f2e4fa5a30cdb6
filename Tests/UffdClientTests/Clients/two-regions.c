/* SPDX-License-Identifier: Apache-2.0 */
/* A client in C: the halves of an object in two regions. One is looked at, discarded and drained, the other is
 * removed. Arguments: socket, kind of memory, page size, file. */
#define UFFD_CLIENT_IMPLEMENTATION
#include "uffd_client.h"

static struct uffd_client c;

static void check(int is_right, const char *what) {
  if (is_right) return;
  printf("failed: %s (%s)\n", what, c.error);
  exit(1);
}
#define CALL(call) check((call) == UFFD_CLIENT_OK, #call)

static unsigned char *load(const char *path, uint64_t *size) {
  FILE *file = fopen(path, "rb");
  unsigned char *bytes;
  check(file != NULL && fseek(file, 0, SEEK_END) == 0, "opening the file");
  *size = (uint64_t)ftell(file);
  rewind(file);
  bytes = (unsigned char *)malloc(*size);
  check(bytes != NULL && fread(bytes, 1, *size, file) == *size, "reading the file");
  fclose(file);
  return bytes;
}

int main(int argc, char **argv) {
  struct uffd_client_mapping a, b;
  struct uffd_client_progress progress;
  uint64_t size, half, page, i;
  enum uffd_client_memory memory;
  unsigned char *expected;
  char *json;
  int result;
  check(argc == 5, "arguments");
  alarm(40);
  memory = (enum uffd_client_memory)atoi(argv[2]);
  page = strtoull(argv[3], NULL, 10);
  expected = load(argv[4], &size);
  half = size / 2;

  CALL(uffd_client_connect(&c, argv[1]));
  CALL(uffd_client_open_uffd(&c, UFFD_CLIENT_FEATURES, UFFD_CLIENT_USER_MODE_ALLOWED));
  CALL(uffd_client_map(&c, memory, page, half, 0, &a));
  CALL(uffd_client_attach(&c, &a.region, 1, &a.backing, a.backing < 0 ? 0 : 1));
  check(c.session != 0, "a session");
  CALL(uffd_client_map(&c, memory, page, half, half, &b));
  CALL(uffd_client_add(&c, &b.region, 1, &b.backing, b.backing < 0 ? 0 : 1));

  for (i = 0; i < half; i += 3 * page) check(a.memory[i] == expected[i], "the first half, early");
  CALL(uffd_client_progress(&c, &progress));
  check(progress.phase == UFFD_CLIENT_SERVING && progress.regions == 2 && progress.bytes == size, "progress");
  check(progress.resident > 0 && progress.missing > 0, "some pages, not all");
  check(progress.faults_missing + progress.faults_minor > 0, "faults");

  /* Discarded: zero, but where the content is in a file that is still there. */
  check(madvise(a.memory, page, MADV_DONTNEED) == 0, "MADV_DONTNEED");
  check(a.memory[9] == (memory == UFFD_CLIENT_MEMFD_SHARED ? expected[9] : 0), "the discarded page");

  CALL(uffd_client_status(&c, &json));
  check(json[0] == '{' && strstr(json, "native") != NULL, "the status");
  free(json);

  result = uffd_client_attach(&c, &a.region, 1, &a.backing, a.backing < 0 ? 0 : 1);
  check(result == UFFD_CLIENT_REFUSED && c.code == UFFD_WIRE_CODE_REQUEST, "a second attach");
  result = uffd_client_remove(&c, b.memory + page, page, 20000);
  check(result == UFFD_CLIENT_REFUSED, "removing a part of a region");

  CALL(uffd_client_remove(&c, b.memory, b.length, 20000));
  check(memcmp(b.memory, expected + half, half) == 0, "the second half");
  check(munmap(b.memory, b.length) == 0, "munmap");

  while ((result = uffd_client_drain(&c, 0)) == UFFD_CLIENT_TIMEOUT) CALL(uffd_client_progress(&c, &progress));
  check(result == UFFD_CLIENT_OK && c.is_drained, "the drain");
  CALL(uffd_client_progress(&c, &progress));
  check(progress.phase == UFFD_CLIENT_DRAINED && progress.missing == 0 && progress.poisoned == 0, "the end");
  uffd_client_close(&c);
  check(c.uffd == -1, "a closed uffd");
  check(memcmp(a.memory + page, expected + page, half - page) == 0, "the first half, late");
  printf("done\n");
  return 0;
}
