#!/usr/bin/env python3
"""Kills pad users and key nodes at random moments, cuts their power, and looks whether any byte of pad was used twice.

Small networks of real processes of the shipped program: key nodes, the link model, one role that sends records of a known
pattern to another (`dsgd keys exercise`). The evidence is the pad trace of all processes (what each sending end spent and
each receiving end accepted) and the ledgers of all ends:

  - no offset of a stream is spent twice, none is accepted twice, and nothing is accepted that was not spent;
  - every record that was accepted had the pattern that was sent, so both ends had the same pad;
  - a killed sender loses at most one reservation;
  - every account of every ledger adds up to the byte, when all have stopped.

Needs python3 alone. Exit code 0 when all of it holds.
"""
import argparse
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
POWERCUT = os.path.join(HERE, "..", "PowerCut", "powercut")
# PadOptions of roles: a mark covers at most the longest reservation; beside it there is the chunk in hand.
RESERVATION = (64 << 20) + (1 << 20)
PATIENCE = 120.0
# Of the roles, and of the links between nodes.
POOLS = ("bank", "link")


class Broken(Exception):
    pass


def free_ports(count):
    """Below the range from which the system takes the ports of outgoing connections, which come and go."""
    ports = []
    for port in random.sample(range(10000, 32768), 22768):
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise Broken("no %d ports are free on loopback" % count)


class Trace:
    """The lines that the processes of a network wrote, read as they come."""

    def __init__(self, path):
        self.path, self.position, self.rest = path, 0, b""
        self.used = {}
        self.ends = {}
        open(path, "w").close()

    def read(self):
        with open(self.path, "rb") as file:
            file.seek(self.position)
            text = self.rest + file.read()
            self.position = file.tell()
        lines = text.split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            # A kill in the middle of a write may leave the beginning of a line, of pad that was not used, before this one.
            torn, sender, receiver, offset, count, _, side = line.decode().split("\t")[-7:]
            pool = next(pool for pool in POOLS if torn.endswith(pool))
            name = (pool, sender, receiver, side)
            start = int(offset)
            self.used.setdefault(name, []).append((start, start + int(count)))
            self.ends[name] = max(self.ends.get(name, 0), start + int(count))

    def end(self, *name):
        self.read()
        return self.ends.get(name, 0)

    def check(self):
        self.read()
        merged = {}
        for name, ranges in self.used.items():
            ranges.sort()
            end, whole = 0, []
            for start, stop in ranges:
                if start < end:
                    raise Broken("pad used twice: %s at offset %d" % (" ".join(name), start))
                if whole and whole[-1][1] == start:
                    whole[-1][1] = stop
                else:
                    whole.append([start, stop])
                end = stop
            merged[name] = whole
        for name, ranges in merged.items():
            if name[3] != "receiver":
                continue
            spent = merged.get(name[:3] + ("sender",), [])
            at = 0
            for start, stop in ranges:
                while at < len(spent) and spent[at][1] <= start:
                    at += 1
                if at == len(spent) or spent[at][0] > start or spent[at][1] < stop:
                    raise Broken("accepted and never spent: %s at offset %d" % (" ".join(name), start))
        return sum(stop - start for name in merged if name[3] == "sender" for start, stop in merged[name])


class Network:
    """Nodes, links, the link model, role alice at the first given node and role bob at the second."""

    def __init__(self, program, nodes, links, alice, bob, disk=False, rate=400.0, stock=8.0):
        self.program = program
        self.directory = tempfile.mkdtemp(prefix="dsgdc-")
        self.trace = Trace(self.path("trace"))
        self.processes = {}
        self.stream = ("bank", "alice", "bob")
        ports = iter(free_ports(len(nodes) + 2))
        text = ["pool = 'bank'", "kms = '%s'" % nodes[0]]
        for node in nodes:
            text += ["[[nodes]]", "name = '%s'" % node, "host = '127.0.0.1'", "kma_port = %d" % next(ports),
                     "directory = '%s'" % self.path(node)]
            if disk:
                text += ["key_store = 'disk'"]
        for first, second in links:
            text += ["[[links]]", "ends = ['%s', '%s']" % (first, second), "distance_km = 1.0",
                     "rate_mbit_per_s = %.1f" % rate, "stock_mib = %.1f" % stock]
        for role, node in (("alice", alice), ("bob", bob)):
            text += ["[[roles]]", "name = '%s'" % role, "kind = 'user'", "node = '%s'" % node, "host = '127.0.0.1'",
                     "port = %d" % next(ports)]
        with open(self.path("network.toml"), "w") as file:
            file.write("\n".join(text) + "\n")
        self.nodes = nodes
        for name in nodes + ["link-model", "alice", "bob"]:
            with open(self.path(name + ".toml"), "w") as file:
                file.write("network = 'network.toml'\nstate = '%s'\nplays = ['%s']\n" % (self.path(name), name))
        self.everybody = nodes + ["link-model", "bob", "alice"]

    def path(self, name):
        return os.path.join(self.directory, name)

    def start(self, name, extra=None, wait=True):
        command = [self.program]
        if name in ("alice", "bob"):
            command += ["keys", "exercise", "-c", self.path(name + ".toml")]
            if name == "alice":
                command += ["--to", "bob", "--size", str(random.choice((100, 4096, 65536, 200000)))]
        else:
            command += ["serve", "-c", self.path(name + ".toml")]
        variables = dict(os.environ, DSGD_PAD_TRACE=self.path("trace"), **(extra or {}))
        with open(self.path(name + ".log"), "ab") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=variables)
        self.processes[name] = process
        if wait and process.stdout.readline() != b"ready\n" and extra is None:
            raise Broken("%s does not start: %s" % (name, self.tail(name)))
        return process

    def tail(self, name):
        return " / ".join(self.text(name).splitlines()[-3:])

    def text(self, name):
        with open(self.path(name + ".log"), errors="replace") as file:
            return file.read()

    def end(self, name, number):
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait()
        process.stdout.close()

    def stop(self):
        for name in reversed(self.everybody):
            if name in self.processes:
                self.end(name, signal.SIGTERM)

    def work(self):
        """Waits until records arrive that were sent after this moment."""
        limit = time.monotonic() + PATIENCE
        before = self.trace.end(*self.stream, "receiver")
        while self.trace.end(*self.stream, "receiver") <= before:
            if time.monotonic() > limit:
                raise Broken("nothing arrives any more: alice: %s; bob: %s" % (self.tail("alice"), self.tail("bob")))
            time.sleep(0.005)

    def mark(self):
        """The durable mark of alice's pad to bob."""
        return self.rows("alice", "alice-pads.sqlite", "pool = 'bank' AND receiver = 'bob' AND side = 'sender'")[0]["mark"]

    def rows(self, name, file, where="1"):
        base = sqlite3.connect("file:%s?mode=ro" % os.path.join(self.path(name), file), uri=True, timeout=10)
        base.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in base.execute("SELECT * FROM pads WHERE " + where)]
        finally:
            base.close()

    def judge(self):
        """All have stopped: no pad twice, all accounts add up, all patterns were right."""
        spent = self.trace.check()
        accounts = 0
        for name, file in [(node, "node.sqlite") for node in self.nodes] + [
                (role, role + "-pads.sqlite") for role in ("alice", "bob")]:
            for row in self.rows(name, file):
                parts = sum(row[part] for part in ("data", "tags", "handshake", "lost", "expired"))
                if parts != row["mark"]:
                    raise Broken("%s: %s -> %s: %d bytes supplied, %d accounted for"
                                 % (name, row["sender"], row["receiver"], row["mark"], parts))
                stream = (row["pool"], row["sender"], row["receiver"], row["side"])
                # A node's rows of the bank's pool are of key that it handed out, which no trace shows.
                if row["pool"] == "link" or name in ("alice", "bob"):
                    used = row["data"] + row["tags"] + row["handshake"]
                    traced = sum(stop - start for start, stop in self.trace.used.get(stream, []))
                    # A receiver's mark follows within a second: one that was killed before, and to whom nothing came
                    # since, has an older one. A sender's mark stands before its pad exists.
                    behind = row["side"] == "sender" and self.trace.ends.get(stream, 0) > row["mark"]
                    if used > traced or behind:
                        raise Broken("%s: %s: %d bytes used by the ledger, %d by the trace" % (name, stream, used, traced))
                accounts += 1
        for name in self.everybody:
            text = self.text(name)
            for word in ("not equal", "Fatal error", "does not add up"):
                if word in text:
                    raise Broken("%s: %s" % (name, [line for line in text.splitlines() if word in line][0]))
        return spent, accounts

    def remove(self):
        for process in self.processes.values():
            process.kill()
            process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


class Count:
    def __init__(self, number):
        self.left, self.lock = number, threading.Lock()
        self.kills = {}
        self.spent = self.accounts = self.worst = 0
        self.problems = []

    def take(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0 and not self.problems

    def note(self, victim, lost=0):
        with self.lock:
            self.kills[victim] = self.kills.get(victim, 0) + 1
            self.worst = max(self.worst, lost)


def kill_round(network, count, victims):
    victim = random.choice(victims)
    time.sleep(random.random() * 0.08)
    network.end(victim, signal.SIGKILL)
    lost = 0
    if victim == "alice":
        lost = network.mark() - network.trace.end(*network.stream, "sender")
        if not -1 < lost <= RESERVATION:
            raise Broken("a kill of the sender lost %d bytes" % lost)
    network.start(victim)
    network.work()
    count.note(victim, lost)


def cut_round(network, count, victims, library):
    victim = random.choice(victims)
    root, shadow = network.path(victim), network.path("shadow-" + victim)
    os.makedirs(shadow, exist_ok=True)
    network.end(victim, signal.SIGKILL)
    process = network.start(victim, wait=False, extra={
        "LD_PRELOAD": library, "POWERCUT_ROOT": root, "POWERCUT_SHADOW": shadow,
        "POWERCUT_AFTER": str(random.randint(1, 90)), "POWERCUT_STRICT": random.choice("01")})
    try:
        process.wait(timeout=random.random() + 0.3)
    except subprocess.TimeoutExpired:
        pass
    network.end(victim, signal.SIGKILL)
    # A process that was cut off before its first instruction has no image, and has changed nothing.
    if os.path.exists(os.path.join(shadow, "started")):
        subprocess.run([POWERCUT, "restore", root, shadow], check=True)
    network.start(victim)
    network.work()
    count.note(victim)


def campaign(make, count, one_round):
    """One network, rounds until there are enough."""
    network = make()
    try:
        for name in network.everybody:
            network.start(name)
        network.work()
        while count.take():
            one_round(network, count)
        network.stop()
        spent, accounts = network.judge()
        with count.lock:
            count.spent += spent
            count.accounts += accounts
        network.remove()
    except Exception as error:  # noqa: B902: whatever it is, the campaign has failed
        network.stop()
        with count.lock:
            count.problems.append("%s: %s (see %s)" % (type(error).__name__, error, network.directory))
        for process in network.processes.values():
            process.kill()


def run(title, rounds, parallel, make, one_round):
    if rounds <= 0:
        return True
    count = Count(rounds)
    started = time.monotonic()
    threads = [threading.Thread(target=campaign, args=(make, count, one_round)) for _ in range(min(parallel, rounds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - started
    done = sum(count.kills.values())
    print("%s: %d of %d (%s), %.2f s each; %.1f MiB of pad spent, %d accounts add up, most lost at a kill %.1f MiB: %s" % (
        title, done, rounds, ", ".join("%s %d" % pair for pair in sorted(count.kills.items())), seconds / max(done, 1),
        count.spent / 1048576, count.accounts, count.worst / 1048576, "FAILED" if count.problems else "no byte twice"),
        flush=True)
    for problem in count.problems:
        print("  " + problem, flush=True)
    return not count.problems and done == rounds


def disk_full(program):
    """A sender whose ledger cannot grow sends nothing: the limit is the file size limit of the process."""
    network = Network(program, ["a", "b"], [("a", "b")], "a", "b")
    try:
        for name in network.everybody:
            network.start(name)
        network.work()
        network.end("alice", signal.SIGTERM)
        before = network.trace.end(*network.stream, "sender")
        base = os.path.join(network.path("alice"), "alice-pads.sqlite")
        limit = (os.path.getsize(base) + 1023) // 1024
        shell = "ulimit -f %d; exec %s keys exercise -c %s --to bob --count 50 --size 100" % (
            limit, program, network.path("alice.toml"))
        done = subprocess.run(["timeout", "5", "bash", "-c", shell], capture_output=True, text=True, env=dict(
            os.environ, DSGD_PAD_TRACE=network.path("trace")))
        after = network.trace.end(*network.stream, "sender")
        if after != before:
            raise Broken("%d bytes of pad were spent without a durable mark: %s" % (after - before, done.stderr))
        network.start("alice")
        network.work()
        network.stop()
        network.judge()
        network.remove()
        said = [line for line in done.stderr.splitlines() if "ledger" in line]
        print("disk full during burn: nothing was sent (%s)" % (said[-1] if said else "exit %d" % done.returncode), flush=True)
        return True
    except Broken as error:
        print("disk full during burn: FAILED: %s (see %s)" % (error, network.directory), flush=True)
        return False
    finally:
        for process in network.processes.values():
            process.kill()


def random_device(program):
    """A node takes its generator's numbers, and refuses one that fails its health tests."""
    network = Network(program, ["a", "b"], [("a", "b")], "a", "b")

    def set_device(path):
        with open(network.path("a.toml"), "a") as file:
            file.write("random_device = '%s'\n" % path)

    try:
        zeros = network.path("zeros")
        with open(zeros, "wb") as file:
            file.write(bytes(1 << 20))
        with open(network.path("a.toml")) as file:
            plain = file.read()
        set_device(zeros)
        done = subprocess.run(["timeout", "120", program, "serve", "-c", network.path("a.toml")], capture_output=True,
                              text=True)
        if done.returncode in (0, 124) or "ready" in done.stdout or "health test" not in done.stderr:
            raise Broken("a node serves with zeros for random numbers: exit %d, %s" % (done.returncode, done.stderr))
        with open(network.path("a.toml"), "w") as file:
            file.write(plain)
        noise = network.path("noise")
        with open(noise, "wb") as file:
            file.write(os.urandom(4 << 20))
        set_device(noise)
        for name in network.everybody:
            network.start(name)
        network.work()
        # The file is read once: alice's pad ends with it, within a reservation.
        got, quiet = -1, 0
        limit = time.monotonic() + PATIENCE
        while quiet < 20 or (got < 2 << 20 and time.monotonic() < limit):
            time.sleep(0.1)
            network.trace.read()
            before, got = got, sum(stop - start for start, stop in network.trace.used[network.stream + ("sender",)])
            quiet = quiet + 1 if got == before else 0
            if got > 4 << 20:
                raise Broken("%d bytes of pad were made from 4 MiB of numbers" % got)
        if got < 2 << 20:
            raise Broken("4 MiB of numbers gave %d bytes of pad: %s" % (got, network.tail("a")))
        network.stop()
        network.judge()
        network.remove()
        print("random device: zeros are refused, 4 MiB of numbers gave %.1f MiB of pad and no more" % (got / 1048576),
              flush=True)
        return True
    except Broken as error:
        print("random device: FAILED: %s (see %s)" % (error, network.directory), flush=True)
        return False
    finally:
        for process in network.processes.values():
            process.kill()


def main():
    parser = argparse.ArgumentParser(description="Campaigns of kills and power cuts against pads and key nodes.")
    parser.add_argument("program")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--power-cuts", type=int, default=200)
    parser.add_argument("--relay-kills", type=int, default=None, help="kills of nodes in a relay over three hops")
    parser.add_argument("--parallel", type=int, default=3, help="networks at the same time")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else int(time.time())
    random.seed(seed)
    print("seed %d" % seed, flush=True)
    program = os.path.abspath(options.program)
    turn = iter(range(1 << 30))

    def pair():
        return Network(program, ["a", "b"], [("a", "b")], "a", "b", disk=next(turn) % 2 == 1)

    def line():
        names = ["n1", "n2", "n3", "n4", "n5"]
        return Network(program, names, list(zip(names, names[1:])), "n1", "n4", disk=next(turn) % 2 == 1)

    good = disk_full(program)
    good &= random_device(program)
    users = ["alice"] * 5 + ["bob"] * 3 + ["a", "b"]
    good &= run("kills", options.kills, options.parallel, pair, lambda n, c: kill_round(n, c, users))
    relay = options.relay_kills if options.relay_kills is not None else max(3, options.kills // 20)
    good &= run("kills of nodes on a way of three hops", relay, options.parallel, line,
                lambda n, c: kill_round(n, c, ["n1", "n2", "n3", "n4"]))
    if options.power_cuts > 0:
        library = subprocess.run([POWERCUT, "build"], check=True, capture_output=True, text=True).stdout.strip()
        cut = ["alice", "alice", "bob", "a", "b"]
        good &= run("power cuts", options.power_cuts, options.parallel, pair, lambda n, c: cut_round(n, c, cut, library))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
