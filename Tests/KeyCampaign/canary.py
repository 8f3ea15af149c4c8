#!/usr/bin/env python3
"""Looks for keys wherever they must not be: in core files of live processes, in files, in swap.

The script plays the driver of a link and the generator of a node, so it knows K0, and with it K1 to K4 of Figure 5 of the
paper, and every byte of the roles' pad. Two key nodes with disks and two roles that spend pad are real processes of the
shipped program. While they run,

  - core files are made of them with gdb's gcore, as the kernel would make them, and once more with all that a debugger
    of root can read;
  - their memory is pushed out to a swap file of this script's, whose raw bytes are then read;
  - all files of the network's directory are read, while they run, after a crash and after an orderly end.

K2, K3, K4 and pad may be in none of these. The search proves itself: a process that holds known words in ordinary memory,
and K1, which lies on the disks of the nodes, must be found by the very same search. Every stretch that a receipt of erasure
names must be gone from the disk.

Needs python3, a C compiler, openssl; gdb for cores; root for cores and swap. A part that the machine does not allow is
skipped aloud. Exit code 0 when all that was looked at is as it should be.
"""
import argparse
import ctypes
import glob
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

from campaign import Broken, Network

HERE = os.path.dirname(os.path.abspath(__file__))
BLOCK, RUN, CHUNK = 16 << 10, 256 << 10, 1 << 20
PAD = CHUNK - 32
SECRETS = {"2": "K2", "3": "K3", "4": "K4", "P": "pad of the roles"}

HOLDER = """
import os, sys, time
words = bytearray(open(sys.argv[1], "rb").read())
print("ready", flush=True)
time.sleep(600)
"""


class Samples:
    """Words of secrets by class, as `search.c` reads them."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "samples")
        self.tool = os.path.join(directory, "search")
        compiler = next(one for one in ("cc", "gcc", "clang") if shutil.which(one))
        subprocess.run([compiler, "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-o", self.tool,
                        os.path.join(HERE, "search.c")], check=True)

    def add(self, kind, data, step):
        with open(self.path, "ab") as file:
            file.write(b"".join(kind.encode() + data[at:at + 8] for at in range(0, len(data) - 7, step)))

    def search(self, paths):
        """Distinct words of each class in these files, and where the first is."""
        if not paths:
            return {}
        done = subprocess.run([self.tool, self.path] + paths, check=True, capture_output=True, text=True)
        found = {}
        for line in done.stdout.splitlines():
            kind, count, path, offset = line.split(" ")
            found[kind] = (int(count), "%s at %s" % (path, offset))
        return found


def expand(secret, count):
    """K3: AES-256 in counter mode from zero."""
    return subprocess.run(["openssl", "enc", "-aes-256-ctr", "-nosalt", "-K", secret.hex(), "-iv", "0" * 32],
                          input=bytes(count), check=True, capture_output=True).stdout


class Driver:
    """Delivers known key to both ends of the link a|b."""

    def __init__(self, network, samples):
        self.samples, self.number = samples, 0
        self.first = {}
        self.ends = []
        for node in ("a", "b"):
            end = socket.socket(socket.AF_UNIX)
            end.connect(os.path.join(network.path(node), "quantum.sock"))
            self.ends.append(end)

    def call(self, end, number, key):
        end.sendall(struct.pack(">BBHIQ", 2, 3, 0, len(key), number) + b"a|b" + key)
        answer = b""
        while len(answer) < 40:
            part = end.recv(40 - len(answer))
            if not part:
                raise Broken("a node ended the driver's connection")
            answer += part
        return answer[0]

    def deliver(self):
        """A chunk for each direction."""
        for direction in (0, 1):
            key = os.urandom(CHUNK)
            secret, open_part = key[:32], key[32:]
            k3 = expand(secret, len(open_part))
            k4 = (int.from_bytes(open_part, "big") ^ int.from_bytes(k3, "big")).to_bytes(len(k3), "big")
            for kind, data, step in (("1", open_part, 4096), ("2", secret, 8), ("3", k3, 16), ("4", k4, 16)):
                self.samples.add(kind, data, step)
            self.first[direction, self.number] = open_part
            for at in range(0, CHUNK, RUN):
                block = 2 * ((self.number * CHUNK + at) // BLOCK) + direction
                for end in self.ends:
                    status = self.call(end, block, key[at:at + RUN])
                    if status != 0:
                        raise Broken("a node answers %d to key of its link" % status)
        self.number += 1


def regular_files(directory):
    return [os.path.join(root, name) for root, _, names in os.walk(directory) for name in names
            if os.path.isfile(os.path.join(root, name))]


def expect_no_secret(found, what):
    for kind, name in SECRETS.items():
        if kind in found:
            raise Broken("%s holds %d words of %s (%s)" % (what, found[kind][0], name, found[kind][1]))


def say(text):
    print(text, flush=True)


def look_at_cores(processes, holder, samples, scratch):
    if os.geteuid() != 0 or not shutil.which("gcore"):
        say("SKIPPED the search of cores: it needs root and gdb's gcore")
        return
    # Without memfd_secret the secret pages are locked and left out of cores, but a debugger of root reads them.
    secret = all("secretmem" in open("/proc/%d/maps" % process.pid).read() for process in processes.values())
    rounds = [("core", [])] + ([("core with all that a debugger reads", ["-a"])] if secret else [])
    if not secret:
        say("SKIPPED what a debugger of root reads: this kernel has no memfd_secret")
    for title, options in rounds:
        total = 0
        for name, process in list(processes.items()) + [("the control", holder)]:
            # Cores are large and read once.
            place = "/dev/shm" if os.path.isdir("/dev/shm") else scratch
            target = os.path.join(place, os.path.basename(scratch) + "-core")
            command = ["gcore"] + options + ["-o", target, str(process.pid)]
            done = subprocess.run(command, capture_output=True, text=True)
            files = glob.glob(target + ".*")
            if not files:
                raise Broken("gcore makes no core of %s: %s" % (name, done.stderr.strip().splitlines()[-1:]))
            found = samples.search(files)
            total += sum(os.path.getsize(file) for file in files)
            for file in files:
                os.unlink(file)
            if process is holder:
                if found.get("C", (0, ""))[0] < 1000:
                    raise Broken("the search does not find what is in a core: %s" % found)
            else:
                expect_no_secret(found, "a core of " + name)
                if "C" in found:
                    raise Broken("the words of the control are in %s" % name)
        say("%s: %d processes, %.0f MiB: no K2, K3, K4, no pad; the control's words are found" % (
            title, len(processes), total / 1048576))


def push_out(pid):
    """Asks the kernel to write all anonymous memory of a process to swap; returns how much went (bytes)."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.pidfd_open(pid)
    try:
        with open("/proc/%d/maps" % pid) as file:
            for line in file:
                start, end = (int(number, 16) for number in line.split()[0].split("-"))
                if end > 1 << 63:
                    continue

                class Range(ctypes.Structure):
                    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
                # process_madvise(MADV_PAGEOUT); what cannot go stays, and says so by an error that is of no interest.
                libc.syscall(440, descriptor, ctypes.byref(Range(start, end - start)), 1, 21, 0)
    finally:
        os.close(descriptor)
    with open("/proc/%d/status" % pid) as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmSwap"))


def look_at_swap(processes, holder, samples, scratch, mib):
    if os.geteuid() != 0:
        say("SKIPPED the search of swap: it needs root")
        return
    with open("/proc/swaps") as file:
        if len(file.readlines()) > 1:
            say("SKIPPED the search of swap: the machine has swap of its own, to which memory would go")
            return
    if os.path.exists("/sys/module/zswap/parameters/enabled"):
        with open("/sys/module/zswap/parameters/enabled") as file:
            if file.read().strip() == "Y":
                say("SKIPPED the search of swap: zswap would keep it in memory")
                return
    path = os.path.join(scratch, "swap")
    with open(path, "wb") as file:
        os.chmod(path, 0o600)
        for _ in range(mib):
            file.write(bytes(1 << 20))
        os.fsync(file.fileno())
    environment = dict(os.environ, PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    subprocess.run(["mkswap", path], check=True, capture_output=True, env=environment)
    done = subprocess.run(["swapon", path], capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        say("SKIPPED the search of swap: swapon: " + done.stderr.strip())
        return
    try:
        out = {name: push_out(process.pid) for name, process in list(processes.items()) + [("control", holder)]}
        # What was pushed is written behind; the control's words show when.
        for _ in range(50):
            found = samples.search([path])
            if found.get("C", (0, ""))[0] > 1000:
                break
            time.sleep(0.2)
        time.sleep(1)
        found = samples.search([path])
        if found.get("C", (0, ""))[0] < 1000:
            raise Broken("the search does not find what went to swap: %s of %s" % (found, out))
        short = [name for name, count in out.items() if count == 0]
        if short:
            raise Broken("nothing of %s went to swap" % ", ".join(short))
        expect_no_secret(found, "swap")
        say("swap: %s: no K2, K3, K4, no pad; the control's words are found" % ", ".join(
            "%.1f MiB of %s" % (count / 1048576, name) for name, count in out.items()))
    finally:
        subprocess.run(["swapoff", path], check=True, env=environment)
        os.unlink(path)


def check_receipts(network, driver, reason):
    """What receipts say is erased is not on the disk any more. Returns how many bytes they name."""
    total = 0
    for node in ("a", "b"):
        onDisk = {}
        for path in glob.glob(os.path.join(network.path(node), "keys", "*")):
            with open(path, "rb") as file:
                onDisk[path] = file.read()
        path = os.path.join(network.path(node), "erasures.jsonl")
        receipts = [json.loads(line) for line in open(path)] if os.path.exists(path) else []
        for receipt in receipts:
            if [step["key"] for step in receipt["steps"]] != ["K4", "K3", "K2", "K1"]:
                raise Broken("a receipt without its steps: %s" % receipt)
            direction = 0 if receipt["sender"] == "a" else 1
            at, end = receipt["offset"], receipt["offset"] + receipt["bytes"]
            while at < end:
                chunk, start = divmod(at, PAD)
                stop = min(PAD, start + end - at)
                key = driver.first.get((direction, chunk))
                if key is None:
                    raise Broken("a receipt for key that was never delivered: %s" % receipt)
                for place in range(start, stop - 63, 65536):
                    for name, data in onDisk.items():
                        if key[place:place + 64] in data:
                            raise Broken("K1 with a receipt of its erasure (%s) is in %s" % (receipt["reason"], name))
                at += stop - start
            total += receipt["bytes"]
        if not any(receipt["reason"] == reason for receipt in receipts):
            raise Broken("node %s has no receipt for key that was %s" % (node, reason))
    return total


def run(program, swap):
    network = Network(program, ["a", "b"], [("a", "b")], "a", "b", disk=True, rate=0.0, stock=32.0)
    scratch = tempfile.mkdtemp(prefix="dsgdc-search-")
    holder = None
    try:
        samples = Samples(scratch)
        # Of node a's generator alone: what it makes becomes pad of the roles, at both ends.
        noise = os.urandom(24 << 20)
        generator = os.path.join(scratch, "noise")
        with open(generator, "wb") as file:
            file.write(noise)
        samples.add("P", noise, 16)
        control = os.urandom(4 << 20)
        words = os.path.join(scratch, "words")
        with open(words, "wb") as file:
            file.write(control)
        samples.add("C", control, 64)
        with open(network.path("a.toml"), "a") as file:
            file.write("random_device = '%s'\n" % generator)
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, words], stdout=subprocess.PIPE)
        holder.stdout.readline()
        network.everybody.remove("link-model")
        for node in ("a", "b"):
            network.start(node)
        driver = Driver(network, samples)
        for _ in range(4):
            driver.deliver()
        for node in ("a", "b"):
            found = samples.search(glob.glob(os.path.join(network.path(node), "keys", "*")))
            if found.get("1", (0, ""))[0] < 500:
                raise Broken("K1 of node %s is not on its disk: %s" % (node, found))
        for role in ("bob", "alice"):
            network.start(role)
        network.work()
        receipts = os.path.join(network.path("a"), "erasures.jsonl")
        limit = time.monotonic() + 120
        while not (os.path.exists(receipts) and "used" in open(receipts).read()):
            if time.monotonic() > limit:
                raise Broken("no chunk is used up: %s" % network.tail("alice"))
            time.sleep(0.05)
        for _ in range(3):
            driver.deliver()
        network.work()
        processes = dict(network.processes)
        look_at_cores(processes, holder, samples, scratch)
        if not swap:
            say("SKIPPED the search of swap: it was not asked for")
        else:
            look_at_swap(processes, holder, samples, scratch, swap)
        expect_no_secret(samples.search(regular_files(network.directory)), "a file, while all run,")
        spent = network.trace.end(*network.stream, "sender")
        network.end("b", signal.SIGSEGV)
        expect_no_secret(samples.search(regular_files(network.directory)), "a file, after a crash,")
        for name in ("alice", "bob", "a"):
            network.end(name, signal.SIGTERM)
        found = samples.search(regular_files(network.directory))
        expect_no_secret(found, "a file, after the end,")
        network.start("b")
        network.end("b", signal.SIGTERM)
        found = samples.search(glob.glob(os.path.join(network.path("?"), "keys", "*")))
        if "1" in found:
            raise Broken("K1 is on a disk after the end of all: %s" % (found["1"],))
        say("files: none holds K2, K3, K4 or pad, while all ran, after a crash, after the end; %.1f MiB of pad spent" % (
            spent / 1048576))
        say("receipts: %.1f MiB of link key have them, and none of it is on a disk" % (
            check_receipts(network, driver, "used") / 1048576))
        network.remove()
        return True
    except Broken as error:
        say("canaries: FAILED: %s (see %s)" % (error, network.directory))
        return False
    finally:
        for process in list(network.processes.values()) + ([holder] if holder else []):
            process.kill()
            process.wait()
        shutil.rmtree(scratch, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description="Looks for keys in cores, files and swap.")
    parser.add_argument("program")
    parser.add_argument("--swap-mib", type=int, default=256, help="size of the swap file; 0 for none")
    options = parser.parse_args()
    # The C library reserves 64 MiB for each thread, all of which gcore writes.
    os.environ["MALLOC_ARENA_MAX"] = "2"
    sys.exit(0 if run(os.path.abspath(options.program), options.swap_mib) else 1)


main()
