/* SPDX-License-Identifier: Apache-2.0 */
/* The test client: client SCENARIO --socket PATH --seed N --object BYTES [--option value ...]. See client.h. */
#define _GNU_SOURCE
#include "client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

struct counts counts;
static struct options chosen = {
    .seed = 1, .object = 16 << 20, .regions = 1, .threads = 4, .rounds = 100, .clients = 8, .seconds = 2,
    .random = 1, .alarm = 30, .dialect = FC_1_12, .mode = ""};
const struct options *options = &chosen;
static char current_step[256] = "its start";

/* --- Ends --------------------------------------------------------------------------------------- */

void step(const char *format, ...) {
  va_list list;
  va_start(list, format);
  vsnprintf(current_step, sizeof current_step, format, list);
  va_end(list);
}

static _Noreturn void end(int code, const char *format, va_list list) {
  char text[512];
  vsnprintf(text, sizeof text, format, list);
  dprintf(2, "client %d: %s: while %s: %s\n", getpid(), options->scenario, current_step, text);
  _exit(code);
}

_Noreturn void fail(const char *format, ...) {
  va_list list;
  va_start(list, format);
  end(1, format, list);
}

_Noreturn void fail_errno(const char *call) { fail("%s: %s", call, strerrorname_np(errno)); }

_Noreturn void skip(const char *format, ...) {
  va_list list;
  va_start(list, format);
  vdprintf(1, format, list);
  dprintf(1, "\n");
  va_end(list);
  _exit(77);
}

static void print_file(const char *path, const char *name) {
  char text[512];
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
  if (file >= 0) close(file);
  if (length <= 0) return;
  text[length] = 0;
  text[strcspn(text, "\n")] = 0;
  dprintf(2, " %s %s", name, text);
}

/* Where every thread of this process is. Touches no served memory. */
static void print_threads(void) {
  DIR *tasks = opendir("/proc/self/task");
  for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
    char path[320];
    if (entry->d_name[0] == '.') continue;
    dprintf(2, "  thread %s:", entry->d_name);
    snprintf(path, sizeof path, "/proc/self/task/%s/wchan", entry->d_name);
    print_file(path, "in");
    snprintf(path, sizeof path, "/proc/self/task/%s/syscall", entry->d_name);
    print_file(path, "system call");
    dprintf(2, "\n");
  }
}

static void *wait_for_the_end(void *argument) {
  (void)argument;
  uint64_t deadline = now_ns() + options->alarm * 1000000000ull;
  while (now_ns() < deadline) pause_ns(50000000);
  dprintf(2, "client %d: %s: HUNG for %u s while %s\n", getpid(), options->scenario, options->alarm, current_step);
  print_threads();
  _exit(3);
}

void watch(void) {
  static int is_child;
  if (is_child++) prctl(PR_SET_PDEATHSIG, SIGKILL);
  pthread_t watcher;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  if (pthread_create(&watcher, NULL, wait_for_the_end, NULL)) fail("no thread can be made");
  pthread_detach(watcher);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  /* Where even the watcher cannot run. */
  alarm(options->alarm + 5);
}

/* --- Options ------------------------------------------------------------------------------------ */

static uint64_t number(const char *text) {
  char *rest;
  uint64_t value = strtoull(text, &rest, 0);
  if (*rest == 'K') return value << 10;
  if (*rest == 'M') return value << 20;
  if (*rest == 'G') return value << 30;
  return value;
}

static int one_of(const char *word, const char *const *names, const char *what) {
  for (int i = 0; names[i]; i++)
    if (!strcmp(word, names[i])) return i;
  fail("%s is no %s", word, what);
}

static uint64_t events(const char *text) {
  uint64_t mask = 0;
  if (strstr(text, "remove")) mask |= UFFD_FEATURE_EVENT_REMOVE;
  if (strstr(text, "unmap")) mask |= UFFD_FEATURE_EVENT_UNMAP;
  if (strstr(text, "remap")) mask |= UFFD_FEATURE_EVENT_REMAP;
  if (strstr(text, "fork")) mask |= UFFD_FEATURE_EVENT_FORK;
  return mask;
}

static void take_option(const char *name, const char *value) {
  static const char *const dialects[] = {"fc1.1", "fc1.7", "fc1.12", "e2b", "native", NULL};
  static const char *const memories[] = {"anon", "shmem", "shmem-private", "hugetlb", "hugetlb-private", NULL};
  const struct {
    const char *name;
    uint64_t *value;
  } numbers[] = {
      {"seed", &chosen.seed},       {"object", &chosen.object},   {"bytes", &chosen.bytes},
      {"offset", &chosen.offset},   {"regions", &chosen.regions}, {"threads", &chosen.threads},
      {"rounds", &chosen.rounds},   {"clients", &chosen.clients}, {"random", &chosen.random},
      {"first-bad", &chosen.first_bad}, {"bad", &chosen.bad}};
  for (uint64_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
    if (!strcmp(name, numbers[i].name)) {
      *numbers[i].value = number(value);
      return;
    }
  if (!strcmp(name, "socket")) {
    chosen.socket = value;
  } else if (!strcmp(name, "dialect")) {
    chosen.dialect = (enum dialect)one_of(value, dialects, "dialect");
  } else if (!strcmp(name, "memory")) {
    chosen.memory = (enum memory_kind)one_of(value, memories, "kind of memory");
  } else if (!strcmp(name, "order")) {
    chosen.is_shuffled = !strcmp(value, "shuffled");
  } else if (!strcmp(name, "seconds")) {
    chosen.seconds = strtod(value, NULL);
  } else if (!strcmp(name, "alarm")) {
    chosen.alarm = (unsigned)number(value);
  } else if (!strcmp(name, "mode")) {
    chosen.mode = value;
  } else if (!strcmp(name, "events")) {
    chosen.events = events(value);
    chosen.has_events = 1;
  } else {
    fail("--%s is no option", name);
  }
}

static void (*find(const char *name))(void) {
#define ENTRY(function, word) \
  if (!strcmp(name, word)) return scenario_##function;
  SCENARIOS(ENTRY)
#undef ENTRY
  return NULL;
}

static void report(uint64_t started) {
  printf("{\"scenario\": \"%s\", \"pages\": %lu, \"pattern\": %lu, \"zero\": %lu, \"signals\": %lu, "
         "\"rounds\": %lu, \"discards\": %lu, \"writes\": %lu, \"killed\": %lu, \"p50_ns\": %lu, \"p99_ns\": %lu, "
         "\"max_ns\": %lu, \"wrong\": 0, \"ms\": %lu}\n",
         options->scenario, counts.pages, counts.pattern, counts.zero, counts.signals, counts.rounds,
         counts.discards, counts.writes, counts.killed, counts.p50, counts.p99, counts.worst,
         (now_ns() - started) / 1000000);
  fflush(stdout);
}

int main(int count, char **words) {
  if (count < 2) return fprintf(stderr, "usage: client SCENARIO --socket PATH [--option value ...]\n"), 2;
  chosen.scenario = words[1];
  void (*scenario)(void) = find(words[1]);
  if (!scenario) return fprintf(stderr, "client: there is no scenario %s\n", words[1]), 2;
  for (int i = 2; i + 1 < count; i += 2) {
    if (strncmp(words[i], "--", 2)) fail("%s is no option", words[i]);
    take_option(words[i] + 2, words[i + 1]);
  }
  if (!chosen.socket) fail("--socket is missing");
  if (!chosen.bytes) chosen.bytes = chosen.object;
  signal(SIGPIPE, SIG_IGN);
  /* Whoever started us may have blocked some. */
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  uint64_t started = now_ns();
  watch();
  scenario();
  report(started);
  /* Not exit(): threads may still sleep on purpose. */
  _exit(0);
}
