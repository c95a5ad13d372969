"""
Becomes a command that finds sockets passed on, as systemd starts it:

    pass_on.py FD[:FD...] NAME[:NAME...] COMMAND...

The descriptors, inherited under any number, arrive as 3, 4, ... under the
names; no names at all where that word is empty.
"""

import fcntl
import os
import sys

FIRST = 3


def main():
    fds = [int(word) for word in sys.argv[1].split(":")]
    behind = FIRST + len(fds)
    # A target may be the source of another: all go out of the way first.
    away = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, behind) for fd in fds]
    for fd in fds:
        os.close(fd)
    for i, fd in enumerate(away):
        os.dup2(fd, FIRST + i)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)))
    if sys.argv[2]:
        os.environ["LISTEN_FDNAMES"] = sys.argv[2]
    os.execv(sys.argv[3], sys.argv[3:])


if __name__ == "__main__":
    main()
