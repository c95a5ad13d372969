#!/usr/bin/python3
"""Runs test programs, keeps their results as JUnit XML, counts them.

tally.py item DIR NAME -- COMMAND...   COMMAND is one test: its exit status
tally.py suite DIR NAME -- COMMAND...  COMMAND writes DIR/NAME*.xml itself
                                       (cmocka does, by the environment)
tally.py report DIR...                 one line a suite, then the closing line

item and suite show the command's output when it fails; with --stream at
once. --seconds N ends a command that hangs. A suite that dies without saying
what failed counts as one failure, and so does one that ran nothing.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

KEEP_TAIL = 20000
CMOCKA_LINE = re.compile(r"^\[ +(OK|FAILED|SKIPPED) +\] (\w+)$", re.MULTILINE)
# XML has no way to hold most control characters.
UNPRINTABLE = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd]")


def run(options, env):
    """Exit status and output; a hanging command is ended."""
    pipe = None if options.stream else subprocess.PIPE
    try:
        # make's job server lives in inherited descriptors.
        done = subprocess.run(
            options.command, env=env, stdin=subprocess.DEVNULL, stdout=pipe,
            stderr=pipe and subprocess.STDOUT, timeout=options.seconds,
            close_fds=False, check=False)
        status, output = done.returncode, done.stdout or b""
    except OSError as error:
        status, output = 127, str(error).encode()
    except subprocess.TimeoutExpired as error:
        status = 124
        output = (error.stdout or b"") + f"\n{error}\n".encode()
    return status, output.decode(errors="replace")


def write_cases(path, suite, cases):
    """(name, outcome, text) of each test case, as JUnit XML."""
    root = ET.Element("testsuite", name=suite)
    for name, outcome, text in cases:
        case = ET.SubElement(root, "testcase", name=name)
        if outcome != "passed":
            tag = "failure" if outcome == "failed" else "skipped"
            ET.SubElement(case, tag, message=outcome).text = \
                UNPRINTABLE.sub("?", text[-KEEP_TAIL:])
    ET.ElementTree(root).write(path, encoding="utf-8")


def cmocka_cases(output):
    """What cmocka prints when the test itself cleared the environment."""
    outcomes = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}
    for outcome, name in CMOCKA_LINE.findall(output):
        yield name, outcomes[outcome], "see the output"


def result_files(directory, name):
    return sorted([*directory.glob(f"{name}.xml"),
                   *directory.glob(f"{name}.*.xml")])


def read_cases(path):
    """(name, outcome, reason) of each test case of a file."""
    try:
        root = ET.parse(path).getroot()
    except ET.ParseError as error:
        yield path.name, "failed", f"unreadable result: {error}"
        return
    for case in root.iter("testcase"):
        name = case.get("name", "?")
        if case.get("classname"):
            name = f"{case.get('classname')}.{name}"
        outcome, reason = "passed", ""
        for child in case:
            if child.tag in ("failure", "error"):
                outcome = "failed"
                reason = (child.text or child.get("message") or "").strip()
            elif child.tag == "skipped" and outcome == "passed":
                outcome = "skipped"
                reason = child.get("message") or child.text or ""
        yield name, outcome, reason


def command_item(options):
    status, output = run(options, None)
    outcome = "failed" if status else "passed"
    write_cases(options.dir / f"{options.name}.xml", options.name,
                [(options.name, outcome, f"exit status {status}\n{output}")])
    return status, output


def command_suite(options):
    name = options.name
    for old in result_files(options.dir, name):
        old.unlink()
    # Absolute: a test may change its directory.
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="xml",
               CMOCKA_XML_FILE=f"{options.dir.resolve()}/{name}.%g.xml")
    status, output = run(options, env)
    if not result_files(options.dir, name):
        write_cases(options.dir / f"{name}.xml", name, cmocka_cases(output))
    cases = [case for path in result_files(options.dir, name)
             for case in read_cases(path)]
    silent = status != 0 and not any(c[1] == "failed" for c in cases)
    if silent or not cases:
        write_cases(options.dir / f"{name}.exit.xml", name, [
            (f"{name} runs to its end", "failed",
             f"exit status {status}, {len(cases)} results\n{output}")])
        status = status or 1
    return status, output


def command_report(options):
    count = {"passed": 0, "failed": 0, "skipped": 0}
    suites, remarks = {}, []
    for directory in options.dirs:
        for path in sorted(directory.rglob("*.xml")):
            suite = suites.setdefault(path.name.split(".")[0],
                                      dict.fromkeys(count, 0))
            for name, outcome, reason in read_cases(path):
                count[outcome] += 1
                suite[outcome] += 1
                if outcome == "skipped":
                    remarks.append(f"skipped {name}: {reason}")
                elif outcome == "failed":
                    remarks.append(f"FAILED {name}")
    for name, suite in suites.items():
        print(f"{name}:", ", ".join(f"{n} {outcome}"
                                    for outcome, n in suite.items() if n))
    for remark in remarks:
        print(remark)
    if not count["passed"] and not count["failed"]:
        print("nothing ran")
        count["failed"] = 1
    print(f"{count['passed']} passed, {count['failed']} failed,"
          f" {count['skipped']} skipped")
    return 1 if count["failed"] else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    for name, function in (("item", command_item), ("suite", command_suite)):
        sub = commands.add_parser(name)
        sub.add_argument("--stream", action="store_true")
        sub.add_argument("--seconds", type=float, default=900)
        sub.add_argument("dir", type=pathlib.Path)
        sub.add_argument("name")
        sub.add_argument("command", nargs="+")
        sub.set_defaults(function=function)
    sub = commands.add_parser("report")
    sub.add_argument("dirs", nargs="+", type=pathlib.Path)
    sub.set_defaults(function=command_report)
    options = parser.parse_args()
    if options.function is command_report:
        return command_report(options)

    options.dir.mkdir(parents=True, exist_ok=True)
    status, output = options.function(options)
    print(f"{'ok  ' if status == 0 else 'FAIL'} {options.name}", flush=True)
    if status != 0 and not options.stream:
        print(output, flush=True)
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main())
