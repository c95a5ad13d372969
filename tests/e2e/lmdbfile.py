"""
Just enough of LMDB's file format to make a database that is not ours, and
to find a value in one that is: tests of what a start refuses need both.
"""

import struct

PAGE = 4096
P_LEAF, P_META = 0x02, 0x08
NO_PAGE = (1 << 64) - 1


def page_header(number, flags, lower=0, upper=0):
    return struct.pack("<QHHHH", number, 0, flags, lower, upper)


def database(root, entries, depth, pad=0):
    """struct MDB_db"""
    leaves = 1 if depth else 0
    return struct.pack("<IHHQQQQQ", pad, 0, depth, 0, leaves, 0, entries,
                       root)


def meta_page(number):
    meta = struct.pack("<IIQQ", 0xbeefc0de, 1, 0, 1 << 20)
    meta += database(NO_PAGE, 0, 0, pad=PAGE) + database(2, 1, 1)
    meta += struct.pack("<QQ", 2, number)
    return (page_header(number, P_META) + meta).ljust(PAGE, b"\0")


def foreign_database(key=b"colour", value=b"blue"):
    """A sound LMDB file whose main table holds one plain record."""
    node = struct.pack("<HHHH", len(value), 0, 0, len(key)) + key + value
    node += b"\0" * (len(node) % 2)
    upper = PAGE - len(node)
    leaf = page_header(2, P_LEAF, 18, upper) + struct.pack("<H", upper)
    leaf = leaf.ljust(upper, b"\0") + node
    return meta_page(0) + meta_page(1) + leaf


def find_value(data, key):
    """(offset, size) of the value of each leaf node with this key."""
    found = []
    for start in range(2 * PAGE, len(data) - PAGE + 1, PAGE):
        flags, lower = struct.unpack_from("<HH", data, start + 10)
        if flags != P_LEAF or not 16 <= lower <= PAGE:
            continue
        for at in range(start + 16, start + lower, 2):
            node = start + struct.unpack_from("<H", data, at)[0]
            low, high, _, size = struct.unpack_from("<HHHH", data, node)
            if bytes(data[node + 8:node + 8 + size]) == key:
                found.append((node + 8 + size, low | high << 16))
    return found


def newest_commit(path):
    """The number of the last transaction that a file's meta pages know."""
    with open(path, "rb") as file:
        pages = file.read(2 * PAGE)
    return max(struct.unpack_from("<Q", pages, start + 144)[0]
               for start in (0, PAGE))
