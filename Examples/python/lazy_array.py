#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An array whose bytes a uffdhost server has, and brings page by page when they are first looked at.

Needs Python 3.8 on 64-bit Linux and nothing else: userfaultfd is reached through ctypes and libc, and the
native protocol of uffdhost (docs/protocol.md) is spoken below, in the class Connection.
"""
import argparse
import ctypes
import errno
import json
import mmap
import os
import random
import socket
import struct
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.syscall.restype = ctypes.c_long

PAGE = 4096

# <linux/userfaultfd.h>, of which Python knows nothing: numbers, and structs of u64.
SYS_USERFAULTFD = {"x86_64": 323, "aarch64": 282, "riscv64": 282}
USERFAULTFD_IOC_NEW = 0xAA00
UFFDIO_API = 0xC018AA3F
UFFDIO_REGISTER = 0xC020AA00
USER_MODE_ONLY = 1
REGISTER_MODE_MISSING = 1
# UFFD_FEATURE_EVENT_REMAP, REMOVE, UNMAP: the server hears of discarded, moved and unmapped pages.
FEATURES = 1 << 2 | 1 << 3 | 1 << 6
MADV_DONTFORK = 10
MAP_NORESERVE = 0x4000


def system_error(what):
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


def ioctl(fd, request, *fields):
    """Calls an ioctl whose argument is a struct of u64; returns its fields as the kernel leaves them."""
    argument = (ctypes.c_uint64 * len(fields))(*fields)
    if libc.ioctl(ctypes.c_int(fd), ctypes.c_ulong(request), argument) < 0:
        raise system_error(f"ioctl {request:#x} of userfaultfd")
    return list(argument)


def new_userfaultfd():
    """A userfaultfd before its handshake, and whether it sees the accesses of this process alone."""
    flags = os.O_CLOEXEC | os.O_NONBLOCK
    try:
        device = os.open("/dev/userfaultfd", os.O_RDWR | os.O_CLOEXEC)
        try:
            fd = libc.ioctl(device, ctypes.c_ulong(USERFAULTFD_IOC_NEW), ctypes.c_ulong(flags))
        finally:
            os.close(device)
        if fd >= 0:
            return fd, False
    except OSError:
        pass
    number = SYS_USERFAULTFD[os.uname().machine]
    fd = libc.syscall(number, flags)
    if fd >= 0:
        return fd, False
    fd = libc.syscall(number, flags | USER_MODE_ONLY)
    if fd >= 0:
        return fd, True
    raise system_error("opening a userfaultfd")


def open_userfaultfd():
    # What the kernel has is asked of another one, for a userfaultfd has one handshake.
    probe, _ = new_userfaultfd()
    _, available, _ = ioctl(probe, UFFDIO_API, 0xAA, 0, 0)
    os.close(probe)
    fd, is_user_mode_only = new_userfaultfd()
    ioctl(fd, UFFDIO_API, 0xAA, FEATURES & available, 0)
    return fd, is_user_mode_only


class Refused(Exception):
    """What the server says no to; its sentence."""


class Connection:
    """The native protocol, version 1: a magic, a HELLO each way, frames whose answers repeat their id."""

    MAGIC = b"UFFDHOST"
    HEADER = struct.Struct("<IHHQ")  # length of the frame, kind, descriptors, id
    HELLO, ATTACH, PROGRESS, DRAIN, STATUS = 1, 2, 5, 6, 8
    A_HELLO, A_DONE, A_REFUSED, A_PROGRESS, A_STATUS = 0x8001, 0x8002, 0x8003, 0x8004, 0x8005
    PLAIN = struct.pack("<II", 8, 0)
    MAX_FRAME = 65536
    NO_BACKING = 0xFFFFFFFF
    NUMBERS = (
        "bytes missing resident poisoned discarded regions faults_missing faults_minor faults_wp "
        "copied zeroed continued poisoned_by_server parked given_up"
    ).split()
    PHASES = {1: "serving", 2: "draining", 3: "drained", 4: "detached", 5: "gone"}

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(30)
        self.socket.connect(path)
        self.last_id = 0
        self.late = {}  # answers that came while another one was awaited
        self.socket.sendall(self.MAGIC)
        self.send(self.HELLO, struct.pack("<IHHQII", 24, 1, 1, 0, self.MAX_FRAME, 0))
        if self.receive(len(self.MAGIC)) != self.MAGIC:
            raise Refused(f"{path} does not speak the native protocol")
        kind, _, body = self.frame()
        if kind != self.A_HELLO:
            raise Refused(self.text(body))
        size, least, most = struct.unpack_from("<IHH", body)
        # The fields that a struct had when this was written may not be all, nor need they be there.
        self.object_size = struct.unpack_from("<Q", body, 24)[0] if size >= 32 else None
        if not least <= 1 <= most:
            raise Refused(f"the server speaks the versions {least} to {most}, and this is 1")

    def receive(self, count):
        pieces = []
        while count > 0:
            piece = self.socket.recv(count)
            if not piece:
                raise Refused("the server has closed the connection")
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def frame(self):
        length, kind, _, request = self.HEADER.unpack(self.receive(self.HEADER.size))
        return kind, request, self.receive(length - self.HEADER.size)

    def send(self, kind, body, descriptors=()):
        """Descriptors ride on the first byte of their frame. Returns the id of the request."""
        self.last_id += 1
        length = self.HEADER.size + len(body)
        frame = self.HEADER.pack(length, kind, len(descriptors), self.last_id) + body
        rights = struct.pack(f"{len(descriptors)}i", *descriptors)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
        sent = self.socket.sendmsg([frame], ancillary)
        self.socket.sendall(frame[sent:])
        return self.last_id

    def answer(self, request):
        """The answer to a request: its kind and body. Answers to others are kept."""
        while request not in self.late:
            kind, other, body = self.frame()
            # What is about the connection ends it, whomever it answers: code 1 or 2, or no request's id.
            if kind == self.A_REFUSED and (other == 0 or struct.unpack_from("<I", body, 4)[0] != 3):
                raise Refused(self.text(body))
            self.late[other] = (kind, body)
        kind, body = self.late.pop(request)
        if kind == self.A_REFUSED:
            raise Refused(self.text(body))
        return kind, body

    @staticmethod
    def text(body):
        size, _, length = struct.unpack_from("<III", body)
        return body[size : size + length].decode()

    def attach(self, uffd, start, length, offset):
        region = struct.pack(
            "<QQQQIIII", start, length, offset, PAGE, 0, REGISTER_MODE_MISSING, self.NO_BACKING, 0)
        body = struct.pack("<IIIIII", 24, 0, 1, len(region), 0, 0) + region
        _, done = self.answer(self.send(self.ATTACH, body, [uffd]))
        return struct.unpack_from("<Q", done, 8)[0]

    def progress(self):
        _, body = self.answer(self.send(self.PROGRESS, self.PLAIN))
        (phase,) = struct.unpack_from("<I", body, 4)
        numbers = struct.unpack_from(f"<{len(self.NUMBERS)}Q", body, 8)
        return dict(zip(self.NUMBERS, numbers), phase=self.PHASES.get(phase, phase))

    def status(self):
        request = self.send(self.STATUS, self.PLAIN)
        text, is_more = b"", True
        while is_more:
            _, body = self.answer(request)
            size, flags, length = struct.unpack_from("<III", body)
            text += body[size : size + length]
            is_more = flags & 1
        return json.loads(text)


class LazyArray:
    """`length` bytes of a server's object from `offset` on (all that there are), as memory.

    `view` is a memoryview, good for numpy.frombuffer, struct, hashlib and slices. Looking at a byte for the
    first time waits for its page, with the interpreter's lock held; the server is another process and does
    not need it. A page that the server cannot provide is SIGBUS.
    """

    def __init__(self, path, length=None, offset=0):
        self.connection = Connection(path)
        if length is None:
            if self.connection.object_size is None:
                raise Refused("the server does not say how long its object is: give a length")
            length = self.connection.object_size - offset
            if length <= 0:
                raise Refused(f"the object has {self.connection.object_size} bytes")
        self.length = (length + PAGE - 1) // PAGE * PAGE
        self.uffd, self.is_user_mode_only = open_userfaultfd()
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
        # Never unmapped: that would wait for the server, at the end of the program too.
        self.start = libc.mmap(None, self.length, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
        if self.start in (None, ctypes.c_void_p(-1).value):
            raise system_error(f"mapping {self.length} bytes")
        # A child's copy would read zero where nothing has been filled yet.
        if libc.madvise(self.start, self.length, MADV_DONTFORK) < 0:
            raise system_error("madvise")
        ioctl(self.uffd, UFFDIO_REGISTER, self.start, self.length, REGISTER_MODE_MISSING, 0)
        self.session = self.connection.attach(self.uffd, self.start, self.length, offset)
        # The userfaultfd stays open here: if the server dies, looking at a missing page stalls. Were it
        # closed, the page would read zero.
        self.view = memoryview((ctypes.c_ubyte * self.length).from_address(self.start)).cast("B")

    def progress(self):
        return self.connection.progress()

    def status(self):
        return self.connection.status()

    def drain(self, report=lambda progress: None):
        """Has the server fill everything and let go. `report` is called with the progress now and then."""
        request = self.connection.send(Connection.DRAIN, Connection.PLAIN)
        while request not in self.connection.late:
            report(self.progress())
            time.sleep(0.05)
        self.connection.answer(request)
        os.close(self.uffd)

    def numpy(self):
        """The same memory as an array of bytes, without a copy."""
        import numpy

        return numpy.frombuffer(self.view, dtype=numpy.uint8)


def main():
    parser = argparse.ArgumentParser(description="Looks at a few bytes of a remote array.")
    parser.add_argument("socket", help="where 'uffdhost serve' listens")
    parser.add_argument("--size", type=int, help="bytes of the array (default: all of the object)")
    parser.add_argument("--offset", type=int, default=0, help="byte of the object that it begins with")
    parser.add_argument("--looks", type=int, default=100, help="places to look at (default: 100)")
    parser.add_argument("--drain", action="store_true", help="have all of it filled in the end")
    parser.add_argument("--compare", metavar="FILE", help="what the array should hold")
    options = parser.parse_args()

    array = LazyArray(options.socket, options.size, options.offset)
    if array.is_user_mode_only:
        print("system calls do not wait for missing pages here: look at them first")
    random.seed(1)
    places = [random.randrange(array.length) for _ in range(options.looks)]
    begin = time.perf_counter()
    looked = [array.view[place] for place in places]
    seconds = time.perf_counter() - begin
    progress = array.progress()
    print(
        f"{len(places)} looks in {seconds * 1e3:.1f} ms, {progress['faults_missing']} faults, "
        f"{progress['resident']} of {progress['bytes']} bytes are here")
    try:
        piece = array.numpy()[:PAGE]
        print(f"numpy: the first page has the mean {piece.mean():.2f}")
    except ImportError:
        print(f"without numpy: the first page has the sum {sum(array.view[:PAGE])}")
    if options.drain:
        array.drain(lambda progress: print(f"{progress['phase']}: {progress['missing']} bytes to come"))
        print("drained: the server is not needed any more")
    if options.compare:
        with open(options.compare, "rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        for place, byte in zip(places, looked):
            at = options.offset + place
            if byte != (content[at] if at < len(content) else 0):
                sys.exit(f"byte {at} is {byte}, and {options.compare} has another")
        end = min(options.offset + array.length, len(content))
        if options.drain and array.view[: end - options.offset] != content[options.offset : end]:
            sys.exit(f"the array is not what {options.compare} holds")
        print(f"as in {options.compare}")


if __name__ == "__main__":
    try:
        main()
    except (OSError, Refused) as error:
        hint = ""
        if isinstance(error, OSError) and error.errno == errno.EPERM:
            hint = " ('uffdhost doctor' says what is needed)"
        sys.exit(f"lazy_array: {error}{hint}")
