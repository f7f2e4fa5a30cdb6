/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this target share. */
#ifndef CBENCH_INTERNAL_H
#define CBENCH_INTERNAL_H

#include "cbench.h"

#include "clinux.h"

#include <pthread.h>
#include <stddef.h>

/* What a writing touch leaves in the first byte of a page. */
#define CBENCH_MARK 0x5a

/* Remembers the call for cbench_failure; returns -errno. */
int32_t cbench_failed(const char *call);

/* --- memory.c ----------------------------------------------------------------------------------------- */

struct cbench_areas {
  void *start[CBENCH_MOST_AREAS];
  int fd; /* the memfd they map; -1: none */
};

/* Maps job->regions areas: fresh memory, or with `private_file` copies of the image. */
int32_t cbench_map(const struct cbench_job *job, int private_file, struct cbench_areas *areas);
/* Puts the content into the memfd. */
int32_t cbench_publish(const struct cbench_job *job, struct cbench_areas *areas);
/* The image, mapped; its pages are in the page cache. NULL: it failed. */
const char *cbench_map_image(const struct cbench_job *job);
/*
 * Before a COPY from the image. A huge page's source is mapped in one go: COPY would leave its loop for each of
 * the source's faults (copy_folio_from_user), which takes longer than the rest of it. Of 4 KiB pages the kernel
 * maps the neighbours as well, and the loop is faster.
 */
static inline void cbench_reach(uint64_t source, uint64_t length, uint64_t page) {
  if (page > 4096) madvise((void *)(uintptr_t)source, length, CLINUX_MADV_POPULATE_READ);
}
/* Opens a uffd that reports discards, and registers `count` areas. */
int32_t cbench_watch(const struct cbench_job *job, struct cbench_areas *areas, uint32_t first, uint32_t count,
                     int blocking);
static inline uint64_t cbench_area_bytes(const struct cbench_job *job) { return job->bytes / job->regions; }

/* --- order.c ------------------------------------------------------------------------------------------ */

/* In an entry of an order: the page has not been touched before. */
#define CBENCH_FIRST 0x80000000u

/* The number of touches; fills `order`, which has room for every page. 0: a recorded order cannot be read. */
uint64_t cbench_make_order(const struct cbench_job *job, uint32_t *order);
/* SplitMix64. */
uint64_t cbench_random(uint64_t *state);

/* --- store.c ------------------------------------------------------------------------------------------ */

/* Makes a store that takes all of `bytes` bytes of zeroes, at least a page of 4 KiB. */
void cbench_store_build(void *memory, uint64_t bytes, uint64_t seed);
/* Works with a store, or a copy of it, and changes nothing. Records that are not as they were written. */
uint64_t cbench_store_use(const void *memory, uint64_t seed);

/* --- handler.c ---------------------------------------------------------------------------------------- */

struct cbench_region {
  uint64_t start, end; /* in the client */
  uint64_t offset;     /* of `start` in the content */
  uint64_t *discarded; /* a bit for each page that the client gave back */
};

struct cbench_server {
  const struct clinux_uffd_ops *calls;
  int uffd, bell;
  enum cbench_operation operation;
  enum cbench_wait wait;
  uint32_t readers, region_count;
  uint64_t page;
  uint64_t content; /* address of the mapped image */
  int image;        /* the peer reads it */
  struct cbench_region *regions;
  uint64_t started; /* readers that have begun */
  _Alignas(64) uint64_t exclusion;
  pthread_t threads[CBENCH_MOST_READERS];
};

/* For `count` regions from the job's region `first`; `starts` are their addresses in the client. */
int32_t cbench_server_init(struct cbench_server *server, const struct cbench_job *job, int uffd, uint32_t first,
                           uint32_t count, const uint64_t *starts, const char *content);
/* Starts the readers, as the minimal handler or in the peers' structure. */
int32_t cbench_server_start(struct cbench_server *server, int as_peer);
void cbench_server_stop(struct cbench_server *server);
/* Serves all of them on the calling thread, for ever. */
void cbench_serve_many(struct cbench_server *servers, uint32_t count);
/* Reads until the queue is empty, and serves. The loop of one reader, without its wait. */
void cbench_server_drain(struct cbench_server *server);

/* --- elsewhere.c -------------------------------------------------------------------------------------- */

/* cbench_demand with the handler in another process. */
int32_t cbench_demand_elsewhere(const struct cbench_job *job, struct cbench_result *result);

#endif /* CBENCH_INTERNAL_H */
