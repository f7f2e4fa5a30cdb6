/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uffd_client.h: gives memory of this process to a uffdhost server, which fills each page when it is first
 * touched. The whole client in one header; docs/protocol.md says what it sends. Needs Linux 4.11 or later,
 * libc, and nothing of uffdhost. Plain C99, or C++.
 *
 *   One source file of the program defines the functions, before it includes anything else:
 *
 *     #define UFFD_CLIENT_IMPLEMENTATION
 *     #include "uffd_client.h"
 *
 *   The shortest use, without the tests of each result:
 *
 *     struct uffd_client c;
 *     struct uffd_client_mapping m;
 *     uffd_client_connect(&c, "/run/uffdhost.sock");
 *     uffd_client_open_uffd(&c, UFFD_CLIENT_FEATURES, UFFD_CLIENT_USER_MODE_ALLOWED);
 *     uffd_client_map(&c, UFFD_CLIENT_ANONYMOUS, 4096, 1 << 30, 0, &m);
 *     uffd_client_attach(&c, &m.region, 1, NULL, 0);
 *     ... m.memory[i] is byte i of the server's object ...
 *
 * Every function returns 0 or a negative enum uffd_client_result, and then `error` is a sentence for a person.
 * A struct uffd_client is used by one thread at a time. The memory is used by any thread.
 *
 *
 * WHAT A PROGRAM HAS TO KNOW
 *
 * A server waits some seconds for a connection's attach, not for ever: connect when the memory is about to be.
 *
 * The uffd stays open here too, also after uffd_client_close. If the server dies, a thread that touches a
 * missing page sleeps until it is killed; were this process' uffd closed, it would read zeroes. The uffd may
 * be closed after a drain, and only then.
 *
 * A page that the server cannot provide is poisoned: whoever touches it gets SIGBUS, a system call EFAULT.
 *
 * A uffd opened for user mode only reports no fault that a system call takes: write(2) from a missing page
 * fails with EFAULT. Touch the pages first. `is_user_mode_only` says whether it is so.
 *
 * fork(): the child's copy of the memory is not watched and would read zeroes. uffd_client_map says
 * MADV_DONTFORK, so that the child has no such memory and gets SIGSEGV; for memory of your own, do the same.
 *
 * madvise(MADV_DONTNEED), munmap and mremap of the memory are followed by the server (UFFD_CLIENT_FEATURES),
 * and sleep until it has read of them: not while a lock is held that others need to make progress. What was
 * discarded reads zero afterwards. Without UFFD_CLIENT_EVENT_REMOVE pages that were not there yet, and those
 * of a private mapping of a memfd, would read the server's bytes instead.
 *
 * Nobody but the server reads from the uffd.
 */
#ifndef UFFD_CLIENT_H
#define UFFD_CLIENT_H

#if defined(UFFD_CLIENT_IMPLEMENTATION) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- What goes over the socket: little-endian, no padding (docs/protocol.md) ---------------------- */

#define UFFD_WIRE_MAGIC "UFFDHOST" /* without the zero: the first 8 bytes of both directions */
#define UFFD_WIRE_VERSION 1
#define UFFD_WIRE_MAX_FRAME 65536
#define UFFD_WIRE_MAX_DESCRIPTORS 16
#define UFFD_WIRE_NO_BACKING UINT32_C(0xffffffff)

enum uffd_wire_kind {
  UFFD_WIRE_HELLO = 0x0001,
  UFFD_WIRE_ATTACH = 0x0002,
  UFFD_WIRE_ADD_REGIONS = 0x0003,
  UFFD_WIRE_REMOVE_REGION = 0x0004,
  UFFD_WIRE_PROGRESS = 0x0005,
  UFFD_WIRE_DRAIN = 0x0006,
  UFFD_WIRE_DETACH = 0x0007,
  UFFD_WIRE_STATUS = 0x0008,
  /* Answers */
  UFFD_WIRE_HELLO_ANSWER = 0x8001,
  UFFD_WIRE_DONE = 0x8002,
  UFFD_WIRE_REFUSED = 0x8003,
  UFFD_WIRE_PROGRESS_ANSWER = 0x8004,
  UFFD_WIRE_STATUS_ANSWER = 0x8005
};

/* The beginning of every frame. The only struct that never grows. */
struct uffd_wire_header {
  uint32_t length; /* of the whole frame, with this header */
  uint16_t kind;
  uint16_t descriptors; /* that ride on the frame's first byte (SCM_RIGHTS) */
  uint64_t id;          /* of the request; the answer repeats it */
};

struct uffd_wire_hello {
  uint32_t size; /* of this struct, as in every body */
  uint16_t version_min, version_max;
  uint64_t capabilities;
  uint32_t max_frame, max_descriptors; /* that the sender takes */
};

struct uffd_wire_server_hello {
  struct uffd_wire_hello common;
  uint64_t object_size; /* 0: the server does not say */
  uint64_t page_size;
};

/* ATTACH and ADD_REGIONS; `count` regions of `stride` bytes follow. */
struct uffd_wire_regions {
  uint32_t size, flags, count, stride, backings, reserved;
};

struct uffd_wire_range { /* REMOVE_REGION */
  uint32_t size, flags;
  uint64_t start, length;
};

struct uffd_wire_plain { /* PROGRESS, DRAIN, DETACH, STATUS */
  uint32_t size, flags;
};

struct uffd_wire_done {
  uint32_t size, reserved;
  uint64_t session;
};

struct uffd_wire_text { /* REFUSED and STATUS; `length` bytes of UTF-8 follow */
  uint32_t size;
  uint32_t code; /* REFUSED: enum uffd_wire_code. STATUS: 1 if another frame goes on with the text */
  uint32_t length, reserved;
};

enum uffd_wire_code {
  UFFD_WIRE_CODE_FORM = 1,    /* what was sent is not this protocol; the connection is closed */
  UFFD_WIRE_CODE_VERSION = 2, /* no version in common; the connection is closed */
  UFFD_WIRE_CODE_REQUEST = 3  /* the request cannot be fulfilled; others may be sent */
};

enum uffd_wire_capability {
  UFFD_WIRE_CAN_BACKING = 1, /* takes memfds */
  UFFD_WIRE_CAN_CHANGE = 2,  /* ADD_REGIONS, REMOVE_REGION */
  UFFD_WIRE_CAN_STATUS = 4
};

/* --- Memory --------------------------------------------------------------------------------------- */

enum uffd_client_region_flag {
  UFFD_CLIENT_SHARED = 1,       /* mapped MAP_SHARED */
  UFFD_CLIENT_STRAY_CONTENT = 2 /* pages that the backing holds already are content: map them as they are */
};

/* The kernel's UFFDIO_REGISTER_MODE_*. */
enum uffd_client_mode { UFFD_CLIENT_MISSING = 1, UFFD_CLIENT_MINOR = 4 };

/* A piece of memory that is registered with the uffd. Goes over the socket as it is. */
struct uffd_client_region {
  uint64_t start;     /* address, a multiple of page_size */
  uint64_t length;    /* bytes, a multiple of page_size */
  uint64_t offset;    /* which byte of the object `start` is; with a backing, also which of the backing */
  uint64_t page_size; /* of the memory: 4096, or the huge page */
  uint32_t flags;     /* enum uffd_client_region_flag */
  uint32_t modes;     /* as registered */
  uint32_t backing;   /* index of its memfd in `backings`, or UFFD_WIRE_NO_BACKING */
  uint32_t reserved;
};

enum uffd_client_memory {
  UFFD_CLIENT_ANONYMOUS,     /* content goes into this mapping alone */
  UFFD_CLIENT_MEMFD_SHARED,  /* into the memfd: every mapping of it has it */
  UFFD_CLIENT_MEMFD_PRIVATE  /* into the memfd; writes are copied and stay in this mapping */
};

/* Memory that uffd_client_map has made. */
struct uffd_client_mapping {
  unsigned char *memory;
  uint64_t length;
  int backing; /* the memfd, or -1; yours to close, but not before the attach */
  struct uffd_client_region region;
};

/* --- The client ------------------------------------------------------------------------------------ */

enum uffd_client_result {
  UFFD_CLIENT_OK = 0,
  UFFD_CLIENT_SYSTEM = -1,   /* the kernel refuses; `code` is its errno */
  UFFD_CLIENT_REFUSED = -2,  /* the server refuses; `error` is its sentence */
  UFFD_CLIENT_PROTOCOL = -3, /* what came is not this protocol */
  UFFD_CLIENT_TIMEOUT = -4,  /* no answer yet */
  UFFD_CLIENT_GONE = -5,     /* the server has closed the connection; what it serves, it may go on serving */
  UFFD_CLIENT_USAGE = -6     /* the caller is wrong */
};

/* A request whose answer takes as long as the memory's filling, and may outlive a timeout. */
struct uffd_client_pending {
  uint64_t id; /* 0: none */
  uint64_t start, length;
  int is_answered, result;
  char text[256];
};

struct uffd_client {
  int socket;
  int uffd;               /* yours to set in place of calling uffd_client_open_uffd */
  uint64_t features;      /* that the uffd has enabled */
  int is_user_mode_only;  /* see above */
  int timeout_ms;         /* for an answer to anything but remove and drain; -1: for ever; 10 s at first */
  uint32_t version;       /* spoken on this connection */
  uint64_t capabilities;  /* of the server: enum uffd_wire_capability */
  uint64_t object_size;   /* bytes of the server's object; 0: the server does not say, being an older one */
  uint64_t page_size;     /* of memory that can show it; 0: the same */
  uint32_t max_descriptors; /* that the server takes with one call; an attach sends the uffd and the backings */
  uint64_t session;       /* how the server names this client in its log and its status; after the attach */
  int is_drained;
  int code;               /* errno of UFFD_CLIENT_SYSTEM, enum uffd_wire_code of UFFD_CLIENT_REFUSED */
  char error[256];        /* a sentence without a full stop */
  uint64_t last_id;       /* from here on: the implementation's */
  struct uffd_client_pending drain, removal;
  unsigned char *received;
  uint32_t received_length, taken_length;
};

enum uffd_client_phase {
  UFFD_CLIENT_SERVING = 1,
  UFFD_CLIENT_DRAINING = 2,
  UFFD_CLIENT_DRAINED = 3,
  UFFD_CLIENT_DETACHED = 4,
  UFFD_CLIENT_CLIENT_GONE = 5
};

/* How far the server is. Comes over the socket as it is. */
struct uffd_client_progress {
  uint32_t size;
  uint32_t phase; /* enum uffd_client_phase */
  /* Bytes; `bytes` is the sum of the four that follow. */
  uint64_t bytes, missing, resident, poisoned, discarded;
  uint64_t regions;
  /* Counts, by the kind of the fault. */
  uint64_t faults_missing, faults_minor, faults_wp;
  /* Bytes, by what the server has done. */
  uint64_t copied, zeroed, continued, poisoned_by_server;
  uint64_t parked;   /* faults that wait at this moment */
  uint64_t given_up; /* faults whose page could not be had */
};

/* The kernel's UFFD_FEATURE_* for uffd_client_open_uffd. FORK needs CAP_SYS_PTRACE. */
enum uffd_client_feature {
  UFFD_CLIENT_EVENT_FORK = 1 << 1,
  UFFD_CLIENT_EVENT_REMAP = 1 << 2,
  UFFD_CLIENT_EVENT_REMOVE = 1 << 3,
  UFFD_CLIENT_EVENT_UNMAP = 1 << 6,
  /* What a program should want that does not fork with such memory. */
  UFFD_CLIENT_FEATURES = UFFD_CLIENT_EVENT_REMAP | UFFD_CLIENT_EVENT_REMOVE | UFFD_CLIENT_EVENT_UNMAP
};

enum uffd_client_open_flag {
  /* Where this process may not watch the kernel's accesses, watch its own only. */
  UFFD_CLIENT_USER_MODE_ALLOWED = 1
};

/* Begins: sets all of *c, connects, and agrees on a version. uffd_client_close is right after a failure too. */
int uffd_client_connect(struct uffd_client *c, const char *path);
/* The same on a socket that is connected already. Owns it, also when it fails. */
int uffd_client_adopt(struct uffd_client *c, int socket);

/* Opens c->uffd with those of `features` that this kernel and this process can have. */
int uffd_client_open_uffd(struct uffd_client *c, uint64_t features, unsigned flags);

/* Registers memory with c->uffd. From here on, whoever touches a missing page sleeps until it is served. */
int uffd_client_register(struct uffd_client *c, void *start, uint64_t length, uint64_t modes);
/*
 * Undoes it, for memory that no server has taken: what is missing reads zero then. Unmapping registered
 * memory would wait for somebody who reads of it.
 */
int uffd_client_unregister(struct uffd_client *c, void *start, uint64_t length);

/*
 * Makes memory that shows `length` bytes (rounded up to pages) of the object from `offset` on, and registers
 * it. `page_size` is 4096 or a size of huge pages; `offset` is a multiple of it. A memfd is as long as
 * offset + length, sparse, and sealed against shrinking.
 */
int uffd_client_map(struct uffd_client *c, enum uffd_client_memory memory, uint64_t page_size, uint64_t length,
                    uint64_t offset, struct uffd_client_mapping *out);

/* Hands the uffd and registered memory over, once for each connection. A region names one of `backings` or none. */
int uffd_client_attach(struct uffd_client *c, const struct uffd_client_region *regions, uint32_t count,
                       const int *backings, uint32_t backing_count);
/* More registered memory; its backings too, even if the server has them already. All of it or none. */
int uffd_client_add(struct uffd_client *c, const struct uffd_client_region *regions, uint32_t count,
                    const int *backings, uint32_t backing_count);

/*
 * Has the server fill what is missing in whole regions and stop watching them. After UFFD_CLIENT_TIMEOUT, call
 * it again with the same range to wait on. A negative timeout waits for ever.
 */
int uffd_client_remove(struct uffd_client *c, const void *start, uint64_t length, int timeout_ms);

int uffd_client_progress(struct uffd_client *c, struct uffd_client_progress *out);

/*
 * Has the server fill everything and let go: the memory is ordinary memory then. After UFFD_CLIENT_TIMEOUT, call
 * uffd_client_progress if you like, and this again to wait on.
 */
int uffd_client_drain(struct uffd_client *c, int timeout_ms);

/* The server stops serving, and keeps the uffd: what is missing is never served, and never reads zero. */
int uffd_client_detach(struct uffd_client *c);

/* The whole server's state as JSON; free() it. Needs no attach. */
int uffd_client_status(struct uffd_client *c, char **json);

/* Whether the server still holds its end of the connection. Does not ask it anything. */
int uffd_client_is_connected(const struct uffd_client *c);

/* Closes the socket, which ends no service. The uffd stays open on purpose, unless all is drained. */
void uffd_client_close(struct uffd_client *c);

#ifdef __cplusplus
}
#endif

#endif /* UFFD_CLIENT_H */

/* --- The implementation ------------------------------------------------------------------------------ */

#if defined(UFFD_CLIENT_IMPLEMENTATION) && !defined(UFFD_CLIENT_IMPLEMENTED)
#define UFFD_CLIENT_IMPLEMENTED

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef MAP_ANONYMOUS
#error "define _GNU_SOURCE, or include uffd_client.h before anything else"
#endif
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "uffd_client.h sends its structs as they are, which takes a little-endian machine"
#endif

/* Constants that came after old libraries. */
#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 1u
#endif
#ifndef MFD_ALLOW_SEALING
#define MFD_ALLOW_SEALING 2u
#endif
#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4u
#endif
#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#endif
#ifndef F_SEAL_SHRINK
#define F_SEAL_SHRINK 2
#endif

/* <linux/userfaultfd.h> as far as a client needs it; client.c compares. */
struct uffd_client__api {
  uint64_t api, features, ioctls;
};
struct uffd_client__range {
  uint64_t start, length;
};
struct uffd_client__register {
  uint64_t start, length, mode, ioctls;
};
#define UFFD_CLIENT__IOC_NEW _IO(0xAA, 0x00)
#define UFFD_CLIENT__IOC_API _IOWR(0xAA, 0x3F, struct uffd_client__api)
#define UFFD_CLIENT__IOC_REGISTER _IOWR(0xAA, 0x00, struct uffd_client__register)
#define UFFD_CLIENT__IOC_UNREGISTER _IOR(0xAA, 0x01, struct uffd_client__range)
#define UFFD_CLIENT__USER_MODE_ONLY 1
/* Bits of uffdio_register.ioctls. */
#define UFFD_CLIENT__CAN_COPY (UINT64_C(1) << 3)
#define UFFD_CLIENT__CAN_CONTINUE (UINT64_C(1) << 7)

/* Says what went wrong, and returns `result`. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static int uffd_client__fail(struct uffd_client *c, int result, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(c->error, sizeof c->error, format, arguments);
  va_end(arguments);
  return result;
}

/* The same for a system call, with errno as it is now. */
static int uffd_client__system(struct uffd_client *c, const char *what) {
  c->code = errno;
  return uffd_client__fail(c, UFFD_CLIENT_SYSTEM, "%s: %s", what, strerror(c->code));
}

static int64_t uffd_client__now_ms(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t uffd_client__deadline(int timeout_ms) {
  return timeout_ms < 0 ? -1 : uffd_client__now_ms() + timeout_ms;
}

static int uffd_client__gone(struct uffd_client *c) {
  return uffd_client__fail(c, UFFD_CLIENT_GONE, "the server has closed the connection%s",
                           c->version == 0 ? ": does it speak the protocol 'native'?" : "");
}

/* Waits until the socket can be read; 0, or why not. */
static int uffd_client__poll(struct uffd_client *c, int64_t deadline) {
  for (;;) {
    struct pollfd wanted;
    int64_t left = -1;
    int ready;
    wanted.fd = c->socket;
    wanted.events = POLLIN;
    wanted.revents = 0;
    if (deadline >= 0) {
      left = deadline - uffd_client__now_ms();
      if (left < 0) left = 0;
      if (left > 1000000000) left = 1000000000;
    }
    ready = poll(&wanted, 1, (int)left);
    if (ready > 0) return UFFD_CLIENT_OK;
    if (ready == 0) return uffd_client__fail(c, UFFD_CLIENT_TIMEOUT, "the server has not answered yet");
    if (errno != EINTR) return uffd_client__system(c, "waiting for the server");
  }
}

/* Has at least `length` bytes at c->received + c->taken_length. What came before a timeout is kept. */
static int uffd_client__receive(struct uffd_client *c, uint32_t length, int64_t deadline) {
  if (c->taken_length > 0) {
    c->received_length -= c->taken_length;
    memmove(c->received, c->received + c->taken_length, c->received_length);
    c->taken_length = 0;
  }
  while (c->received_length < length) {
    ssize_t got;
    int result = uffd_client__poll(c, deadline);
    if (result != UFFD_CLIENT_OK) return result;
    got = recv(c->socket, c->received + c->received_length, UFFD_WIRE_MAX_FRAME - c->received_length,
               MSG_DONTWAIT);
    if (got > 0) {
      c->received_length += (uint32_t)got;
    } else if (got == 0 || errno == ECONNRESET) {
      return uffd_client__gone(c);
    } else if (errno != EINTR && errno != EAGAIN) {
      return uffd_client__system(c, "reading from the server");
    }
  }
  return UFFD_CLIENT_OK;
}

/* Takes the next frame; its body stays at *body until the next call. */
static int uffd_client__frame(struct uffd_client *c, int64_t deadline, struct uffd_wire_header *header,
                              const unsigned char **body) {
  uint32_t size, smallest = (uint32_t)sizeof *header + 8;
  int result = uffd_client__receive(c, (uint32_t)sizeof *header, deadline);
  if (result != UFFD_CLIENT_OK) return result;
  memcpy(header, c->received, sizeof *header);
  if (header->length < smallest || header->length > UFFD_WIRE_MAX_FRAME)
    return uffd_client__fail(c, UFFD_CLIENT_PROTOCOL, "the server sent a frame of %lu bytes",
                             (unsigned long)header->length);
  result = uffd_client__receive(c, header->length, deadline);
  if (result != UFFD_CLIENT_OK) return result;
  *body = c->received + sizeof *header;
  memcpy(&size, *body, sizeof size);
  if (size < 8 || size > header->length - sizeof *header)
    return uffd_client__fail(c, UFFD_CLIENT_PROTOCOL, "the server sent a body of size %lu in a frame of %lu",
                             (unsigned long)size, (unsigned long)header->length);
  c->taken_length = header->length;
  return UFFD_CLIENT_OK;
}

/* The body's struct as far as both sides know it: what an older server does not send is zero. */
static void uffd_client__body(const unsigned char *body, void *out, size_t known) {
  uint32_t size;
  memcpy(&size, body, sizeof size);
  memset(out, 0, known);
  memcpy(out, body, size < known ? size : known);
}

/* The text behind a struct uffd_wire_text; *length is what really came. */
static const char *uffd_client__text(const struct uffd_wire_header *header, const unsigned char *body,
                                     struct uffd_wire_text *text) {
  uint32_t room;
  uffd_client__body(body, text, sizeof *text);
  room = header->length - (uint32_t)sizeof *header - text->size;
  if (text->length > room) text->length = room;
  return (const char *)body + text->size;
}

/* DONE and REFUSED as a result. */
static int uffd_client__outcome(struct uffd_client *c, const struct uffd_wire_header *header,
                                const unsigned char *body) {
  struct uffd_wire_text text;
  const char *reason;
  if (header->kind == UFFD_WIRE_DONE) return UFFD_CLIENT_OK;
  if (header->kind != UFFD_WIRE_REFUSED)
    return uffd_client__fail(c, UFFD_CLIENT_PROTOCOL, "the server's answer is of the unexpected kind 0x%x",
                             (unsigned)header->kind);
  reason = uffd_client__text(header, body, &text);
  c->code = (int)text.code;
  return uffd_client__fail(c, UFFD_CLIENT_REFUSED, "%.*s", (int)text.length, reason);
}

/* Keeps an answer that came late, while another one was awaited. */
static int uffd_client__keep(struct uffd_client *c, struct uffd_client_pending *pending,
                             const struct uffd_wire_header *header, const unsigned char *body) {
  if (pending->id == 0 || pending->id != header->id) return 0;
  pending->result = uffd_client__outcome(c, header, body);
  pending->is_answered = 1;
  (void)snprintf(pending->text, sizeof pending->text, "%s", pending->result == UFFD_CLIENT_OK ? "" : c->error);
  return 1;
}

/* Waits for the answer to `id`; what belongs to nobody is dropped. */
static int uffd_client__await(struct uffd_client *c, uint64_t id, int64_t deadline,
                              struct uffd_wire_header *header, const unsigned char **body) {
  for (;;) {
    int result = uffd_client__frame(c, deadline, header, body);
    if (result != UFFD_CLIENT_OK) return result;
    if (header->id == id) return UFFD_CLIENT_OK;
    /* About the connection as a whole: what was asked before cannot be answered any more. */
    if (header->kind == UFFD_WIRE_REFUSED) {
      struct uffd_wire_text text;
      (void)uffd_client__text(header, *body, &text);
      if (header->id == 0 || text.code != UFFD_WIRE_CODE_REQUEST) return uffd_client__outcome(c, header, *body);
    }
    if (!uffd_client__keep(c, &c->drain, header, *body)) (void)uffd_client__keep(c, &c->removal, header, *body);
  }
}

/* Writes all of it; the descriptors ride on the first byte. */
static int uffd_client__write(struct uffd_client *c, const void *bytes, size_t length, const int *descriptors,
                              uint32_t count) {
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * UFFD_WIRE_MAX_DESCRIPTORS)];
  } control;
  const char *at = (const char *)bytes;
  while (length > 0) {
    struct msghdr message;
    struct iovec piece;
    ssize_t sent;
    memset(&message, 0, sizeof message);
    piece.iov_base = (void *)at;
    piece.iov_len = length;
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    if (count > 0) {
      struct cmsghdr *rights;
      memset(&control, 0, sizeof control);
      message.msg_control = control.bytes;
      message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
      rights = CMSG_FIRSTHDR(&message);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(sizeof(int) * count);
      memcpy(CMSG_DATA(rights), descriptors, sizeof(int) * count);
    }
    sent = sendmsg(c->socket, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) return uffd_client__gone(c);
    if (sent < 0) return uffd_client__system(c, "writing to the server");
    count = 0;
    at += sent;
    length -= (size_t)sent;
  }
  return UFFD_CLIENT_OK;
}

/* Sends a frame; its id is c->last_id then. */
static int uffd_client__send(struct uffd_client *c, enum uffd_wire_kind kind, const void *body, size_t size,
                             const void *items, size_t items_size, const int *descriptors, uint32_t count) {
  struct uffd_wire_header header;
  unsigned char *frame;
  int result;
  if (c->socket < 0) return uffd_client__fail(c, UFFD_CLIENT_USAGE, "there is no connection");
  if (c->version == 0 && kind != UFFD_WIRE_HELLO)
    return uffd_client__fail(c, UFFD_CLIENT_USAGE, "the connection has not been agreed on");
  header.length = (uint32_t)(sizeof header + size + items_size);
  header.kind = (uint16_t)kind;
  header.descriptors = (uint16_t)count;
  header.id = ++c->last_id;
  frame = (unsigned char *)malloc(header.length);
  if (frame == NULL) return uffd_client__system(c, "allocating a frame");
  memcpy(frame, &header, sizeof header);
  memcpy(frame + sizeof header, body, size);
  if (items_size > 0) memcpy(frame + sizeof header + size, items, items_size);
  result = uffd_client__write(c, frame, header.length, descriptors, count);
  free(frame);
  return result;
}

static int uffd_client__send_plain(struct uffd_client *c, enum uffd_wire_kind kind) {
  struct uffd_wire_plain body;
  body.size = (uint32_t)sizeof body;
  body.flags = 0;
  return uffd_client__send(c, kind, &body, sizeof body, NULL, 0, NULL, 0);
}

/* Waits for DONE to the frame just sent. */
static int uffd_client__settle(struct uffd_client *c, uint64_t *session) {
  struct uffd_wire_header header;
  const unsigned char *body;
  int result = uffd_client__await(c, c->last_id, uffd_client__deadline(c->timeout_ms), &header, &body);
  if (result == UFFD_CLIENT_OK) result = uffd_client__outcome(c, &header, body);
  if (result == UFFD_CLIENT_OK && session != NULL) {
    struct uffd_wire_done done;
    uffd_client__body(body, &done, sizeof done);
    *session = done.session;
  }
  return result;
}

static void uffd_client__begin(struct uffd_client *c) {
  memset(c, 0, sizeof *c);
  c->socket = -1;
  c->uffd = -1;
  c->timeout_ms = 10000;
}

/* Both sides say what they speak; the highest version in common is spoken, without another word. */
static int uffd_client__agree(struct uffd_client *c) {
  static const char magic[] = UFFD_WIRE_MAGIC;
  struct uffd_wire_hello mine, theirs;
  struct uffd_wire_server_hello said;
  struct uffd_wire_header header;
  const unsigned char *body;
  int64_t deadline = uffd_client__deadline(c->timeout_ms);
  int result = uffd_client__write(c, magic, sizeof magic - 1, NULL, 0);
  memset(&mine, 0, sizeof mine);
  mine.size = (uint32_t)sizeof mine;
  mine.version_min = mine.version_max = UFFD_WIRE_VERSION;
  mine.max_frame = UFFD_WIRE_MAX_FRAME;
  if (result == UFFD_CLIENT_OK)
    result = uffd_client__send(c, UFFD_WIRE_HELLO, &mine, sizeof mine, NULL, 0, NULL, 0);
  if (result == UFFD_CLIENT_OK) result = uffd_client__receive(c, sizeof magic - 1, deadline);
  if (result != UFFD_CLIENT_OK) return result;
  if (memcmp(c->received, magic, sizeof magic - 1) != 0)
    return uffd_client__fail(c, UFFD_CLIENT_PROTOCOL, "the server does not begin with " UFFD_WIRE_MAGIC);
  c->taken_length = sizeof magic - 1;
  result = uffd_client__frame(c, deadline, &header, &body);
  if (result != UFFD_CLIENT_OK) return result;
  if (header.kind != UFFD_WIRE_HELLO_ANSWER) {
    result = uffd_client__outcome(c, &header, body);
    if (result != UFFD_CLIENT_OK) return result;
    return uffd_client__fail(c, UFFD_CLIENT_PROTOCOL, "the server does not say which versions it speaks");
  }
  uffd_client__body(body, &said, sizeof said);
  theirs = said.common;
  if (theirs.version_min > UFFD_WIRE_VERSION || theirs.version_max < UFFD_WIRE_VERSION)
    return uffd_client__fail(c, UFFD_CLIENT_PROTOCOL, "the server speaks versions %u to %u, this client %u",
                             (unsigned)theirs.version_min, (unsigned)theirs.version_max,
                             (unsigned)UFFD_WIRE_VERSION);
  c->version = UFFD_WIRE_VERSION;
  c->capabilities = theirs.capabilities;
  c->object_size = said.object_size;
  c->page_size = said.page_size;
  c->max_descriptors = theirs.max_descriptors;
  return UFFD_CLIENT_OK;
}

int uffd_client_adopt(struct uffd_client *c, int socket) {
  uffd_client__begin(c);
  c->socket = socket;
  c->received = (unsigned char *)malloc(UFFD_WIRE_MAX_FRAME);
  if (c->received == NULL) return uffd_client__system(c, "allocating a buffer");
  return uffd_client__agree(c);
}

int uffd_client_connect(struct uffd_client *c, const char *path) {
  struct sockaddr_un address;
  int descriptor, result;
  uffd_client__begin(c);
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  if (strlen(path) >= sizeof address.sun_path)
    return uffd_client__fail(c, UFFD_CLIENT_USAGE, "the path of a socket has at most %lu bytes: '%.40s...'",
                             (unsigned long)sizeof address.sun_path - 1, path);
  memcpy(address.sun_path, path, strlen(path));
  descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return uffd_client__system(c, "making a socket");
  while ((result = connect(descriptor, (struct sockaddr *)&address, sizeof address)) < 0 && errno == EINTR) {
  }
  if (result < 0) {
    c->code = errno;
    (void)close(descriptor);
    return uffd_client__fail(c, UFFD_CLIENT_SYSTEM, "connecting to %.108s: %s", path, strerror(c->code));
  }
  return uffd_client_adopt(c, descriptor);
}

/* A new uffd, before its handshake: by the device's mode, else by privilege, else for user mode only. */
static int uffd_client__new_uffd(struct uffd_client *c, unsigned flags) {
  int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
  int fd = -1;
  c->is_user_mode_only = 0;
  if (device >= 0) {
    fd = ioctl(device, UFFD_CLIENT__IOC_NEW, O_CLOEXEC | O_NONBLOCK);
    (void)close(device);
  }
  if (fd < 0) fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 && errno == EPERM && (flags & UFFD_CLIENT_USER_MODE_ALLOWED)) {
    fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_CLIENT__USER_MODE_ONLY);
    c->is_user_mode_only = fd >= 0;
  }
  return fd;
}

/* The handshake, which a uffd has once. *features: wanted; what the kernel has. */
static int uffd_client__handshake(int fd, uint64_t *features) {
  struct uffd_client__api api;
  int result;
  memset(&api, 0, sizeof api);
  api.api = 0xAA;
  api.features = *features;
  result = ioctl(fd, UFFD_CLIENT__IOC_API, &api);
  *features = api.features;
  return result;
}

int uffd_client_open_uffd(struct uffd_client *c, uint64_t features, unsigned flags) {
  uint64_t available = 0, wanted;
  int fd = uffd_client__new_uffd(c, flags);
  if (fd < 0) {
    c->code = errno;
    return uffd_client__fail(c, UFFD_CLIENT_SYSTEM, "opening a userfaultfd: %s%s", strerror(c->code),
                             c->code != EPERM ? ""
                             : " (give access to /dev/userfaultfd, or set vm.unprivileged_userfaultfd)");
  }
  /* What the kernel has is asked of another one, for there is one handshake. */
  if (uffd_client__handshake(fd, &available) < 0) {
    int result = uffd_client__system(c, "the handshake with userfaultfd (UFFDIO_API)");
    (void)close(fd);
    return result;
  }
  (void)close(fd);
  for (wanted = features & available;; wanted &= ~(uint64_t)UFFD_CLIENT_EVENT_FORK) {
    uint64_t answer = wanted;
    fd = uffd_client__new_uffd(c, flags);
    if (fd < 0) return uffd_client__system(c, "opening a userfaultfd");
    if (uffd_client__handshake(fd, &answer) == 0) break;
    c->code = errno;
    (void)close(fd);
    /* Forks are followed for the privileged alone. */
    if (c->code == EPERM && (wanted & UFFD_CLIENT_EVENT_FORK)) continue;
    errno = c->code;
    return uffd_client__system(c, "the handshake with userfaultfd (UFFDIO_API)");
  }
  c->uffd = fd;
  c->features = wanted;
  return UFFD_CLIENT_OK;
}

int uffd_client_register(struct uffd_client *c, void *start, uint64_t length, uint64_t modes) {
  struct uffd_client__register argument;
  uint64_t needed = UFFD_CLIENT__CAN_COPY | ((modes & UFFD_CLIENT_MINOR) ? UFFD_CLIENT__CAN_CONTINUE : 0);
  memset(&argument, 0, sizeof argument);
  argument.start = (uint64_t)(uintptr_t)start;
  argument.length = length;
  argument.mode = modes;
  if (ioctl(c->uffd, UFFD_CLIENT__IOC_REGISTER, &argument) < 0)
    return uffd_client__system(c, "registering memory with userfaultfd (UFFDIO_REGISTER)");
  if ((argument.ioctls & needed) == needed) return UFFD_CLIENT_OK;
  (void)uffd_client_unregister(c, start, length);
  return uffd_client__fail(c, UFFD_CLIENT_USAGE, "the kernel cannot fill this kind of memory on demand");
}

int uffd_client_unregister(struct uffd_client *c, void *start, uint64_t length) {
  struct uffd_client__range range;
  range.start = (uint64_t)(uintptr_t)start;
  range.length = length;
  if (ioctl(c->uffd, UFFD_CLIENT__IOC_UNREGISTER, &range) == 0) return UFFD_CLIENT_OK;
  return uffd_client__system(c, "taking memory from userfaultfd (UFFDIO_UNREGISTER)");
}

/* A sparse memfd that cannot shrink, or -1. */
static int uffd_client__memfd(uint64_t page_size, uint64_t length) {
  unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  int fd, keep;
  if (page_size > 4096) flags |= MFD_HUGETLB | ((unsigned)__builtin_ctzll(page_size) << 26);
  fd = (int)syscall(SYS_memfd_create, "uffd-client", flags);
  if (fd < 0) return -1;
  if (ftruncate(fd, (off_t)length) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0) return fd;
  keep = errno;
  (void)close(fd);
  errno = keep;
  return -1;
}

/* Maps what is asked for; -1 with errno where that fails. */
static int uffd_client__memory(enum uffd_client_memory memory, uint64_t page_size, uint64_t offset,
                               struct uffd_client_mapping *out) {
  void *address;
  int flags = memory == UFFD_CLIENT_MEMFD_SHARED ? MAP_SHARED : MAP_PRIVATE;
  int is_anonymous = memory == UFFD_CLIENT_ANONYMOUS;
  if (!is_anonymous) {
    out->backing = uffd_client__memfd(page_size, offset + out->length);
    if (out->backing < 0) return -1;
  }
  if (is_anonymous) flags |= MAP_ANONYMOUS;
  if (is_anonymous && page_size > 4096) flags |= MAP_HUGETLB | (__builtin_ctzll(page_size) << 26);
  /* Huge pages are reserved now, or a full pool would be found out in the middle of a fault. */
  if (page_size == 4096) flags |= MAP_NORESERVE;
  address = mmap(NULL, (size_t)out->length, PROT_READ | PROT_WRITE, flags, out->backing,
                 is_anonymous ? 0 : (off_t)offset);
  if (address == MAP_FAILED) return -1;
  out->memory = (unsigned char *)address;
  return madvise(address, (size_t)out->length, MADV_DONTFORK);
}

int uffd_client_map(struct uffd_client *c, enum uffd_client_memory memory, uint64_t page_size, uint64_t length,
                    uint64_t offset, struct uffd_client_mapping *out) {
  uint64_t mask = page_size - 1;
  int result;
  memset(out, 0, sizeof *out);
  out->backing = -1;
  if (page_size < 4096 || (page_size & mask) != 0 || (offset & mask) != 0 || length == 0 ||
      length > UINT64_C(1) << 61 || offset > UINT64_C(1) << 61)
    return uffd_client__fail(c, UFFD_CLIENT_USAGE,
                             "memory needs a length, a page size that is a power of two from 4096 on, "
                             "and an offset that is a multiple of it");
  out->length = (length + mask) & ~mask;
  result = uffd_client__memory(memory, page_size, offset, out);
  if (result < 0) {
    result = uffd_client__system(c, page_size > 4096 ? "mapping memory of huge pages (is the pool large enough?)"
                                                     : "mapping memory");
  } else {
    out->region.start = (uint64_t)(uintptr_t)out->memory;
    out->region.length = out->length;
    out->region.offset = offset;
    out->region.page_size = page_size;
    out->region.flags = memory == UFFD_CLIENT_MEMFD_SHARED ? UFFD_CLIENT_SHARED : 0;
    out->region.modes = UFFD_CLIENT_MISSING | (out->backing < 0 ? 0 : UFFD_CLIENT_MINOR);
    out->region.backing = out->backing < 0 ? UFFD_WIRE_NO_BACKING : 0;
    result = uffd_client_register(c, out->memory, out->length, out->region.modes);
  }
  if (result == UFFD_CLIENT_OK) return result;
  if (out->memory != NULL) (void)munmap(out->memory, (size_t)out->length);
  if (out->backing >= 0) (void)close(out->backing);
  out->memory = NULL;
  out->backing = -1;
  return result;
}

/* ATTACH, whose first descriptor is the uffd, and ADD_REGIONS. */
static int uffd_client__hand_over(struct uffd_client *c, enum uffd_wire_kind kind,
                                  const struct uffd_client_region *regions, uint32_t count, const int *backings,
                                  uint32_t backing_count, uint64_t *session) {
  struct uffd_wire_regions body;
  int descriptors[UFFD_WIRE_MAX_DESCRIPTORS];
  uint32_t extra = kind == UFFD_WIRE_ATTACH ? 1 : 0;
  uint32_t header_size = (uint32_t)(sizeof(struct uffd_wire_header) + sizeof body);
  uint32_t room = (uint32_t)((UFFD_WIRE_MAX_FRAME - header_size) / sizeof *regions);
  uint32_t most = UFFD_WIRE_MAX_DESCRIPTORS - extra;
  int result;
  if (c->uffd < 0) return uffd_client__fail(c, UFFD_CLIENT_USAGE, "there is no uffd to hand over");
  if (count == 0 || count > room || backing_count > most)
    return uffd_client__fail(c, UFFD_CLIENT_USAGE,
                             "one call takes 1 to %lu regions and up to %lu backings; add the others after it",
                             (unsigned long)room, (unsigned long)most);
  if (c->version != 0 && backing_count + extra > c->max_descriptors)
    return uffd_client__fail(c, UFFD_CLIENT_USAGE,
                             "the server takes %lu descriptors with one call, and not %lu (the uffd is one of "
                             "an attach's); add the regions of the other backings after it",
                             (unsigned long)c->max_descriptors, (unsigned long)(backing_count + extra));
  memset(&body, 0, sizeof body);
  body.size = (uint32_t)sizeof body;
  body.count = count;
  body.stride = (uint32_t)sizeof *regions;
  body.backings = backing_count;
  descriptors[0] = c->uffd;
  if (backing_count > 0) memcpy(descriptors + extra, backings, sizeof(int) * backing_count);
  result = uffd_client__send(c, kind, &body, sizeof body, regions, sizeof *regions * count, descriptors,
                             backing_count + extra);
  return result != UFFD_CLIENT_OK ? result : uffd_client__settle(c, session);
}

int uffd_client_attach(struct uffd_client *c, const struct uffd_client_region *regions, uint32_t count,
                       const int *backings, uint32_t backing_count) {
  return uffd_client__hand_over(c, UFFD_WIRE_ATTACH, regions, count, backings, backing_count, &c->session);
}

int uffd_client_add(struct uffd_client *c, const struct uffd_client_region *regions, uint32_t count,
                    const int *backings, uint32_t backing_count) {
  return uffd_client__hand_over(c, UFFD_WIRE_ADD_REGIONS, regions, count, backings, backing_count, NULL);
}

/* Waits for an answer that may have come already, or may come after this call. */
static int uffd_client__finish(struct uffd_client *c, struct uffd_client_pending *pending, int timeout_ms) {
  int result;
  if (!pending->is_answered) {
    struct uffd_wire_header header;
    const unsigned char *body;
    result = uffd_client__await(c, pending->id, uffd_client__deadline(timeout_ms), &header, &body);
    if (result == UFFD_CLIENT_TIMEOUT) return result;
    if (result == UFFD_CLIENT_OK) result = uffd_client__outcome(c, &header, body);
  } else {
    result = pending->result;
    if (result != UFFD_CLIENT_OK) (void)snprintf(c->error, sizeof c->error, "%s", pending->text);
  }
  memset(pending, 0, sizeof *pending);
  return result;
}

int uffd_client_remove(struct uffd_client *c, const void *start, uint64_t length, int timeout_ms) {
  struct uffd_wire_range body;
  int result;
  memset(&body, 0, sizeof body);
  body.size = (uint32_t)sizeof body;
  body.start = (uint64_t)(uintptr_t)start;
  body.length = length;
  if (c->removal.id == 0 || c->removal.start != body.start || c->removal.length != length) {
    memset(&c->removal, 0, sizeof c->removal);
    result = uffd_client__send(c, UFFD_WIRE_REMOVE_REGION, &body, sizeof body, NULL, 0, NULL, 0);
    if (result != UFFD_CLIENT_OK) return result;
    c->removal.id = c->last_id;
    c->removal.start = body.start;
    c->removal.length = length;
  }
  return uffd_client__finish(c, &c->removal, timeout_ms);
}

int uffd_client_progress(struct uffd_client *c, struct uffd_client_progress *out) {
  struct uffd_wire_header header;
  const unsigned char *body;
  int result = uffd_client__send_plain(c, UFFD_WIRE_PROGRESS);
  if (result == UFFD_CLIENT_OK)
    result = uffd_client__await(c, c->last_id, uffd_client__deadline(c->timeout_ms), &header, &body);
  if (result != UFFD_CLIENT_OK) return result;
  if (header.kind == UFFD_WIRE_PROGRESS_ANSWER) {
    uffd_client__body(body, out, sizeof *out);
    return UFFD_CLIENT_OK;
  }
  result = uffd_client__outcome(c, &header, body);
  if (result != UFFD_CLIENT_OK) return result;
  return uffd_client__fail(c, UFFD_CLIENT_PROTOCOL, "the server does not say how far it is");
}

int uffd_client_drain(struct uffd_client *c, int timeout_ms) {
  int result;
  if (c->drain.id == 0) {
    result = uffd_client__send_plain(c, UFFD_WIRE_DRAIN);
    if (result != UFFD_CLIENT_OK) return result;
    c->drain.id = c->last_id;
  }
  result = uffd_client__finish(c, &c->drain, timeout_ms);
  if (result == UFFD_CLIENT_OK) c->is_drained = 1;
  return result;
}

int uffd_client_detach(struct uffd_client *c) {
  int result = uffd_client__send_plain(c, UFFD_WIRE_DETACH);
  return result != UFFD_CLIENT_OK ? result : uffd_client__settle(c, NULL);
}

int uffd_client_status(struct uffd_client *c, char **json) {
  int64_t deadline = uffd_client__deadline(c->timeout_ms);
  size_t length = 0;
  uint64_t id;
  int result = uffd_client__send_plain(c, UFFD_WIRE_STATUS);
  id = c->last_id;
  *json = NULL;
  while (result == UFFD_CLIENT_OK) {
    struct uffd_wire_header header;
    struct uffd_wire_text text;
    const unsigned char *body;
    const char *piece;
    char *longer;
    result = uffd_client__await(c, id, deadline, &header, &body);
    if (result != UFFD_CLIENT_OK) break;
    if (header.kind != UFFD_WIRE_STATUS_ANSWER) {
      result = uffd_client__outcome(c, &header, body);
      if (result == UFFD_CLIENT_OK)
        result = uffd_client__fail(c, UFFD_CLIENT_PROTOCOL, "the server does not say its status");
      break;
    }
    piece = uffd_client__text(&header, body, &text);
    longer = (char *)realloc(*json, length + text.length + 1);
    if (longer == NULL) {
      result = uffd_client__system(c, "allocating the status");
      break;
    }
    *json = longer;
    memcpy(longer + length, piece, text.length);
    length += text.length;
    longer[length] = '\0';
    if (!(text.code & 1)) return UFFD_CLIENT_OK;
  }
  free(*json);
  *json = NULL;
  return result;
}

int uffd_client_is_connected(const struct uffd_client *c) {
  struct pollfd end;
  end.fd = c->socket;
  end.events = POLLRDHUP;
  end.revents = 0;
  return c->socket >= 0 && poll(&end, 1, 0) == 0;
}

void uffd_client_close(struct uffd_client *c) {
  if (c->socket >= 0) (void)close(c->socket);
  if (c->is_drained && c->uffd >= 0) {
    (void)close(c->uffd);
    c->uffd = -1;
  }
  free(c->received);
  c->received = NULL;
  c->socket = -1;
}

#endif /* UFFD_CLIENT_IMPLEMENTATION */
