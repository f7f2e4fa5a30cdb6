/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For as long as it takes: many clients of all dialects and kinds, each of which does something else, and a hand
 * that kills some of them. What ends by itself must have been right.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"

#define MOST 256

struct seat {
  pid_t pid;
  uint64_t started, number;
  /* When it is killed; 0: it may end by itself. */
  uint64_t dies;
  char line[320];
};

static uint64_t done, killed, skipped;

/*
 * The command line of one client: scenario, dialect, memory and sizes by chance. A server has pages of one size:
 * its clients are all of huge pages, or none is.
 */
static void choose(struct seat *seat, struct chance *chance, int has_huge_pages) {
  static const struct {
    const char *scenario, *memory, *dialects, *more;
  } kinds[] = {
      {"storm", "anon", "fnme", ""},          {"storm", "shmem", "fnm", ""},
      {"storm", "shmem-private", "fnm", ""},  {"storm", "anon", "fnme", "--regions 8 --order shuffled"},
      {"touch", "anon", "fnmeo", ""},         {"touch", "shmem", "fnm", "--regions 5 --order shuffled"},
      {"discard", "anon", "fnm", ""},         {"free", "anon", "fnm", "--rounds 500"},
      {"unmap", "anon", "fnm", ""},           {"remap", "anon", "fnm", "--regions 9"},
      {"fork", "anon", "fnm", ""},            {"split", "anon", "fnm", ""},
      {"signals", "anon", "fnm", ""},         {"syscalls", "shmem", "fnm", ""},
      {"storm-drain", "anon", "n", ""},       {"storm-drain", "shmem", "n", ""},
      {"storm", "hugetlb-private", "fn", ""}, {"touch", "hugetlb", "fn", ""}};
  static const char *const names[] = {"f", "fc1.12", "m", "fc1.7", "o", "fc1.1", "e", "e2b", "n", "native"};
  uint64_t small = sizeof kinds / sizeof kinds[0] - 2;
  uint64_t index = has_huge_pages ? small + draw_below(chance, 2) : draw_below(chance, small);
  char letter[2] = {kinds[index].dialects[draw_below(chance, strlen(kinds[index].dialects))], 0};
  const char *dialect = "fc1.12";
  for (int i = 0; i < 10; i += 2)
    if (!strcmp(names[i], letter)) dialect = names[i + 1];
  int is_huge = !strncmp(kinds[index].memory, "hugetlb", 7);
  uint64_t bytes = is_huge ? 4 << 20 : 1ull << (20 + draw_below(chance, 3));
  uint64_t room = options->object - bytes, offset = draw_below(chance, room / (2 << 20)) * (2 << 20);
  snprintf(seat->line, sizeof seat->line,
           "%s --dialect %s --memory %s --bytes %lu --offset %lu --threads %lu --seconds %lu.%lu --random %lu %s",
           kinds[index].scenario, dialect, kinds[index].memory, bytes, offset, 2 + draw_below(chance, 4),
           draw_below(chance, 3), 1 + draw_below(chance, 9), draw_below(chance, 1000000), kinds[index].more);
  seat->dies = draw_below(chance, 3) == 0 ? now_ns() + draw_below(chance, 2000000000) : 0;
}

static void start(struct seat *seat) {
  seat->started = now_ns();
  seat->pid = fork();
  if (seat->pid < 0) fail_errno("fork");
  if (seat->pid > 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  static char fixed[3][24];
  char *words[48] = {"client", NULL};
  int count = 1;
  for (char *word = strtok(seat->line, " "); word; word = strtok(NULL, " ")) words[count++] = word;
  snprintf(fixed[0], sizeof fixed[0], "%lu", options->seed);
  snprintf(fixed[1], sizeof fixed[1], "%lu", options->object);
  snprintf(fixed[2], sizeof fixed[2], "%u", options->alarm);
  char *const rest[] = {"--socket", (char *)options->socket, "--seed",  fixed[0],
                        "--object", fixed[1],                "--alarm", fixed[2], NULL};
  memcpy(words + count, rest, sizeof rest);
  if (!freopen("/dev/null", "w", stdout)) _exit(1);
  execv("/proc/self/exe", words);
  _exit(1);
}

static void judge(struct seat *seat, int status) {
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && seat->dies && now_ns() >= seat->dies) {
    killed++;
  } else if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    done++;
  } else if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
    skipped++;
  } else {
    fail("client %lu ended with %#x after %lu ms (3: it hung): %s", seat->number, status,
         (now_ns() - seat->started) / 1000000, seat->line);
  }
  seat->pid = 0;
}

void scenario_soak(void) {
  static struct seat seats[MOST];
  struct chance chance = {options->random};
  if (options->clients > MOST) fail("%d clients are the most", MOST);
  uint64_t deadline = now_ns() + (uint64_t)(options->seconds * 1e9), number = 0, left = options->clients;
  int has_huge_pages = strcmp(options->mode, "huge-pages") == 0;
  while (left > 0) {
    left = 0;
    for (uint64_t i = 0; i < options->clients; i++) {
      struct seat *seat = &seats[i];
      int status;
      if (seat->pid && waitpid(seat->pid, &status, WNOHANG) == seat->pid) judge(seat, status);
      if (seat->pid && seat->dies && now_ns() >= seat->dies) kill(seat->pid, SIGKILL);
      if (!seat->pid && now_ns() < deadline) {
        choose(seat, &chance, has_huge_pages);
        seat->number = number++;
        start(seat);
      }
      left += seat->pid != 0;
    }
    step("soaking: %lu done, %lu killed", done, killed);
    pause_ns(3000000);
  }
  counts.rounds = done;
  counts.killed = killed;
  if (skipped > done / 2) fail("%lu clients were skipped", skipped);
}
