/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the scenarios of the test client share: its options, its memory, the hand-off, threads, oracles, and
 * the ways to end. A scenario ends with its counts on one line of JSON if every byte was right; at the first
 * wrong one it says which and exits with 1. When its time is over it says where it hung and exits with 3.
 * 77: it does not apply here.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum memory_kind { ANON, SHMEM, SHMEM_PRIVATE, HUGETLB, HUGETLB_PRIVATE };

/* How the userfaultfd is handed over. The first three are generations of Firecracker, E2B is its fork. */
enum dialect { FC_1_1, FC_1_7, FC_1_12, E2B, NATIVE };

struct options {
  const char *scenario;
  const char *socket;
  enum dialect dialect;
  enum memory_kind memory;
  /* What the provider was given: pattern=seed size=object. */
  uint64_t seed, object;
  /* Memory that is handed over, showing the object from byte `offset` on, in `regions` parts of one size. */
  uint64_t bytes, offset;
  uint64_t regions;
  /* The parts lie in memory in another order than in the object. */
  int is_shuffled;
  uint64_t threads, rounds, clients;
  double seconds;
  /* Decides what is left to chance. */
  uint64_t random;
  /* UFFD_FEATURE_EVENT_*; what the scenario needs, unless said. */
  uint64_t events;
  int has_events;
  /* A variant that the scenario knows. */
  const char *mode;
  /* The provider fails for granules first_bad ..< first_bad + bad. */
  uint64_t first_bad, bad;
  unsigned alarm;
};

/* Memory of the client that shows the object from byte `offset` on. */
struct region {
  char *start;
  uint64_t length, offset;
};

struct client {
  const struct options *options;
  enum memory_kind memory;
  uint64_t page;
  struct region regions[256];
  uint64_t count;
  /* Of memory that is a file; else -1. Its byte n shows the object's byte n. */
  int memfd;
  int uffd;
  /* To the server; -1 if it was closed after the hand-off. */
  int socket;
  /* Of the native dialect; NULL in others. */
  struct uffd_client *native;
};

/* Counts for the last line. Threads add to them with `count`. */
struct counts {
  uint64_t pages, pattern, zero, signals, rounds, discards, writes, killed, p50, p99, worst;
};
extern struct counts counts;
#define COUNT(field, n) __atomic_fetch_add(&counts.field, (uint64_t)(n), __ATOMIC_RELAXED)

#define PAGES(client, region) ((client)->regions[region].length / (client)->page)

/* --- Ends (client.c) ---------------------------------------------------------------------------- */

extern const struct options *options;

/* What is being done; said if the scenario fails or hangs. */
void step(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The scenario failed. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A system call failed that the scenario needs. */
_Noreturn void fail_errno(const char *call);
_Noreturn void skip(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Starts to watch this process; a forked child calls it too, and dies with its parent. */
void watch(void);

/* --- Memory and hand-off (memory.c, handoff.c) -------------------------------------------------- */

#define EVENTS_DEFAULT UFFD_FEATURE_EVENT_REMOVE

/* Maps, registers and hands over what the options say. `events`: what the scenario needs. */
struct client *client_open(uint64_t events);
/* The parts of it. */
struct client *client_map(void);
void client_register(struct client *client, uint64_t events);
void client_hand_over(struct client *client);
int open_uffd(uint64_t features);
void register_range(const struct client *client, const void *start, uint64_t length);
int connect_to(const char *path);
/* Sends everything, with `count` descriptors on the first byte. */
int send_with(int socket, const void *bytes, uint64_t length, const int *descriptors, int count);
/* The native dialect's attach. NULL, or why the server refuses. */
const char *native_attach(struct client *client);
/* Regions from `first` on join the session. Of the first: NULL, or why the server refuses. */
const char *native_try_add(struct client *client, uint64_t first);
void native_add(struct client *client, uint64_t first);
void native_remove(struct client *client, const void *start, uint64_t length);
void native_drain(struct client *client);
uint64_t native_missing(struct client *client);
/* The JSON array of a Firecracker hand-off. */
uint64_t firecracker_array(const struct client *client, char *text, uint64_t room);
uint64_t page_size(enum memory_kind kind);
/* Address space for `bytes` that begins on a multiple of 2 MiB. */
char *reserve(uint64_t bytes);
/* Maps memory of the client's kind at `at`; of a memfd, from byte `offset` on. */
void map_at(const struct client *client, char *at, uint64_t length, uint64_t offset);
int is_shared(enum memory_kind kind);
/* Nobody sleeps on a page or waits for an event to be read any more: /proc/self/fdinfo says so. */
void check_settled(const struct client *client);

/* --- What the kernel says of it, without a touch (oracles.c) -------------------------------------- */

/* Every region is registered with a userfaultfd, or none is. */
void expect_watched(const struct client *client, int wanted);
/* Pages that are in the page table, and pages of all regions. */
uint64_t present_pages(const struct client *client);
uint64_t all_pages(const struct client *client);

/* --- Content (content.c) ------------------------------------------------------------------------ */

/* What a page showed, word by word in ascending order. TURNED: first content, then zeroes. */
enum shown { SHOWS_PATTERN, SHOWS_ZERO, SHOWS_TURNED, SHOWS_WRONG };
enum shown look(const volatile void *memory, uint64_t length, uint64_t offset);
/* Fails unless the bytes are the object's from `offset` on. */
void expect_pattern(const volatile void *memory, uint64_t length, uint64_t offset);
void expect_zero(const volatile void *memory, uint64_t length);
/* Verifies a whole region, in the order of `random` if that is not 0. */
void verify_region(const struct client *client, uint64_t region, uint64_t random);
/* A value of the page at `memory`: reads one word. 0, or the signal that it cost. */
int try_read(const volatile void *memory, uint64_t *word);
/* Whether the thread `tid` sleeps in this function of the kernel. */
int sleeps_in(pid_t tid, const char *function);
int waits_until_asleep(pid_t tid);

/* A thread that reads a word, and sleeps if its page is missing. */
struct sleeper {
  const volatile char *at;
  pthread_t thread;
  pid_t tid;
  /* Once it has ended: what the word cost, and what it was. */
  int signal_number;
  uint64_t word;
};
/* Starts it at `at`, and returns once it sleeps on its page; 0: it does not. */
int sleeper_start(struct sleeper *sleeper, const volatile void *at);

/* --- What the client itself did to its pages (ledger.c) ------------------------------------------ */

enum state { IS_PATTERN, IS_ZERO, IS_EITHER, IS_UNMAPPED };

/* One page: where it is, what it must show, and the one word that the client wrote into it (0: none). */
struct entry {
  char *at;
  uint64_t offset, written;
  uint8_t state, lock;
  /* Somebody has looked at it, or written: the page was there. */
  uint8_t is_seen;
  /* Set once the page can never show the object again. */
  uint8_t is_gone;
};

struct ledger {
  const struct client *client;
  uint64_t count;
  struct entry *entries;
};

/* Every page of the client's regions, in their order. */
struct ledger *ledger_new(const struct client *client);
void ledger_check(struct ledger *ledger, uint64_t index);
void ledger_check_all(struct ledger *ledger, uint64_t random);
void ledger_write(struct ledger *ledger, uint64_t index, uint64_t value);
/* madvise over neighbours: as many of [first, first + count) as lie behind each other in memory. How many. */
uint64_t ledger_discard(struct ledger *ledger, uint64_t first, uint64_t count, int advice);

/* --- Chance and threads ------------------------------------------------------------------------- */

struct chance {
  uint64_t state;
};
uint64_t draw(struct chance *chance);
/* One of 0 ..< bound. */
static inline uint64_t draw_below(struct chance *chance, uint64_t bound) { return draw(chance) % bound; }

void run_threads(uint64_t count, void *(*body)(void *), void *argument);
/* The number of a thread that `run_threads` started, from 0. */
extern _Thread_local uint64_t thread_number;

uint64_t now_ns(void);
void pause_ns(uint64_t nanoseconds);
/* Waits for a child; fails unless it ended with 0. */
void expect_success(pid_t child);
/* The middle and the 99th of a hundred of `count` samples go to the counts, and the worst. */
void count_latencies(uint64_t *samples, uint64_t count);

/* --- The scenarios ------------------------------------------------------------------------------ */

#define SCENARIOS(X) \
  X(touch, "touch") X(syscalls, "syscalls") X(signals, "signals") X(discard, "discard") \
  X(discard_free, "free") X(discard_remove, "remove") X(discard_shared, "dontneed-shared") \
  X(discard_partly, "partly") X(storm, "storm") X(storm_drain, "storm-drain") X(unmap, "unmap") \
  X(unmap_asleep, "unmap-asleep") X(unmap_wide, "unmap-wide") X(unmap_anew, "unmap-anew") \
  X(unmap_many, "unmap-many") X(early, "early") X(early_adjacent, "early-adjacent") \
  X(early_never, "early-never") \
  X(remap, "remap") X(fork_chain, "fork") X(fork_unseen, "fork-unseen") X(split, "split") \
  X(exec_away, "exec") X(killed, "kill") X(memcg, "memcg") X(truncated, "truncated") \
  X(unsealed, "unsealed") X(poison, "poison") X(asleep, "asleep") X(drained, "drained") \
  X(orphan, "orphan") X(hostile, "hostile") X(crowd, "crowd") X(quiet, "quiet") X(kvm, "kvm") \
  X(soak, "soak") X(latency, "latency") \
  X(grown, "grown") X(successors, "successors") X(blocking, "blocking")
#define DECLARE(function, name) void scenario_##function(void);
SCENARIOS(DECLARE)
#undef DECLARE

#endif
