"""
Ways to damage an LMDB file. Each takes a random.Random, the file's bytes (a
bytearray, changed in place), and an older state of the same store; it returns
what it did, as text. Whatever else, the outcome differs from the original.
"""

import struct

PAGE = 4096


# Which pages are in use

BRANCH, LEAF = 1, 2
LARGE, TABLE = 1, 2  # of an entry: its value has pages of its own; a root
NO_PAGE = (1 << 64) - 1


def u16(data, at):
    return struct.unpack_from("<H", data, at)[0]


def u64(data, at):
    return struct.unpack_from("<Q", data, at)[0]


def entries(data, page):
    """Where each entry of a page begins."""
    start = page * PAGE
    return [start + u16(data, at)
            for at in range(start + 16, start + u16(data, start + 12), 2)]


def walk(data, root, name, found):
    """Notes {page: table} of a sound tree, and of those it names."""
    if root == NO_PAGE:
        return
    found[root] = name
    for at in entries(data, root):
        key = bytes(data[at + 8:at + 8 + u16(data, at + 6)])
        value = at + 8 + len(key)
        if u16(data, root * PAGE + 10) == BRANCH:
            walk(data, u64(data, at) & 0xffffffffffff, name, found)
        elif u16(data, at + 4) == TABLE:
            walk(data, u64(data, value + 40), key.decode(), found)
        elif u16(data, at + 4) == LARGE:
            first = u64(data, value)
            count, = struct.unpack_from("<I", data, first * PAGE + 12)
            found.update((first + i, name) for i in range(count))


def pages_in_use(data):
    """{page: name of its table} of a sound store."""
    meta = max((0, 1), key=lambda page: u64(data, page * PAGE + 16 + 128))
    found = {}
    walk(data, u64(data, meta * PAGE + 16 + 24 + 40), "free", found)
    walk(data, u64(data, meta * PAGE + 16 + 72 + 40), "main", found)
    return found


def page_of(rng, data):
    """Mostly a page in use, each table as likely; sometimes any."""
    if rng.random() < 0.1:
        return rng.randrange(2, len(data) // PAGE)
    used = pages_in_use(data)
    name = rng.choice(sorted(set(used.values())))
    return rng.choice([page for page in used if used[page] == name])


# What is done to them


def flip_bit(rng, data, _old):
    at = rng.randrange(PAGE) + PAGE * page_of(rng, data)
    bit = rng.randrange(8)
    data[at] ^= 1 << bit
    return "bit %d of byte %d, page %d" % (bit, at % PAGE, at // PAGE)


def change_bytes(rng, data, _old):
    page, count = page_of(rng, data), rng.randint(2, 64)
    for _ in range(count):
        data[page * PAGE + rng.randrange(PAGE)] ^= rng.randint(1, 255)
    return "%d bytes of page %d" % (count, page)


def change_field(rng, data, _old):
    """A header, an offset, or the head of an entry: what LMDB believes."""
    page = page_of(rng, data)
    start = page * PAGE
    lower, = struct.unpack_from("<H", data, start + 12)
    place = rng.randrange(3)
    at = rng.randrange(0, 16, 2)
    if place > 0 and 18 <= lower <= PAGE:
        at = rng.randrange(16, lower, 2)
        offset, = struct.unpack_from("<H", data, start + at)
        if place == 2 and offset <= PAGE - 8:
            at = offset + rng.randrange(0, 8, 2)
    was, = struct.unpack_from("<H", data, start + at)
    value = rng.choice([0, 1, 2, 16, was ^ 1, was ^ 0x10, was + 2, was - 2,
                        was + 8, PAGE - 2, PAGE, 0x7fff, 0xffff,
                        rng.randrange(0x10000)]) & 0xffff
    struct.pack_into("<H", data, start + at,
                     value if value != was else was ^ 4)
    return "16 bits at %d, page %d" % (at, page)


def zero_page(rng, data, _old):
    page = page_of(rng, data)
    data[page * PAGE:(page + 1) * PAGE] = bytes(PAGE)
    return "page %d zeroed" % page


def fill_page(rng, data, _old):
    page = page_of(rng, data)
    data[page * PAGE:(page + 1) * PAGE] = rng.randbytes(PAGE)
    return "page %d random" % page


def swap_pages(rng, data, _old):
    a, b = page_of(rng, data) * PAGE, page_of(rng, data) * PAGE
    data[a:a + PAGE], data[b:b + PAGE] = data[b:b + PAGE], data[a:a + PAGE]
    return "pages %d and %d swapped" % (a // PAGE, b // PAGE)


def copy_page(rng, data, _old):
    """A sound page in a wrong place, even under the right number."""
    a, b = page_of(rng, data) * PAGE, page_of(rng, data) * PAGE
    data[b:b + PAGE] = data[a:a + PAGE]
    if rng.random() < 0.5:
        struct.pack_into("<Q", data, b, b // PAGE)
    return "page %d in place of %d" % (a // PAGE, b // PAGE)


def cut(rng, data, _old):
    whole = rng.random() < 0.5
    size = rng.randrange(len(data))
    del data[size - size % PAGE if whole else size:]
    return "cut to %d bytes" % len(data)


def change_meta(rng, data, _old):
    page, count = rng.randrange(2), rng.randint(1, 8)
    for _ in range(count):
        data[page * PAGE + rng.randrange(152)] ^= rng.randint(1, 255)
    return "%d bytes of meta page %d" % (count, page)


def differing(old, data):
    """Pages in use, of both commits or of this one, that have changed."""
    return [p for p in [0, 1, *pages_in_use(data)]
            if (p + 1) * PAGE <= len(old)
            and old[p * PAGE:(p + 1) * PAGE] != data[p * PAGE:(p + 1) * PAGE]]


def lose_write(rng, data, old):
    """A page of an earlier commit: one write never reached the disk."""
    page = rng.choice(differing(old, data))
    data[page * PAGE:(page + 1) * PAGE] = old[page * PAGE:(page + 1) * PAGE]
    return "page %d as it was" % page


def tear_write(rng, data, old):
    """One sector or more of a page from an earlier commit."""
    page = rng.choice(differing(old, data))
    start = page * PAGE + 512 * rng.randrange(1, 8)
    end = (page + 1) * PAGE
    data[start:end] = old[start:end]
    return "page %d from byte %d on as it was" % (page, start % PAGE)


def replace(rng, data, _old):
    """Nothing of ours at all."""
    what = rng.choice(["nothing", "text", "noise", "zeros", "half"])
    data[:] = {"nothing": b"", "text": b"SQLite format 3\0" * 1024,
               "noise": rng.randbytes(65536), "zeros": bytes(65536),
               "half": data[:PAGE] + rng.randbytes(65536)}[what]
    return "the file replaced by " + what


KINDS = {
    "one bit": flip_bit,
    "bytes of a page": change_bytes,
    "a field": change_field,
    "page zeroed": zero_page,
    "page random": fill_page,
    "pages swapped": swap_pages,
    "page copied": copy_page,
    "cut short": cut,
    "meta page": change_meta,
    "lost write": lose_write,
    "torn write": tear_write,
    "another file": replace,
}
