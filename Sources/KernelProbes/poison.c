/* SPDX-License-Identifier: Apache-2.0 */
/* POISON: the answer for a page that cannot be had. */
#define _GNU_SOURCE
#include "kernel_probes.h"
#include "probe_words.h"

#include <string.h>

#include <signal.h>

/* Two registered anonymous pages. */
static int two_pages(char **pages) {
  PROBE_NEED(POISON);
  int uffd = probe_uffd(0);
  *pages = probe_anonymous(2 * probe_page);
  probe_register(uffd, *pages, 2 * probe_page, CLINUX_REGISTER_MISSING);
  return uffd;
}

static void poison_sigbus(void) {
  char *pages;
  int uffd = two_pages(&pages);
  struct probe_thread thread;
  probe_start_access(&thread, pages);
  probe_expect_next(uffd, PROBE_MISSING, "the first access");
  probe_expect_code(probe_poison(uffd, pages, probe_page), 0, "POISON");
  probe_expect_access(&thread, PROBE_SIGNAL(SIGBUS), "the waiting access");
  probe_expect_byte(pages, PROBE_SIGNAL(SIGBUS), "a later access");
  probe_expect_fault(uffd, pages + probe_page, PROBE_MISSING, "the neighbour");
}

static void poison_kernel_access(void) {
  char *pages;
  int uffd = two_pages(&pages), ends[2];
  probe_expect_code(probe_poison(uffd, pages, probe_page), 0, "POISON");
  if (pipe2(ends, O_CLOEXEC)) probe_not_applicable("pipe: %s", strerrorname_np(errno));
  ssize_t length = write(ends[1], pages, 1);
  probe_expect_code(length < 0 ? -errno : 0, -EFAULT, "write(2) from the poisoned page");
}

static void poison_present(void) {
  char *pages;
  int uffd = two_pages(&pages);
  char *source = probe_source(probe_page, 0x5a);
  probe_expect_code(probe_copy(uffd, pages, source, probe_page), 0, "COPY");
  probe_expect_code(probe_poison(uffd, pages, probe_page), -EEXIST, "POISON of a present page");
  probe_expect_byte(pages, 0x5a, "the present page");
}

static void poison_after_unregister(void) {
  char *pages;
  int uffd = two_pages(&pages);
  probe_expect_code(probe_poison(uffd, pages, probe_page), 0, "POISON");
  probe_expect_code(clinux_uffd_unregister(uffd, (uint64_t)pages, 2 * probe_page), 0, "UNREGISTER");
  probe_expect_byte(pages, PROBE_SIGNAL(SIGBUS), "the poisoned page after UNREGISTER");
}

static void poison_after_close(void) {
  char *pages;
  int uffd = two_pages(&pages);
  probe_expect_code(probe_poison(uffd, pages, probe_page), 0, "POISON");
  close(uffd);
  probe_expect_byte(pages, PROBE_SIGNAL(SIGBUS), "the poisoned page after the last close");
}

static void poison_of_mapping(void) {
  PROBE_NEED(POISON);
  int uffd = probe_uffd(0), file = probe_memfd(probe_page);
  char *one = probe_map(file, probe_page, MAP_SHARED), *other = probe_map(file, probe_page, MAP_SHARED);
  probe_register(uffd, one, probe_page, CLINUX_REGISTER_MISSING);
  probe_expect_code(probe_poison(uffd, one, probe_page), 0, "POISON");
  probe_cache(file, 0, 0x5a);
  probe_expect_byte(one, PROBE_SIGNAL(SIGBUS), "the poisoned mapping");
  probe_expect_byte(other, 0x5a, "another mapping of the page");
}

static void poison_discarded(void) {
  char *pages;
  int uffd = two_pages(&pages);
  probe_expect_code(probe_poison(uffd, pages, probe_page), 0, "POISON");
  probe_expect_code(clinux_madvise(pages, probe_page, MADV_DONTNEED), 0, "MADV_DONTNEED");
  probe_expect_fault(uffd, pages, PROBE_MISSING, "the poisoned page after MADV_DONTNEED");
}

static const struct kernel_probe probes[] = {
    {"poison-sigbus", "a poisoned page gives SIGBUS to waiting and later accesses, its neighbour does not",
     poison_sigbus},
    {"poison-kernel-access", "a kernel access to a poisoned page fails with EFAULT", poison_kernel_access},
    {"poison-present", "POISON of a present page answers EEXIST and changes nothing", poison_present},
    {"poison-unregister", "poison survives UNREGISTER", poison_after_unregister},
    {"poison-close", "poison survives the close of the last userfaultfd", poison_after_close},
    {"poison-mapping", "poison belongs to the mapping, another mapping of the page reads well",
     poison_of_mapping},
    {"poison-discard", "MADV_DONTNEED takes poison away and the page is missing again", poison_discarded},
};
PROBE_TOPIC(probe_poisoning, probes);
