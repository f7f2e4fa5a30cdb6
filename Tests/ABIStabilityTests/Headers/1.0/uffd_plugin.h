/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uffd_plugin.h: the contract between uffdhost and a memory provider. ABI 1.0 (candidate).
 *
 * A provider is a shared library that knows what memory contains. The host is a page-fault server:
 * it owns the userfaultfd, the memory and the mappings, and asks the provider for content, one folio
 * at a time. A provider never sees a uffd, a client address, a process id, a page table or an errno.
 *
 * This header is all a provider needs. It includes nothing but <stddef.h> and <stdint.h>, and a
 * provider has no undefined host symbols: host services arrive as a table of functions.
 *
 *
 * THE SMALLEST PROVIDER
 *
 * Export one function, uffd_provider_entry_v1, that returns a table which never changes. The table
 * needs configure, config_complete, close, and, to serve missing faults, alloc_folio. README.md has
 * one in 40 lines of C.
 *
 *
 * WORDS (the kernel's, where it has one)
 *
 *   instance   one configured provider; owns one object
 *   object     the content: object_size bytes, addressed by pgoff
 *   granule    the unit of serving in bytes: 4096, 2 MiB or 1 GiB; always a power of two
 *   pgoff      index of a granule in the object; never an address
 *   folio      one or more consecutive granules: (instance, pgoff, count)
 *   backing    memory the host created for an instance: at most one, a shmem or hugetlb memfd
 *   region     a window of client memory onto the object; many regions may map one backing
 *   filemap    the provider's index of which pgoffs the backing holds, with its accounting
 *   missing    a fault on a page that nothing fills yet
 *   minor      a fault on a page that the backing holds and the client has not mapped
 *   publish    to put a folio into the backing, where every region of it can see it
 *   lend       to answer with a pointer to the provider's own memory; ends with put_folio
 *   ticket     the host's name for one question that may be answered later
 *
 *
 * LIFE OF AN INSTANCE
 *
 *   entry -> configure -> config_complete -> can_userfault* -> [ alloc_folio .. flush ]* -> close
 *
 * One library may have many instances at once, with different parameters. There is no global state
 * in the contract: every hook is given the instance.
 *
 *
 * THREADS
 *
 * The table declares one of three models; config_complete may tighten it for its instance.
 *
 *   SERIAL        every hook of every instance of the library runs on one and the same thread
 *   PER_INSTANCE  the hooks of one instance never overlap; the thread may change
 *   PARALLEL      any hook but configure, config_complete and close may run on any number of threads
 *
 * configure, config_complete and close never overlap another hook of the same instance.
 * The host calls every hook with no lock of its own held. There is one exception to the models:
 * cancel may run on any thread while another hook runs, or it could not do its work.
 * Host services may be called from any thread, at any time from configure until close returns.
 *
 *
 * BLOCKING
 *
 * A client thread sleeps while a fault is served. A provider whose hooks may wait (disk, network, a
 * lock held for long) sets UFFD_BEHAVIOUR_BLOCKS or uffd_traits.may_block; the hooks that say "may
 * block" below then run on workers. A provider that declares neither is called on the thread that
 * reads the faults, and must return promptly: no I/O, no sleeping, no lock that anybody holds while
 * doing either. A hook that says "must not block" must return promptly in every provider: if that is
 * PARALLEL, it is called on the thread that reads the faults.
 *
 *
 * OWNERSHIP
 *
 * Memory that crosses belongs to whoever allocated it; nobody frees the other side's memory. A
 * pointer that a hook is given lives until the hook returns, except where the hook says otherwise.
 * A provider never keeps a pointer into a request, and never writes to staging after its answer.
 *
 *
 * WHAT MUST NOT HAPPEN
 *
 * No C++ exception, Rust panic or longjmp may leave a hook. No exit(), fork(), chdir(), setenv(),
 * setlocale() or signal handler after configure. Descriptors are opened O_CLOEXEC. Threads live
 * between config_complete and close. A library is never unloaded.
 *
 *
 * GROWTH
 *
 * The major version is in the name of the exported symbol, so another major is a missing symbol and
 * never a misread struct. Within a major, structs grow at the end only; each begins with its size.
 * A field past the size the other side declares reads as zero, and zero means "as before". Reserved
 * fields are zero. A bit or value that the host does not know makes it refuse, unless the provider was
 * compiled for a newer minor than the host's: then unknown capability bits are ignored, like the hooks
 * they stand for. A provider that cannot do without them sets requires_minor.
 */
#ifndef UFFD_PLUGIN_H
#define UFFD_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

/* --- How the header adapts to the compiler ------------------------------------------------------ */

#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpragmas"
#pragma clang diagnostic ignored "-Wunknown-warning-option"
#pragma clang diagnostic ignored "-Wnullability-extension"
#pragma clang diagnostic ignored "-Wfixed-enum-extension"
#pragma clang diagnostic ignored "-Wc++11-extensions"
#pragma clang diagnostic ignored "-Wc23-extensions"
#pragma clang diagnostic ignored "-Wpre-c23-compat"
#define UFFD_NULLABLE _Nullable
#define UFFD_NONNULL _Nonnull
/* Open enumerations of a fixed width: a value from a newer peer is a value, not undefined. */
#define UFFD_ENUM(name) \
  enum __attribute__((enum_extensibility(open))) name : uint32_t; \
  typedef enum name name; \
  enum __attribute__((enum_extensibility(open))) name : uint32_t
#define UFFD_OPTIONS(name) \
  enum __attribute__((enum_extensibility(open), flag_enum)) name : uint64_t; \
  typedef enum name name; \
  enum __attribute__((enum_extensibility(open), flag_enum)) name : uint64_t
#define UFFD_SWIFT_NAME(name) __attribute__((swift_name(#name)))
#else
#define UFFD_NULLABLE
#define UFFD_NONNULL
#define UFFD_ENUM(name) \
  typedef uint32_t name; \
  enum name##_values
#define UFFD_OPTIONS(name) \
  typedef uint64_t name; \
  enum name##_values
#define UFFD_SWIFT_NAME(name)
#endif

#if defined(_WIN32)
#error "userfaultfd is a Linux facility"
#endif
#define UFFD_EXPORT __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

/* --- Versions ----------------------------------------------------------------------------------- */

#define UFFD_ABI_MAJOR 1u
#define UFFD_ABI_MINOR 0u
/* The value of every `abi` field: major in the upper, minor in the lower 16 bits. */
#define UFFD_ABI 0x00010000u

/* True if the struct behind `pointer`, whose first field is its size, is long enough to hold `field`. */
#define UFFD_HAS(type, pointer, field) \
  ((pointer)->size >= offsetof(type, field) + sizeof((pointer)->field))

/* --- Values ------------------------------------------------------------------------------------- */

/*
 * What a hook answers. The set is closed for ABI 1: any other value means that the provider is broken,
 * and its regions fail closed. There is no errno; text goes to uffd_host.report_error.
 */
UFFD_ENUM(uffd_status){
    UFFD_STATUS_OK UFFD_SWIFT_NAME(ok) = 0,
    /* Not there. configure: no such key. get_folio_noalloc: not in the filemap. */
    UFFD_STATUS_ABSENT UFFD_SWIFT_NAME(absent) = 1,
    /* Later: the question keeps its ticket and is asked again after kick, or after a while. */
    UFFD_STATUS_BUSY UFFD_SWIFT_NAME(busy) = 2,
    /* Beyond the object. configure: the value of a key is not acceptable. */
    UFFD_STATUS_OUT_OF_RANGE UFFD_SWIFT_NAME(outOfRange) = 3,
    /* No memory, or a limit of the provider is reached. The host tries again, then gives up. */
    UFFD_STATUS_NO_MEMORY UFFD_SWIFT_NAME(noMemory) = 4,
    /* The source could not be read or written. The host tries again, then gives up. */
    UFFD_STATUS_IO_ERROR UFFD_SWIFT_NAME(ioError) = 5,
    /* The source is gone for good. The host gives up at once. */
    UFFD_STATUS_GONE UFFD_SWIFT_NAME(gone) = 6};

/* How the host may call; each value allows more than the one before. Gaps leave room. */
UFFD_ENUM(uffd_thread_model){
    /* Only in uffd_traits: as the table says. */
    UFFD_THREADS_UNCHANGED UFFD_SWIFT_NAME(unchanged) = 0,
    UFFD_THREADS_SERIAL UFFD_SWIFT_NAME(serial) = 1000,
    UFFD_THREADS_PER_INSTANCE UFFD_SWIFT_NAME(perInstance) = 2000,
    UFFD_THREADS_PARALLEL UFFD_SWIFT_NAME(parallel) = 3000};

/* The kinds of memory that a region can be. */
UFFD_ENUM(uffd_memory_kind){
    UFFD_MEMORY_ANON UFFD_SWIFT_NAME(anon) = 1,       /* private anonymous memory */
    UFFD_MEMORY_SHMEM UFFD_SWIFT_NAME(shmem) = 2,     /* memfd or tmpfs */
    UFFD_MEMORY_HUGETLB UFFD_SWIFT_NAME(hugetlb) = 3  /* huge pages of a pool */
};

/* Sets of memory kinds: bit (1 << kind). */
UFFD_OPTIONS(uffd_memory_kinds){
    UFFD_KINDS_ANON UFFD_SWIFT_NAME(anon) = 2,
    UFFD_KINDS_SHMEM UFFD_SWIFT_NAME(shmem) = 4,
    UFFD_KINDS_HUGETLB UFFD_SWIFT_NAME(hugetlb) = 8};

/* The kinds of fault; the values of UFFDIO_REGISTER_MODE_*. */
UFFD_OPTIONS(uffd_modes){
    UFFD_MODE_MISSING UFFD_SWIFT_NAME(missing) = 1,
    UFFD_MODE_WP UFFD_SWIFT_NAME(wp) = 2,
    UFFD_MODE_MINOR UFFD_SWIFT_NAME(minor) = 4};

/*
 * What a provider can do. Each bit stands for hooks and must agree with the non-NULL ones: the host
 * refuses a table in which a bit has no hook, or a hook has no bit.
 */
UFFD_OPTIONS(uffd_operations){
    UFFD_OP_ALLOC UFFD_SWIFT_NAME(alloc) = 1,            /* alloc_folio */
    UFFD_OP_LEND UFFD_SWIFT_NAME(lend) = 2,              /* put_folio; needs ALLOC */
    UFFD_OP_LOOKUP UFFD_SWIFT_NAME(lookup) = 4,          /* get_folio_noalloc */
    UFFD_OP_FILEMAP UFFD_SWIFT_NAME(filemap) = 8,        /* filemap_add and filemap_remove */
    UFFD_OP_DISCARD UFFD_SWIFT_NAME(discard) = 16,       /* discard */
    UFFD_OP_EXTENTS UFFD_SWIFT_NAME(extents) = 32,       /* extents */
    UFFD_OP_WILL_NEED UFFD_SWIFT_NAME(willNeed) = 64,    /* will_need */
    UFFD_OP_WRITEBACK UFFD_SWIFT_NAME(writeback) = 128,  /* writeback; needs FLUSH */
    UFFD_OP_FLUSH UFFD_SWIFT_NAME(flush) = 256,          /* flush; needs WRITEBACK */
    UFFD_OP_CANCEL UFFD_SWIFT_NAME(cancel) = 512,        /* cancel; needs ALLOC */
    UFFD_OP_PREDICATE UFFD_SWIFT_NAME(predicate) = 1024  /* can_userfault */
};

/* Properties without a hook of their own. */
UFFD_OPTIONS(uffd_behaviours){
    /* Hooks may wait; they are called on workers. */
    UFFD_BEHAVIOUR_BLOCKS UFFD_SWIFT_NAME(blocks) = 1,
    /* The same page asked twice may have different bytes. Without this bit it may not. */
    UFFD_BEHAVIOUR_VOLATILE UFFD_SWIFT_NAME(volatile) = 2,
    /* uffd_traits may declare a file in place of hooks: see uffd_traits.file_role. */
    UFFD_BEHAVIOUR_DECLARATIVE UFFD_SWIFT_NAME(declarative) = 4};

/* Sizes of granule a provider can serve: the sum of the sizes, which are powers of two. */
#define UFFD_GRANULE_4K 0x1000u
#define UFFD_GRANULE_2M 0x200000u
#define UFFD_GRANULE_1G 0x40000000u

/* --- Configuration ------------------------------------------------------------------------------ */

/* What the value of a parameter is, so that the host can check and explain it. */
UFFD_ENUM(uffd_parameter_kind){
    UFFD_PARAMETER_STRING UFFD_SWIFT_NAME(string) = 1,
    UFFD_PARAMETER_FILE UFFD_SWIFT_NAME(file) = 2,    /* path of a file */
    UFFD_PARAMETER_SIZE UFFD_SWIFT_NAME(size) = 3,    /* bytes: digits, then nothing, K, M, G or T */
    UFFD_PARAMETER_NUMBER UFFD_SWIFT_NAME(number) = 4 /* unsigned, decimal, or hexadecimal after 0x */
};

UFFD_OPTIONS(uffd_parameter_flags){
    UFFD_PARAMETER_REQUIRED UFFD_SWIFT_NAME(required) = 1,
    UFFD_PARAMETER_REPEATABLE UFFD_SWIFT_NAME(repeatable) = 2};

/*
 * One key that the provider understands. The host refuses a key that is not declared, one that is
 * given twice without REPEATABLE, a REQUIRED one that is missing, and a value that does not parse as
 * its kind, before it calls configure. Keys are [A-Za-z][A-Za-z0-9._-]*. Strings are static.
 */
typedef struct uffd_parameter_info {
  const char *UFFD_NULLABLE key;
  const char *UFFD_NULLABLE help;          /* one line; NULL: none */
  const char *UFFD_NULLABLE default_value; /* for people; NULL: none */
  uffd_parameter_kind kind;
  uint32_t reserved;
  uffd_parameter_flags flags;
} uffd_parameter_info;

/* One key=value pair as the user gave it. Both strings are NUL-terminated and live until close returns. */
typedef struct uffd_parameter {
  const char *UFFD_NONNULL key;
  const char *UFFD_NONNULL value;
} uffd_parameter;

/* --- Services of the host ----------------------------------------------------------------------- */

UFFD_ENUM(uffd_log_level){
    UFFD_LOG_ERROR UFFD_SWIFT_NAME(error) = 1000,
    UFFD_LOG_WARNING UFFD_SWIFT_NAME(warning) = 2000,
    UFFD_LOG_INFO UFFD_SWIFT_NAME(info) = 3000,
    UFFD_LOG_DEBUG UFFD_SWIFT_NAME(debug) = 4000};

/*
 * Given to configure; the table and everything in it lives until close returns. `instance` is an
 * opaque handle that every service takes. It is checked by generation: after close it names nothing,
 * and a service called with it does nothing (staging_alloc answers GONE). No service blocks, none
 * calls back into the provider, all may be called from any thread. Text is UTF-8 of `length` bytes,
 * copied before the call returns.
 */
typedef struct uffd_host {
  uint32_t size;
  uint32_t abi; /* UFFD_ABI of the host */
  uint64_t instance;

  /* Writes one line to the host's log. */
  void (*UFFD_NULLABLE log)(uint64_t instance, uffd_log_level level,
                            const char *UFFD_NONNULL text, uint64_t length);

  /*
   * Says in one sentence why the hook that is about to return will not answer OK: what failed, on
   * what, why. The host shows it to the user beside its own words. The last text of a hook counts.
   */
  void (*UFFD_NULLABLE report_error)(uint64_t instance, const char *UFFD_NONNULL text,
                                     uint64_t length);

  /*
   * Page-aligned memory of the host for content that arrives between two questions. `length` is a
   * multiple of the granule. The provider owns it until it hands it back: by staging_free, or as
   * the memory of a STAGED answer, or at the latest when close returns.
   * OK, NO_MEMORY (the host's cap is reached), OUT_OF_RANGE (bad length), GONE.
   */
  uffd_status (*UFFD_NULLABLE staging_alloc)(uint64_t instance, uint64_t length,
                                             void *UFFD_NULLABLE *UFFD_NONNULL memory);
  void (*UFFD_NULLABLE staging_free)(uint64_t instance, void *UFFD_NONNULL memory);

  /*
   * "Ask again": the answer to the question with this ticket is ready. Sticky: a kick that comes
   * before BUSY is returned counts. A ticket that is stale or unknown is ignored.
   */
  void (*UFFD_NULLABLE kick)(uint64_t instance, uint64_t ticket);
} uffd_host;

/* --- What config_complete declares -------------------------------------------------------------- */

/* Which memory holds the content that several regions share. */
UFFD_ENUM(uffd_backing){
    UFFD_BACKING_NONE UFFD_SWIFT_NAME(none) = 0, /* regions are anonymous memory, or a client's */
    UFFD_BACKING_HOST UFFD_SWIFT_NAME(host) = 1, /* the host creates a memfd of memory_kind */
    UFFD_BACKING_FILE UFFD_SWIFT_NAME(file) = 2  /* the file that file_key names, on tmpfs or hugetlbfs */
};

/* What the file that the parameter `file_key` names is for. */
UFFD_ENUM(uffd_file_role){
    UFFD_FILE_UNUSED UFFD_SWIFT_NAME(unused) = 0,
    /* The host reads content from it; alloc_folio is not called. Needs DECLARATIVE. */
    UFFD_FILE_CONTENT UFFD_SWIFT_NAME(content) = 1,
    /* It is the backing, and arrives filled. Goes with UFFD_BACKING_FILE. */
    UFFD_FILE_BACKING UFFD_SWIFT_NAME(backing) = 2};

/* What a page reads that a declared file does not hold: a hole of a backing, bytes beyond the end. */
UFFD_ENUM(uffd_hole){
    UFFD_HOLE_REFUSE UFFD_SWIFT_NAME(refuse) = 0, /* the page is poisoned */
    UFFD_HOLE_ZERO UFFD_SWIFT_NAME(zero) = 1};

/* Filled by config_complete. The host zeroes it and presets size. */
typedef struct uffd_traits {
  uint32_t size;
  uffd_memory_kind memory_kind;   /* of the backing, or ANON */
  uint64_t object_size;           /* bytes, at least 1; the tail of the last granule reads zero */
  /* Bytes; one of those the table declares. 4096 for ANON and SHMEM, whose pages a client may discard
     one by one; the size of the huge page for HUGETLB. Answers may cover many granules all the same. */
  uint64_t granule;
  uffd_backing backing;
  /* UNCHANGED, or tighter than the table's. SERIAL is the library's: only its table can declare it. */
  uffd_thread_model thread_model;
  uint32_t may_block;             /* 1: hooks of this instance may wait, as UFFD_BEHAVIOUR_BLOCKS */
  uffd_file_role file_role;
  const char *UFFD_NULLABLE file_key; /* a declared parameter of kind FILE; static or until close */
  uffd_hole hole;
  uint32_t reserved;
  /* Names the content: equal ids promise equal bytes at every pgoff. Both 0: no promise. */
  uint64_t content_id_high;
  uint64_t content_id_low;
} uffd_traits;

/* --- Questions and answers ---------------------------------------------------------------------- */

UFFD_OPTIONS(uffd_region_flags){
    UFFD_REGION_SHARED UFFD_SWIFT_NAME(shared) = 1,         /* maps its memory MAP_SHARED */
    UFFD_REGION_FOREIGN UFFD_SWIFT_NAME(foreign) = 2,       /* the client's own memory; content only */
    UFFD_REGION_FILLS_BACKING UFFD_SWIFT_NAME(fillsBacking) = 4 /* content is published, filemap used */
};

/* A region that wants to attach: see can_userfault. */
typedef struct uffd_region_query {
  uint32_t size;
  uffd_memory_kind memory_kind;
  uffd_modes modes;
  uint64_t granule; /* bytes */
  uint64_t pgoff;   /* first granule of the window */
  uint64_t count;   /* granules */
  uffd_region_flags flags;
} uffd_region_query;

UFFD_OPTIONS(uffd_access){
    UFFD_ACCESS_WRITE UFFD_SWIFT_NAME(write) = 1,      /* the first access is a write */
    UFFD_ACCESS_PREFETCH UFFD_SWIFT_NAME(prefetch) = 2 /* nobody waits; BUSY or partial is welcome */
};

/* One question: the content of up to `count` granules from `pgoff`. */
typedef struct uffd_folio_request {
  uint32_t size;
  uint32_t reserved;
  uint64_t pgoff;
  uint64_t count;   /* at least 1; pgoff + count is inside the object */
  uint64_t granule; /* bytes */
  uffd_access access;
  uint64_t ticket;  /* names this question to kick and cancel; the same when asked again */
  /*
   * Host memory for the answer, page-aligned, at least count * granule bytes, undefined content.
   * Valid until the hook returns. Never kept, not even when the answer is BUSY.
   */
  void *UFFD_NONNULL staging;
  uint64_t staging_length; /* bytes */
} uffd_folio_request;

UFFD_ENUM(uffd_folio_kind){
    /* The bytes are in request.staging (memory NULL), or in memory from staging_alloc, which this
       answer hands back. */
    UFFD_FOLIO_STAGED UFFD_SWIFT_NAME(staged) = 1,
    /* The bytes are at `memory`, which stays readable and unchanged until put_folio. Needs LEND. */
    UFFD_FOLIO_LENT UFFD_SWIFT_NAME(lent) = 2,
    /* Every byte is zero; memory is NULL. */
    UFFD_FOLIO_ZERO UFFD_SWIFT_NAME(zero) = 3};

/* Whether reading lent memory may wait for a disk. */
UFFD_ENUM(uffd_residence){
    UFFD_RESIDENCE_MAY_FAULT UFFD_SWIFT_NAME(mayFault) = 0, /* the host populates it on a worker first */
    UFFD_RESIDENCE_RESIDENT UFFD_SWIFT_NAME(resident) = 1};

/* The answer to an alloc_folio that returns OK. The host zeroes it and presets size. */
typedef struct uffd_folio {
  uint32_t size;
  uffd_folio_kind kind;
  uint64_t count;                   /* granules answered, from the asked pgoff: 1 to request.count */
  const void *UFFD_NULLABLE memory; /* see kind; any alignment */
  uint64_t length;                  /* LENT: bytes readable at memory, at least count * granule */
  uffd_residence residence;         /* LENT */
  uint32_t reserved;
  uint64_t cookie;                  /* the provider's own; comes back in put_folio */
} uffd_folio;

/* A run of granules that is all data or all zero. */
typedef struct uffd_extent {
  uint64_t pgoff;
  uint64_t count;
  uint32_t is_zero; /* 1: every byte is known to be zero; 0: ask alloc_folio */
  uint32_t reserved;
} uffd_extent;

/* The provider's own state; the host passes the pointer and never looks behind it. */
typedef struct uffd_instance uffd_instance;

/* --- The table ---------------------------------------------------------------------------------- */

/*
 * "Fault thread" below means: the reader of the faults for a provider that is PARALLEL, unless the hook
 * may block and the provider declares that it does; else a worker chosen by the thread model. "Control
 * thread": a thread of the host that serves no faults; for SERIAL the library's one thread.
 */
typedef struct uffd_provider {
  uint32_t size; /* sizeof(uffd_provider) when the provider was compiled */
  uint32_t abi;  /* UFFD_ABI when the provider was compiled */
  uint32_t requires_minor; /* the least host minor that will do; usually 0 */
  uffd_thread_model thread_model;
  uffd_operations operations;
  uffd_modes modes;               /* kinds of fault it can serve: MISSING needs ALLOC, MINOR needs LOOKUP */
  uffd_memory_kinds memory_kinds; /* kinds of memory its content may go to */
  uint64_t granules;              /* sum of UFFD_GRANULE_* */
  uffd_behaviours behaviours;
  const char *UFFD_NULLABLE name;    /* [a-z][a-z0-9-]*; required */
  const char *UFFD_NULLABLE version; /* free text; required */
  const char *UFFD_NULLABLE summary; /* one line for people; required */
  const uffd_parameter_info *UFFD_NULLABLE parameters; /* parameter_count elements, parameter_stride apart */
  uint64_t parameter_count;
  uint64_t parameter_stride; /* sizeof(uffd_parameter_info) when the provider was compiled */

  /*
   * configure: makes an instance from the user's parameters. Required.
   *   called    once per instance, control thread; may block (it may open files)
   *   owns      `host` and the strings live until close of this instance returns; the array until the
   *             hook returns. On OK *instance is the provider's pointer, not NULL; the host gives it
   *             back to every hook. On any other status *instance is ignored, nothing must be left
   *             behind, and close is not called.
   *   returns   OK; ABSENT no such key; OUT_OF_RANGE bad value; NO_MEMORY; IO_ERROR.
   *             Say which and why with report_error.
   */
  uffd_status (*UFFD_NULLABLE configure)(const uffd_host *UFFD_NONNULL host,
                                         const uffd_parameter *UFFD_NULLABLE parameters,
                                         uint64_t count,
                                         uffd_instance *UFFD_NULLABLE *UFFD_NONNULL instance);

  /*
   * config_complete: checks the whole, declares the traits. The last chance for an error on the
   * user's terminal. Required.
   *   called    once, after configure, control thread; may block
   *   owns      traits is the host's, valid until the hook returns
   *   returns   as configure. After a failure close follows.
   */
  uffd_status (*UFFD_NULLABLE config_complete)(uffd_instance *UFFD_NONNULL instance,
                                               uffd_traits *UFFD_NONNULL traits);

  /*
   * can_userfault: may this region attach? Kernel: vm_uffd_ops.can_userfault. Optional: without it
   * whatever the table's modes, memory_kinds and granules cover may attach.
   *   called    once per region, control thread; must not block
   *   owns      *reason, if set, is one clause of text, static or valid until the next call
   *   returns   1 yes, 0 no; anything else is a broken provider
   */
  uint32_t (*UFFD_NULLABLE can_userfault)(uffd_instance *UFFD_NONNULL instance,
                                          const uffd_region_query *UFFD_NONNULL query,
                                          const char *UFFD_NULLABLE *UFFD_NONNULL reason);

  /*
   * alloc_folio: the content of a folio that is not there yet. Kernel: vm_uffd_ops.alloc_folio and
   * the copy. A client thread waits unless access says PREFETCH.
   *   called    fault thread; may block if so declared
   *   owns      request and folio live until the hook returns. A LENT answer stays readable and
   *             unchanged until its put_folio, which comes exactly once.
   *   returns   OK with folio filled: starts at request.pgoff, covers 1 to request.count granules;
   *             BUSY: asked again with the same ticket, after kick(ticket) or after a while; a BUSY
   *             answer reserves nothing that another question could not have;
   *             OUT_OF_RANGE, NO_MEMORY, IO_ERROR, GONE. ABSENT: the provider has no such content.
   *             The host never turns a failure into zeroes.
   */
  uffd_status (*UFFD_NULLABLE alloc_folio)(uffd_instance *UFFD_NONNULL instance,
                                           const uffd_folio_request *UFFD_NONNULL request,
                                           uffd_folio *UFFD_NONNULL folio);

  /*
   * put_folio: takes lent memory back. Kernel: folio_put.
   *   called    exactly once per OK answer of kind LENT, whatever became of it; fault thread or
   *             control thread; must not block
   *   owns      folio is the answer as the provider gave it, valid until the hook returns
   */
  void (*UFFD_NULLABLE put_folio)(uffd_instance *UFFD_NONNULL instance,
                                  const uffd_folio *UFFD_NONNULL folio, uint64_t pgoff);

  /*
   * get_folio_noalloc: a minor fault: does the filemap hold this granule? Kernel:
   * vm_uffd_ops.get_folio_noalloc.
   *   called    fault thread; never allocates, must not block
   *   returns   OK present; ABSENT; BUSY with the ticket as in alloc_folio; OUT_OF_RANGE; GONE.
   *             ABSENT for a granule that filemap_add accepted and filemap_remove did not take back
   *             is a broken provider.
   */
  uffd_status (*UFFD_NULLABLE get_folio_noalloc)(uffd_instance *UFFD_NONNULL instance,
                                                 uint64_t pgoff, uint64_t ticket);

  /*
   * filemap_add: the content of these granules is complete and is about to be published into the
   * backing. Kernel: vm_uffd_ops.filemap_add. Called only for regions that fill the backing.
   *   called    fault thread; must not block
   *   returns   OK: all of them are accounted; NO_MEMORY: none is (a limit is reached);
   *             OUT_OF_RANGE, GONE: none is.
   */
  uffd_status (*UFFD_NULLABLE filemap_add)(uffd_instance *UFFD_NONNULL instance, uint64_t pgoff,
                                           uint64_t count);

  /*
   * filemap_remove: undoes filemap_add for exactly the granules that were added and not published,
   * and for granules that the host evicts. Kernel: vm_uffd_ops.filemap_remove.
   *   called    fault thread or control thread; must not block
   */
  void (*UFFD_NULLABLE filemap_remove)(uffd_instance *UFFD_NONNULL instance, uint64_t pgoff,
                                       uint64_t count);

  /*
   * discard: backing pages of these granules were really punched by a client; they read zero from
   * now on and are not in the filemap any more. If zeroes are published for them later, filemap_add
   * comes again. For accounting. Kernel: a hole punched into the file (madvise MADV_REMOVE).
   *   called    fault thread or control thread; never waited for; must not block
   */
  void (*UFFD_NULLABLE discard)(uffd_instance *UFFD_NONNULL instance, uint64_t pgoff, uint64_t count);

  /*
   * extents: what is data and what is known to be zero in [pgoff, pgoff + count).
   *   called    control thread or worker; may block if so declared
   *   owns      extents has room for `capacity` elements, `stride` bytes apart
   *   returns   OK with *filled (1 to capacity) elements that begin at pgoff, follow each other
   *             without a gap and stay inside the range; fewer than the whole is fine. IO_ERROR, GONE.
   */
  uffd_status (*UFFD_NULLABLE extents)(uffd_instance *UFFD_NONNULL instance, uint64_t pgoff,
                                       uint64_t count, uffd_extent *UFFD_NONNULL extents,
                                       uint64_t capacity, uint64_t stride,
                                       uint64_t *UFFD_NONNULL filled);

  /*
   * will_need: these granules will be asked for soon: warm the source. A hint. Kernel: MADV_WILLNEED.
   *   called    worker or control thread; may block if so declared
   */
  void (*UFFD_NULLABLE will_need)(uffd_instance *UFFD_NONNULL instance, uint64_t pgoff,
                                  uint64_t count);

  /*
   * writeback: stores the bytes of a dirty folio that leaves memory. Kernel: writepage.
   *   called    worker; may block if so declared
   *   owns      bytes is host memory of count granules, valid and unchanged until the hook returns
   *   returns   OK: from now on alloc_folio answers these bytes; NO_MEMORY, IO_ERROR, GONE: the folio
   *             stays in memory and dirty.
   */
  uffd_status (*UFFD_NULLABLE writeback)(uffd_instance *UFFD_NONNULL instance, uint64_t pgoff,
                                         uint64_t count, const void *UFFD_NONNULL bytes,
                                         uint64_t length);

  /*
   * flush: makes every writeback that returned OK durable. Kernel: fsync.
   *   called    worker or control thread; may block if so declared
   *   returns   OK, IO_ERROR, GONE
   */
  uffd_status (*UFFD_NULLABLE flush)(uffd_instance *UFFD_NONNULL instance);

  /*
   * cancel: the answer to this ticket is not wanted any more. The provider may stop early; the hook
   * that is running may answer anything. A ticket that was answered already is no error.
   *   called    any thread, also while another hook runs, whatever the thread model; must not block
   */
  void (*UFFD_NULLABLE cancel)(uffd_instance *UFFD_NONNULL instance, uint64_t ticket);

  /*
   * close: ends the instance. No call is in flight and none follows; every lent folio is put back.
   * Frees what configure made. Not guaranteed: the process may be killed. Required.
   *   called    once per configure that returned OK, control thread; may block, boundedly
   */
  void (*UFFD_NULLABLE close)(uffd_instance *UFFD_NONNULL instance);
} uffd_provider;

/*
 * The one symbol that a provider exports. Called by the loader on the control thread, possibly more
 * than once; does no I/O and must not block. Returns a table that never changes and lives as long as
 * the process, or NULL: "declined".
 */
UFFD_EXPORT const uffd_provider *UFFD_NULLABLE uffd_provider_entry_v1(void);

/*
 * Writes the entry function of a provider whose table is the object `table`. Without _Nullable, which
 * the prototype has: a macro expands where the author's warnings are in force.
 */
#define UFFD_REGISTER_PROVIDER(table) \
  UFFD_EXPORT const uffd_provider *uffd_provider_entry_v1(void) { return &(table); }

#ifdef __cplusplus
}
#endif

#if defined(__clang__)
#pragma clang diagnostic pop
#endif

#endif /* UFFD_PLUGIN_H */
