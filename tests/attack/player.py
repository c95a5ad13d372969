"""
A player who logs in again and again, each time over a new TLS connection.

    player.py PORT CA_FILE SOURCE TOKEN COUNT SECONDS

Goes on for at least COUNT logins and SECONDS, and prints a JSON object: the
milliseconds of each login from connect() to auth_success, and what failed.
"""

import json
import pathlib
import ssl
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

import wsraw  # noqa: E402 (its folder comes first)

PAUSE = 0.01  # between two logins: one player, no flood
LONGEST = 25.0


def log_in(port, context, source, token):
    """The milliseconds it took."""
    begin = time.perf_counter()
    with wsraw.Client.connect(("127.0.0.1", port), context, source=source,
                              timeout=5) as client:
        client.upgrade(host="localhost:%d" % port)
        answer = client.login(token)
        spent = (time.perf_counter() - begin) * 1000
        assert answer["type"] == "auth_success", answer
    return spent


def play(port, context, source, token, count, seconds):
    times, failures = [], []
    begin = time.monotonic()
    while len(times) < count or time.monotonic() - begin < seconds:
        if len(failures) > 5 or time.monotonic() - begin > LONGEST:
            break
        try:
            times.append(log_in(port, context, source, token))
        except (OSError, EOFError, AssertionError) as problem:
            failures.append("%s: %s" % (type(problem).__name__,
                                        str(problem)[:100]))
        time.sleep(PAUSE)
    return {"times": times, "failures": failures}


def main(port, ca_file, source, token, count, seconds):
    context = ssl.create_default_context(cafile=ca_file)
    json.dump(play(int(port), context, source, token, int(count),
                   float(seconds)), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
