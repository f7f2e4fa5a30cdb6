/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What uffdhost is measured against, and with: a minimal handler in C, the structure that most handlers have,
 * the kernel's own faults, and the client that touches the memory of all of them in the same way. One
 * repetition is one process: a function here may be called once in it.
 *
 * Functions that can fail return 0 or a negative errno; cbench_failure() then names the call and the errno.
 */
#ifndef CBENCH_H
#define CBENCH_H

#include <stdint.h>

#define CBENCH_MOST_AREAS 256
#define CBENCH_MOST_READERS 64
#define CBENCH_MOST_THREADS 64

enum cbench_operation : int32_t {
  CBENCH_COPY,     /* a page is missing: its content is copied */
  CBENCH_ZERO,     /* a page is missing: it reads zero */
  CBENCH_CONTINUE, /* a page is in the page cache, but not mapped */
  CBENCH_POISON,   /* its content cannot be read: COPY answers EFAULT, then POISON */
};

enum cbench_memory : int32_t { CBENCH_ANON, CBENCH_SHMEM, CBENCH_HUGETLB };

/* How a handler learns that there are messages. */
enum cbench_wait : int32_t {
  CBENCH_EPOLL, /* epoll_wait(2) on the uffd and an eventfd, level-triggered */
  CBENCH_POLL,  /* poll(2) on both */
  CBENCH_READ,  /* a blocking read(2); nothing can wake such a reader but a message */
};

enum cbench_order : int32_t {
  CBENCH_RANDOM,     /* every page once */
  CBENCH_SEQUENTIAL, /* every page once, each thread from the start of its share */
  CBENCH_SPARSE,     /* every tenth page on average, in random order */
  CBENCH_ZIPF,       /* as many touches as pages; the page of rank r with a probability of 1/r */
  CBENCH_RECORDED,   /* some pages, each once, as a program touched them for the first time */
};

enum cbench_subject : int32_t {
  CBENCH_KERNEL,   /* the kernel's own fault for the same work */
  CBENCH_C,        /* the minimal handler */
  CBENCH_PEER,     /* poll, read one message, pread one page, COPY one page */
};

struct cbench_job {
  enum cbench_subject subject;
  enum cbench_operation operation;
  enum cbench_memory memory;
  enum cbench_wait wait;
  enum cbench_order order;
  uint32_t regions, threads, readers;
  uint32_t clients; /* userfaultfds of another process than the handler's: 0, 1, or one for each region */
  uint64_t page;  /* bytes */
  uint64_t bytes; /* of all regions together, a multiple of regions * page */
  uint64_t seed;
  int32_t is_spied; /* the handler's calls are those of cbench_spy_table */
  int32_t image; /* a file of at least `bytes` bytes: the content */
  int32_t recorded; /* a file with the recorded order: numbers of pages, 4 bytes each */
};

struct cbench_result {
  uint64_t touched; /* pages, each counted once */
  uint64_t bytes;   /* of these pages */
  uint64_t elapsed; /* nanoseconds from the first touch, or call, to the last */
  uint64_t mean, p50, p99, maximum; /* nanoseconds of a page's first touch */
  uint64_t wrong;       /* pages that differ from the content, or that did not raise SIGBUS */
  uint64_t first_wrong; /* offset of the first wrong page in the object */
};

/* What failed, for a sentence: "mmap (ENOMEM)". */
const char *cbench_failure(void);

/* --- One repetition of a case --------------------------------------------------------------------- */

/* Maps memory, serves it as the job's subject, touches it, compares it. */
int32_t cbench_demand(const struct cbench_job *job, struct cbench_result *result);
/* The same for filling everything: no touch, `threads` threads that call. */
int32_t cbench_fill(const struct cbench_job *job, struct cbench_result *result);
/* The handler's code alone: no kernel, see below. result->p50 is nanoseconds for a message, times 100. */
int32_t cbench_language(const struct cbench_job *job, struct cbench_result *result);
/* Writes the order in which a program of the bench's own touches its memory into the file job->recorded. */
int32_t cbench_record(const struct cbench_job *job, struct cbench_result *result);

/* The two halves for memory that somebody else serves: `areas` are job->regions pointers. */
int32_t cbench_touch(const struct cbench_job *job, void *const *areas, struct cbench_result *result);
/* Compares the pages of the job's order; with `is_marked` the first byte of each is what a touch left there. */
int32_t cbench_verify(const struct cbench_job *job, void *const *areas, int32_t is_marked,
                      struct cbench_result *result);

/*
 * Makes the content resident, so that no fault waits for a disk. Called before each repetition, because the
 * page cache may have been trimmed since the last one.
 */
int32_t cbench_warm(const struct cbench_job *job);

/* --- A client of a server in another process -------------------------------------------------------- */

/*
 * Maps anonymous memory, registers it, hands the uffds to the server at the socket `path` as Firecracker does,
 * then touches and compares. Waits up to `patience` nanoseconds for the process `server` to listen.
 */
int32_t cbench_client(const struct cbench_job *job, const char *path, int32_t server, uint64_t patience,
                      struct cbench_result *result);

/* --- The kernel replaced ------------------------------------------------------------------------------ */

/*
 * A table of calls (struct clinux_uffd_ops) that installs nothing and, once it is fed, reads faults of pages in
 * random order: full batches without a pause. Before and after that its reads are the kernel's.
 */
const void *cbench_mock_table(void);
/* So many times over all pages, after a first time that is not counted. */
#define CBENCH_LANGUAGE_PASSES 8
/* Installs succeed and do nothing from now on. */
void cbench_mock_swallow(void);
/* Faults on each of the first job->bytes - job->page bytes of each area, once; then the kernel again. */
int32_t cbench_mock_feed(const struct cbench_job *job, void *const *areas);
/* Messages that were read, and nanoseconds of CPU from the first to the read that found no more. 0: not yet. */
uint64_t cbench_mock_messages(void);
uint64_t cbench_mock_nanoseconds(void);

/*
 * The kernel's calls with a clock beside them. The report replaces the figures of a result by those of a handler's
 * own code between read and install, which include one reading of the clock.
 */
const void *cbench_spy_table(void);
void cbench_spy_report(struct cbench_result *result);

/* --- The bench's own process --------------------------------------------------------------------------- */

/*
 * A file without a name in `folder`, or a memfd where that is NULL, with `bytes` of content that no compression
 * shortens, or of one hole. What was written is on the disk. Children inherit it.
 */
int32_t cbench_make_image(const char *folder, uint64_t bytes, int32_t is_hole);
/* Maps the calling process to one CPU, or says which one that would be. Negative errno on failure. */
int32_t cbench_pin(void);
int32_t cbench_cpu_count(void);
/*
 * Holds every 16th page of `bytes`. A hypervisor that takes free memory back takes blocks of 32 pages, so what
 * lies between stays backed: else the first touch of a page would measure the hypervisor.
 */
int32_t cbench_keep_backed(uint64_t bytes);
/* Nanoseconds for the first touch of a page, the median of a few hundred. 0: there is no memory. */
uint64_t cbench_fresh_page(void);
/* Time of all CPUs so far that was not idle, in nanoseconds, from /proc/stat. */
uint64_t cbench_busy(void);
uint64_t cbench_free_huge_pages(void);
uint64_t cbench_available_memory(void);
uint64_t cbench_now(void);

struct cbench_child {
  int32_t code;     /* exit code, or 128 and the signal */
  uint64_t elapsed; /* nanoseconds from before the start to the end */
  uint64_t busy;    /* CPU time of the process and its children */
};

/*
 * Runs a program to its end, or kills it after `limit` nanoseconds. What it writes to descriptor 3 goes to
 * `report`, with a 0 at the end.
 */
int32_t cbench_run(const char *path, char *const *arguments, uint64_t limit, char *report, uint64_t room,
                   struct cbench_child *child);
/* Starts a program whose output and errors go nowhere; the process, or a negative errno. */
int32_t cbench_start(const char *path, char *const *arguments);
/* Kills it and waits for its end. */
void cbench_end(int32_t process);

#endif /* CBENCH_H */
