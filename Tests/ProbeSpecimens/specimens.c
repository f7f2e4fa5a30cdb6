/* SPDX-License-Identifier: Apache-2.0 */
/* The bodies of the wrong probes; each runs in the runner's child, like a right one. */
#define _GNU_SOURCE
#include "probe_specimens.h"

#include "probe_words.h"

#include <stdlib.h>

static void is_false(void) {
  int uffd = probe_uffd(0);
  char *page = probe_anonymous(probe_page), *source = probe_source(probe_page, 0x5a);
  probe_register(uffd, page, probe_page, CLINUX_REGISTER_MISSING);
  probe_expect_code(probe_copy(uffd, page, source, probe_page), 0, "COPY");
  probe_expect_code(probe_copy(uffd, page, source, probe_page), 0, "COPY again");
}

static void hangs(void) {
  int uffd = probe_uffd(0);
  char *page = probe_anonymous(probe_page);
  probe_register(uffd, page, probe_page, CLINUX_REGISTER_MISSING);
  clinux_touch(page, 0);
}

static void crashes(void) { abort(); }

static void is_silent(void) { _exit(0); }

const struct kernel_probe probe_specimen_false = {"specimen-false", "COPY replaces a present page",
                                                  is_false};
const struct kernel_probe probe_specimen_hangs = {"specimen-hangs", "an unserved page is there", hangs};
const struct kernel_probe probe_specimen_crashes = {"specimen-crashes", "abort returns", crashes};
const struct kernel_probe probe_specimen_silent = {"specimen-silent", "_exit returns", is_silent};
