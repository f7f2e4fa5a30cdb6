/* SPDX-License-Identifier: Apache-2.0 */
/* What a client of served memory does, at C's speed whatever the build of the tests. */
#ifndef TEST_CLIENT_H
#define TEST_CLIENT_H

#include <stdint.h>

/* Where `memory` first differs from the test provider's content, or zeroes, as an index; -1: nowhere. */
int64_t client_first_difference(const void *memory, uint64_t offset, uint64_t length, uint64_t seed);
int64_t client_first_nonzero(const void *memory, uint64_t length);

/* Threads verify the whole of `memory`, each in an order of its own. Bytes that differ, over all threads. */
uint64_t client_verify(const void *memory, uint64_t offset, uint64_t length, uint64_t seed,
                       uint64_t granule, int threads);

/*
 * Each round takes a fresh page. One thread touches it, so that its fill is in flight, while this one gives
 * it back (MADV_DONTNEED) and then reads it. Rounds in which the read saw anything but zero.
 */
uint64_t client_discard_race(void *memory, uint64_t first, uint64_t rounds);
/*
 * The same of shared memory that is mapped twice: the thread touches the page in `sibling`, while this one
 * punches it (MADV_REMOVE) in `memory` and then reads it in both.
 */
uint64_t client_remove_race(void *memory, void *sibling, uint64_t rounds);

/*
 * One reader goes through `granules` pages in order, so that each fault takes many along; every 64 pages it
 * meets this thread, which gives back a page that is being read, taken along or about to be (MADV_DONTNEED), and
 * reads it then or in the end.
 * How often something was wrong: stale after it was given back, or neither content nor a zero that is right.
 * The memory is private. Makes no thread and allocates nothing.
 */
uint64_t client_window_race(void *memory, uint64_t granules, uint64_t seed);

#endif /* TEST_CLIENT_H */
