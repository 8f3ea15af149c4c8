#!/usr/bin/env python3
"""Proves the power-cut library: what was flushed survives, what was not is lost. Needs python3 with sqlite3 only."""
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOOL = os.path.join(HERE, "powercut")

COMMIT = """
import os, signal, sqlite3, sys, threading
base = sqlite3.connect("ledger.sqlite", isolation_level=None)
base.execute("pragma journal_mode=%s" % sys.argv[1])
base.execute("pragma synchronous=%s" % sys.argv[2])
base.execute("create table if not exists mark (value integer)")
if sys.argv[1] == "wal":
    base.execute("pragma wal_checkpoint(truncate)")
out = os.open(os.environ["ACKNOWLEDGED"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for value in range(int(sys.argv[3])):
    base.execute("begin immediate")
    base.execute("insert into mark values (?)", (value,))
    base.execute("commit")
    os.write(out, b"%d\\n" % value)
os.kill(os.getpid(), signal.SIGKILL)
"""

FILES = """
import os, signal
def put(name, data, flush):
    f = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(f, data)
    if flush: os.fsync(f)
    os.close(f)
def flush_directory(name):
    d = os.open(name, os.O_RDONLY); os.fsync(d); os.close(d)
put("flushed", b"whole", True)
put("lost", b"never flushed", False)
put("kept", b"new bytes of an old file", False)
os.mkdir("sub"); put("sub/deep", b"deep", True)
put("final.partial", b"first", True); os.rename("final.partial", "final"); flush_directory(".")
put("final.partial", b"second", True); os.rename("final.partial", "final")
os.unlink("removed")
put("appended", b"one", True)
f = os.open("appended", os.O_WRONLY | os.O_APPEND); os.write(f, b"two"); os.close(f)
f = os.open("synchronous", os.O_WRONLY | os.O_CREAT | os.O_DSYNC); os.write(f, b"each write"); os.close(f)
put("named", b"no flush of the bytes", False); flush_directory(".") if %(name_last)d else None
os.kill(os.getpid(), signal.SIGKILL)
"""


def run(directory, program, arguments, **environment):
    root, shadow = os.path.join(directory, "root"), os.path.join(directory, "shadow")
    os.makedirs(root, exist_ok=True)
    variables = dict(os.environ, **environment)
    done = subprocess.run(
        [TOOL, "run", root, shadow, sys.executable, "-c", program, *arguments], cwd=root, env=variables)
    assert done.returncode == -signal.SIGKILL, "the program should die by the cut: %d" % done.returncode
    subprocess.run([TOOL, "restore", root, shadow], check=True)
    return root


def rows(root):
    base = sqlite3.connect(os.path.join(root, "ledger.sqlite"))
    assert base.execute("pragma integrity_check").fetchone()[0] == "ok"
    return [row[0] for row in base.execute("select value from mark order by rowid")]


def contents(root):
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, root)] = file.read()
    return found


def check(what, condition, detail=""):
    print(("ok    " if condition else "WRONG ") + what, detail)
    if not condition:
        sys.exit(1)


def databases(directory):
    # With a rollback journal FULL does not flush the directory after the journal's unlink, so the last commit rolls
    # back; EXTRA does.
    modes = [("wal", "normal", 0), ("wal", "full", 50), ("wal", "off", 0), ("delete", "full", 49),
             ("delete", "extra", 50)]
    for journal, level, kept in modes:
        for strict in "01":
            place = os.path.join(directory, "%s-%s-%s" % (journal, level, strict))
            os.makedirs(place)
            started = time.monotonic()
            root = run(place, COMMIT, [journal, level, "50"], POWERCUT_STRICT=strict,
                       ACKNOWLEDGED=os.path.join(place, "acknowledged"))
            # With synchronous=OFF not even the schema is flushed.
            survived = [] if level == "off" else rows(root)
            check("%s synchronous=%s strict=%s keeps %d of 50" % (journal, level, strict, kept),
                  len(survived) == kept, "%d, %.2f s" % (len(survived), time.monotonic() - started))


def files(directory):
    for strict in "01":
        for name_last in (0, 1):
            place = os.path.join(directory, "files-%s-%d" % (strict, name_last))
            root = os.path.join(place, "root")
            os.makedirs(root)
            for name in ("kept", "removed"):
                with open(os.path.join(root, name), "wb") as file:
                    file.write(b"old " + name.encode())
            run(place, FILES % {"name_last": name_last}, [], POWERCUT_STRICT=strict)
            found = contents(root)
            named = strict == "0" or name_last == 1
            expected = {"kept": b"old kept", "final": b"second" if name_last else b"first", "flushed": b"whole"}
            if not name_last:
                expected["removed"] = b"old removed"
                # The second flush kept the temporary name of the new bytes, and only the lenient rule keeps names so.
                if strict == "0":
                    expected["final.partial"] = b"second"
                    expected["lost"] = b""
                else:
                    expected["lost"] = b""
            else:
                expected.update({"lost": b"", "named": b""})
            if named:
                expected.update({"appended": b"one", "synchronous": b"each write"})
            # The first flush of the root came after the directory was made; its own content needs its own flush.
            if strict == "0":
                expected["sub/deep"] = b"deep"
            check("files strict=%s directory flushed last=%d" % (strict, name_last), found == expected,
                  "" if found == expected else "\n  found    %r\n  expected %r" % (found, expected))


def random_cuts(directory, cuts):
    chance = random.Random(1)
    for number in range(cuts):
        place = os.path.join(directory, "random-%d" % number)
        os.makedirs(place)
        acknowledged = os.path.join(place, "acknowledged")
        journal = chance.choice(["wal", "delete"])
        after = chance.randint(1, 250)
        root = run(place, COMMIT, [journal, "full" if journal == "wal" else "extra", "50"], POWERCUT_STRICT="1",
                   POWERCUT_AFTER=str(after), ACKNOWLEDGED=acknowledged)
        known = len(open(acknowledged).read().split()) if os.path.exists(acknowledged) else 0
        survived = rows(root) if known else []
        check("cut %d, %s, at operation %d" % (number, journal, after),
              known == 0 or (survived == list(range(len(survived))) and known <= len(survived) <= known + 1),
              "%d acknowledged, %d survived" % (known, len(survived)))
        shutil.rmtree(place)


def main():
    directory = tempfile.mkdtemp(prefix="powercut-")
    try:
        databases(directory)
        files(directory)
        random_cuts(directory, int(sys.argv[1]) if len(sys.argv) > 1 else 20)
    finally:
        shutil.rmtree(directory)


main()
