"""
What a disk may hold after a power cut, from a recording of system calls.

A recording is what strace saw of the real binary: each byte that it wrote,
where, and which syncs came back before which answers went out. A cut is a
place in it. Certain after a cut is what a sync that had come back covers:

- fdatasync and fsync: the writes to that file that had come back before the
  call; a write through a descriptor with O_DSYNC: the pages it is on
- of names (create, rename): fsync of the directory

Anything else of the writes begun before the cut may be there or not: in any
choice, in any order, torn between sectors of 512 bytes. A write that a later
one has overwritten may win, as it can have been written back before.

A call that would change the store and is not modelled is an error.
"""

import collections
import os
import re

SECTOR, PAGE = 512, 4096

CALLS = ("open,openat,creat,close,dup,dup2,dup3,lseek,write,writev,pwrite64,"
         "pwritev,pwritev2,fdatasync,fsync,sync_file_range,ftruncate,"
         "fallocate,rename,renameat,renameat2,link,unlink,mmap,sendto,sendmsg,"
         "sendfile,copy_file_range,io_uring_setup")
STRACE = ["strace", "-f", "-xx", "-s", "2097152", "-e", "trace=" + CALLS,
          "-e", "signal=none"]


class Call:
    """enter, exit: numbers of lines of the recording; result -1: failed"""

    def __init__(self, pid, name, text, enter):
        self.pid, self.name, self.text = pid, name, text
        self.enter, self.exit, self.result = enter, None, None

    def strings(self):
        return [bytes.fromhex(part.replace("\\x", ""))
                for part in re.findall(r'"((?:\\x[0-9a-f]{2})*)"(?!\.)',
                                       self.text)]

    def data(self):
        """What it wrote: all of it, as far as it was taken."""
        data = b"".join(self.strings())
        assert self.result is None or self.result < 0 \
            or self.result <= len(data), "a write was not recorded whole"
        return data if self.result is None or self.result < 0 \
            else data[:self.result]

    def numbers(self):
        return [int(n) for n in re.findall(
            r"-?\b\d+\b", re.sub(r'"[^"]*"', "", self.text))]


LINE = re.compile(r"(\d+) +(?:<\.\.\. )?(\w+)(?:\(| resumed>)")
RESULT = re.compile(r"= (-?\d+|0x[0-9a-f]+|\?)(?: [^\"]*)?$")


def parse(path):
    """The calls, by their beginning."""
    calls, open_calls = [], {}
    with open(path, encoding="latin-1") as recording:
        for number, line in enumerate(recording):
            match = LINE.match(line)
            if match is None or match[2] in ("exited", "killed"):
                continue
            key = match[1], match[2]
            if "<... " in line[:match.end()]:
                call = open_calls.pop(key)
                call.text += line[match.end():]
            else:
                call = Call(match[1], match[2], line[match.end():], number)
                calls.append(call)
            if line.rstrip().endswith("<unfinished ...>"):
                open_calls[key] = call
                continue
            result = RESULT.search(line.rstrip()[-200:])
            call.exit = number
            call.result = -1 if result is None or result[1] == "?" \
                else int(result[1], 0)
    return calls


class Piece:
    """Bytes that have been given to the kernel; done once that took them."""

    def __init__(self, offset, data):
        self.offset, self.data, self.is_done = offset, data, False

    def sectors(self):
        at = 0
        while at < len(self.data):
            end = min(len(self.data), at + SECTOR
                      - (self.offset + at) % SECTOR)
            yield Piece(self.offset + at, self.data[at:end])
            at = end

    def shares_page(self, other):
        first, last = self.offset // PAGE, (self.offset + len(self.data) - 1
                                            ) // PAGE
        return (first <= (other.offset + len(other.data) - 1) // PAGE
                and last >= other.offset // PAGE)

    def write_to(self, content):
        end = self.offset + len(self.data)
        if len(content) < end:
            content.extend(bytes(end - len(content)))
        content[self.offset:end] = self.data


class File:
    def __init__(self, content=b""):
        self.certain = bytearray(content)
        self.pending = []

    def settle(self, pieces):
        for piece in pieces:
            piece.write_to(self.certain)
        kept = set(map(id, pieces))
        self.pending = [p for p in self.pending if id(p) not in kept]

    def after_a_cut(self, rng, how):
        """how: none, all, some, any order, torn"""
        content = bytearray(self.certain)
        pieces = [] if how == "none" else list(self.pending)
        if how == "torn":
            pieces = [s for piece in pieces for s in piece.sectors()]
        if how in ("some", "any order", "torn"):
            share = rng.random()
            pieces = [p for p in pieces if rng.random() < share]
        if how in ("any order", "torn"):
            rng.shuffle(pieces)
        for piece in pieces:
            piece.write_to(content)
        return bytes(content)


HOWS = ("none", "all", "some", "any order", "torn")


class Descriptor:
    def __init__(self, file=None, path=None, is_dsync=False):
        self.file, self.path, self.is_dsync = file, path, is_dsync
        self.offset = 0


class Disk:
    """
    folder's files as the recording goes on. names: what the directory says;
    certain_names: what it says after a cut for certain. believes_syncs False
    is a disk that lies: tests of this model use it.
    """

    def __init__(self, folder, files, believes_syncs=True):
        self.folder = os.fsencode(str(folder))
        self.names = {name: File(data) for name, data in files.items()}
        self.certain_names = dict(self.names)
        self.descriptors = {}
        self.believes_syncs = believes_syncs
        self.syncs = {}  # call -> what it covers

    def name_of(self, path):
        folder, name = os.path.split(path)
        return name if folder == self.folder else None

    # A call's beginning

    def enter(self, call):
        if call.name in ("write", "writev", "pwrite64"):
            self.enter_write(call)
        elif call.name in ("fdatasync", "fsync"):
            self.enter_sync(call)

    def enter_write(self, call):
        d = self.descriptors.get(call.numbers()[0])
        if d is None or d.file is None or call.result is not None \
                and call.result < 0:
            return
        data = call.data()
        if call.name == "pwrite64":
            call.piece = Piece(call.numbers()[2], data)
        else:
            call.piece = Piece(d.offset, data)
            d.offset += len(data)
        d.file.pending.append(call.piece)

    def enter_sync(self, call):
        d = self.descriptors.get(call.numbers()[0])
        if d is None:
            return
        if d.file is not None:
            self.syncs[call] = d.file, [p for p in d.file.pending if p.is_done]
        elif d.path == self.folder:
            self.syncs[call] = None, dict(self.names)

    # A call's end

    def leave(self, call):
        action = getattr(self, "leave_" + call.name, None)
        if action and call.result is not None and call.result >= 0:
            action(call)
        elif action is None:
            self.refuse(call)

    def refuse(self, call):
        numbers = call.numbers()
        d = self.descriptors.get(numbers[0]) if numbers else None
        assert d is None or d.file is None, "not modelled: " + call.name

    def leave_open(self, call):
        path, = call.strings()
        name = self.name_of(path)
        watched = name is not None and name.startswith(b"store.mdb") \
            and not name.endswith(b"-lock")
        assert not watched or "O_TRUNC" not in call.text
        if watched and name not in self.names:
            self.names[name] = File()
        self.descriptors[call.result] = Descriptor(
            self.names[name] if watched else None, path,
            "SYNC" in call.text)

    leave_openat = leave_open

    def leave_close(self, call):
        self.descriptors.pop(call.numbers()[0], None)

    def leave_lseek(self, call):
        d = self.descriptors.get(call.numbers()[0])
        if d:
            d.offset = call.result

    def leave_pwrite64(self, call):
        piece = getattr(call, "piece", None)
        if piece is None:
            return
        piece.is_done = True
        d = self.descriptors[call.numbers()[0]]
        if d.is_dsync and self.believes_syncs:
            d.file.settle([p for p in d.file.pending
                           if p.is_done and p.shares_page(piece)])

    leave_write = leave_writev = leave_pwrite64

    def leave_fdatasync(self, call):
        file, covered = self.syncs.pop(call, (None, None))
        if covered is None or not self.believes_syncs:
            return
        if file is None:
            self.certain_names = covered
        else:
            file.settle(covered)

    leave_fsync = leave_fdatasync

    def leave_rename(self, call):
        old, new = map(self.name_of, call.strings())
        if old in self.names:
            self.names[new] = self.names.pop(old)

    def leave_unlink(self, call):
        path, = call.strings()
        self.names.pop(self.name_of(path), None)

    def leave_mmap(self, call):
        fd = re.search(r", (-?\d+), (?:0x)?[0-9a-f]+ *[)<]", call.text)[1]
        d = self.descriptors.get(int(fd))
        assert d is None or d.file is None or "PROT_WRITE" not in call.text, \
            "the store is written through a map"

    def leave_sendto(self, call):
        pass

    # A cut

    def after_a_cut(self, rng, how):
        """{name: content}; names that were not certain may be there."""
        names = self.certain_names
        if how == "all" or how != "none" and rng.random() < 0.5:
            names = self.names
        return {name: file.after_a_cut(rng, how)
                for name, file in names.items()}


class Recording:
    """
    steps: (line, call, is_end) in order
    answers: (line, token, n): from this line on token's n-th login, counted
             from 0, was on its way to the player
    """

    def __init__(self, path):
        self.calls = parse(path)
        ends = [(c.exit, c, True) for c in self.calls if c.exit is not None]
        self.steps = sorted(
            [(c.enter, c, False) for c in self.calls] + ends,
            key=lambda step: (step[0], step[2]))
        self.answers = list(self.find_answers())

    ANSWER = re.compile(rb'\{"type":"auth_success","payload":\{"username":'
                        rb'"[^"]*","token":"([0-9a-f-]{36})"')

    def find_answers(self):
        tails = {}
        seen = collections.Counter()
        for call in self.calls:
            if call.name == "close":
                tails.pop(call.numbers()[0], None)
            if call.name != "sendto":
                continue
            fd = call.numbers()[0]
            text = tails.get(fd, b"") + call.data()
            end = 0
            for match in self.ANSWER.finditer(text):
                tok = match[1].decode()
                yield call.enter, tok, seen[tok]
                seen[tok] += 1
                end = match.end()
            tails[fd] = text[end:][-300:]

    def play(self, disk, cuts):
        """Yields each of the lines of cuts when all up to it has happened."""
        steps = iter(self.steps)
        step = next(steps, None)
        for cut in sorted(cuts):
            while step is not None and step[0] <= cut:
                line, call, is_end = step
                (disk.leave if is_end else disk.enter)(call)
                step = next(steps, None)
            yield cut
