"""
Another time of day for one process, while it runs.

From outside, and for this process alone: its clock_gettime lives in the vDSO,
pages of its own memory. There it is replaced by a few instructions that ask
the kernel and, for the time of day only, add an offset from a cell.
"""

import os
import platform
import struct

import pytest

needs_clock = pytest.mark.skipif(
    platform.machine() != "x86_64" or os.getuid() != 0 or
    not os.path.exists("/proc/self/mem"),
    reason="needs root and /proc, and the code is x86-64's")

#   mov eax, 228 (clock_gettime); syscall; test edi, edi; jnz end
#   mov rdx, [rip + cell]; add [rsi], rdx; end: ret
CODE = bytes.fromhex("b8e4000000" "0f05" "85ff" "750a"
                     "488b150e000000" "480116" "c3") + b"\x90" * 10
CELL = len(CODE)  # 32: what begins at 18 + 0x0e


class Clock:
    """The time of day of one process; set(seconds) moves it."""

    def __init__(self, pid):
        self.memory = open("/proc/%d/mem" % pid, "r+b", buffering=0)
        with open("/proc/%d/maps" % pid, encoding="ascii") as maps:
            line, = [x for x in maps if x.rstrip().endswith("[vdso]")]
        begin, end = (int(x, 16) for x in line.split()[0].split("-"))
        self.memory.seek(begin)
        self.at = begin + find_function(self.memory.read(end - begin),
                                        b"__vdso_clock_gettime")
        self.write(self.at + CELL, struct.pack("<q", 0))
        self.write(self.at, CODE)

    def write(self, at, data):
        self.memory.seek(at)
        assert self.memory.write(data) == len(data)

    def set(self, seconds):
        self.write(self.at + CELL, struct.pack("<q", seconds))

    def close(self):
        self.memory.close()


def find_function(image, wanted):
    """Offset of a function in an ELF image, by its section headers."""
    table, = struct.unpack_from("<Q", image, 40)
    size, count = struct.unpack_from("<HH", image, 58)
    headers = [struct.unpack_from("<IIQQQQII", image, table + i * size)
               for i in range(count)]
    symbols, = [h for h in headers if h[1] == 11]  # SHT_DYNSYM
    names = headers[symbols[6]]
    for at in range(symbols[4], symbols[4] + symbols[5], 24):
        name, = struct.unpack_from("<I", image, at)
        text = image[names[4] + name:].partition(b"\0")[0]
        if text == wanted:
            return struct.unpack_from("<Q", image, at + 8)[0]
    raise AssertionError("no %s in the vDSO" % wanted)
