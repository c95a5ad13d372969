"""Imports of ours, beside those of mdb_load and of the sqlite3 shell."""

import os
import shutil
import subprocess
import sys
import time

from peers import BINARY, write_rows
from works import add, tried

SQLITE = """create table tokens (token text primary key, username text,
created_at text, expires_at text, last_used_at text, is_revoked text)
without rowid;
begin;
.import --csv --skip 1 rows.csv tokens
commit;
"""
DUMP_HEAD = """VERSION=3
format=bytevalue
type=btree
mapsize=17179869184
maxreaders=126
HEADER=END
"""


def write_table(path, rows):
    """The six columns that README's \\copy writes."""
    line = ("00000000-0000-4000-8000-%012x,player%d,"
            "2026-01-02 03:%02d:%02d.448196,2027-01-02 03:04:05.448196,,f\n")
    with open(path, "w") as file:
        file.write("token,username,created_at,expires_at,last_used_at,"
                   "is_revoked\n")
        for first in range(0, rows, 10000):
            file.writelines(line % (i, i, i // 60 % 60, i % 60)
                            for i in range(first, min(rows, first + 10000)))


def write_dump(path, rows):
    """What mdb_dump writes: sorted keys of 32 bytes, values of 48."""
    with open(path, "w") as file:
        file.write(DUMP_HEAD)
        for first in range(0, rows, 10000):
            file.writelines(" %064x\n %096x\n" % (i, i)
                            for i in range(first, min(rows, first + 10000)))
        file.write("DATA=END\n")


def warm(rows):
    """A virtual machine's host takes back what memory is free, and gives it
    again at a quarter of the speed of an import: have it given before. In a
    process of its own, as the next one begins with this one's high-water
    mark; if there is not so much, without."""
    subprocess.run([sys.executable, "-c", f"b'1' * {400 * rows}"],
                   stderr=subprocess.DEVNULL, check=False)


def timed(command, folder, rows, script=None):
    """All of them end when what they have written is on the disk."""
    begin = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, text=True,
                               stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL)
    process.stdin.write(script or "")
    process.stdin.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} failed")
    seconds = time.monotonic() - begin
    return {"seconds": seconds, "rows_per_second": rows / seconds,
            "memory_mib": usage.ru_maxrss / 1024}


# name: what writes rows.csv, command, script
IMPORTERS = {
    "openchampps": (write_table,
                    [BINARY, "import", "--data", ".", "rows.csv"], None),
    "openchampps, token and username only":
        (write_rows, [BINARY, "import", "--data", ".", "rows.csv"], None),
    "mdb_load": (write_dump, ["mdb_load", "-f", "rows.csv", "."], None),
    "sqlite3 .import": (write_table, ["sqlite3", "-bail", "tokens.sqlite"],
                        SQLITE),
}


def import_once(folder, rows_file, importer, rows):
    _, command, script = importer
    folder.mkdir(mode=0o700)
    try:
        os.link(rows_file, folder / "rows.csv")
        os.sync()
        warm(rows)
        return timed(command, folder, rows, script)
    finally:
        shutil.rmtree(folder)


def rounds_of(name, rows, options):
    """mdb_load commits every hundred rows: once is long enough."""
    if name == "mdb_load":
        return 1 if rows == 1000000 else 0
    return options.rounds if rows == 1000000 else 1


def run_imports(folder, options):
    """returns: {rows: {name: [runs]}}; one process, any core."""
    results = {}
    for rows in (1000000, 10000000):
        if rows > options.most:
            continue
        found = results.setdefault(f"{rows} rows", {})
        for name, importer in IMPORTERS.items():
            rounds = rounds_of(name, rows, options)
            if rounds == 0:
                continue
            file = folder / "rows"
            importer[0](file, rows)
            for _ in range(rounds):
                add(found, name, tried("import, " + name, import_once,
                                       folder / "import", file, importer,
                                       rows))
            file.unlink()
            print(f"import, {rows} rows, {name}: done", file=sys.stderr)
    return results
