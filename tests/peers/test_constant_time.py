"""
No branch and no address of the curves depends on a secret, says valgrind's
memcheck: ec_secret.c computes with secrets that it takes for uninitialised.
"""

import os
import shlex
import subprocess
import xml.etree.ElementTree as ET

import pytest

from conftest import REPO

SOURCES = [*(f"src/base/{name}.c" for name in (
    "ec", "ec_p256", "ec_p256_num", "ec_sign", "ec_x25519", "sha256", "wipe")),
    "tests/peers/ec_secret.c"]
# The compiler of the shipped objects, and another. valgrind cannot read what
# clang would write for -g.
COMPILERS = {"gcc": ["musl-gcc", "-g"], "clang": ["clang", "-gdwarf-4"]}
# Whether a number is a key or a nonce at all: what this tells of a nonce is
# that it was thrown away, and of a key that it is none.
CHECK = "is_scalar"
ASKS = (CHECK + "(", "(!is_key)")
# Encodes r and s, which are the signature; and what it calls for that.
ENCODER = "br_ecdsa_raw_to_asn1"
ENCODERS = (ENCODER, "asn1_int_length")
CURVE, CURVE_OBJECT = "src/base/ec_p256.c", "build/obj/src/base/ec_p256.o"


def shipped_flags():
    """Those that the Makefile has for the curves."""
    env = {name: value for name, value in os.environ.items()
           if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(["make", "-n", "-W", CURVE, CURVE_OBJECT], cwd=REPO,
                          env=env, check=True, capture_output=True, text=True)
    command = next(line for line in done.stdout.splitlines()
                   if line.startswith("musl-gcc"))
    flags = shlex.split(command)[1:]
    flags = flags[:flags.index("-MD")]
    assert "-O2" in flags
    return flags


@pytest.fixture(scope="module", params=COMPILERS)
def program(request, need, tmp_path_factory):
    need(valgrind="valgrind", **{request.param: request.param})
    folder = tmp_path_factory.mktemp(request.param)
    # musl-gcc looks in no place where a package puts its headers.
    flags = [*shipped_flags(), "-Werror", "-idirafter", "/usr/include"]
    objects = []
    for source in SOURCES:
        objects.append(folder / (os.path.basename(source) + ".o"))
        subprocess.run([*COMPILERS[request.param], *flags, "-c", source, "-o",
                        objects[-1]], cwd=REPO, check=True)
    # On glibc, where memcheck knows memcpy; the library is the shipped one.
    subprocess.run(["gcc", "-o", folder / "ec_secret", *objects,
                    REPO / "build/vendor/musl/libbearssl.a"], check=True)
    return folder / "ec_secret"


def reports(program, what):
    """What memcheck says: (kind, [(function, file, line), …]) each."""
    xml = program.with_suffix(".xml")
    done = subprocess.run(
        ["valgrind", "--error-limit=no", "--xml=yes", "--xml-file=%s" % xml,
         program, what], capture_output=True, text=True, timeout=60)
    found = [(error.findtext("kind"),
              [tuple(frame.findtext(part) for part in ("fn", "file", "line"))
               for frame in error.find("stack")])
             for error in ET.parse(xml).getroot().findall("error")]
    assert done.returncode == 0, (done.stderr, found)
    return found


def functions(frames):
    return [function for function, _, _ in frames]


def asks_check(frame):
    """Whether a frame is in a line of ours that asks CHECK's answer."""
    _, name, line = frame
    path = REPO / "src/base" / (name or "")
    if not line or not path.is_file():
        return False
    text = path.read_text().splitlines()[int(line) - 1]
    return any(asks in text for asks in ASKS)


def leaks(found):
    """Those of the reports that are not of what is public."""
    for kind, frames in found:
        # CHECK, what is inlined into it, and the branches on what it says.
        is_check = CHECK in functions(frames) or asks_check(frames[0])
        is_encoder = functions(frames)[0] in ENCODERS
        if kind != "UninitCondition" or not (is_check or is_encoder):
            yield kind, frames


@pytest.mark.parametrize("curve", ["x25519", "p256"])
def test_multiplication(program, curve):
    assert reports(program, curve) == []


def test_signature(program):
    found = reports(program, "sign")
    assert list(leaks(found)) == []
    # The secrets got as far as that.
    assert {CHECK, ENCODER} <= {f for _, fs in found for f in functions(fs)}


def test_nothing_is_left_on_the_stack(program):
    done = subprocess.run([program, "leftovers"], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("what, kind, function", [
    ("branch", "UninitCondition", "branch"),
    ("index", "UninitValue", "look_up")])
def test_memcheck_tells(program, what, kind, function):
    found = reports(program, what)
    assert [(k, functions(fs)[0]) for k, fs in found] == [(kind, function)]
    assert list(leaks(found)) == found
