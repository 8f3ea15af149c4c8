"""The shipped program as KME of a network of two nodes, judged by other people's clients of ETSI GS QKD 014, and by a
small client of ETSI GS QKD 004.

    etsi.py PROGRAM

Prints a line for each thing that was looked at, and ends with exit code 1 when one is not as expected. What the probe of
`qkdsec` expects differs from the standard in two places; there the standard wins, and the line says so.
"""
import base64
import contextlib
import io
import json
import os
import pathlib
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

from etsi_qkd_014_client import QKD014Client
from qkdsec.client import ETSI014Client
from qkdsec.doctor import run_all

PROGRAM = os.path.abspath(sys.argv[1])
deviations = 0


def line(good, subject, said):
    global deviations
    deviations += not good
    print(f"{'as expected' if good else 'DEVIATION  '}  {subject}: {said}", flush=True)


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def authority(directory, name):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign", "-keyout", f"{name}.key", "-out",
         f"{name}.pem"], cwd=directory, check=True, capture_output=True)


def certificate(directory, issuer, name, file=None):
    file = file or name
    (directory / f"{file}.ext").write_text("subjectAltName=IP:127.0.0.1\n")
    for command in (
        ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
         "-keyout", f"{file}.key", "-out", f"{file}.csr"],
        ["openssl", "x509", "-req", "-in", f"{file}.csr", "-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key",
         "-CAcreateserial", "-days", "2", "-extfile", f"{file}.ext", "-out", f"{file}.pem"],
    ):
        subprocess.run(command, cwd=directory, check=True, capture_output=True)


class Network:
    """Nodes `a` with the application alice and `b` with bob and carol, and the link between them."""

    def __init__(self, directory):
        self.directory = directory
        authority(directory, "authority")
        for name in ("a", "b", "alice", "bob", "carol", "stranger"):
            certificate(directory, "authority", name)
        authority(directory, "other")
        certificate(directory, "other", "alice", "false-alice")
        kma_a, kma_b, self.port_a, self.port_b, *self.ports_004 = free_ports(6)
        node = """[[nodes]]
name = "{0}"
host = "127.0.0.1"
kma_port = {1}
directory = "{3}/{0}"
[nodes.etsi]
port_014 = {2}
port_004 = {4}
certificate = "{3}/{0}.pem"
private_key = "{3}/{0}.key"
authority = "{3}/authority.pem"
key_lifetime_s = 20.0

"""
        role = '[[roles]]\nname = "{}"\nkind = "sae"\nnode = "{}"\nhost = "127.0.0.1"\nport = 0\n\n'
        (directory / "network.toml").write_text(
            'pool = "bank"\nkms = "a"\n\n'
            + node.format("a", kma_a, self.port_a, directory, self.ports_004[0])
            + node.format("b", kma_b, self.port_b, directory, self.ports_004[1])
            + '[[links]]\nends = ["a", "b"]\ndistance_km = 10.0\nrate_mbit_per_s = 1000.0\nstock_mib = 128.0\n\n'
            + role.format("alice", "a") + role.format("bob", "b") + role.format("carol", "b"))
        self.processes = []
        for name in ("a", "b", "link-model"):
            (directory / f"{name}.toml").write_text(
                f'network = "network.toml"\nstate = "{directory}/state-{name}"\nplays = ["{name}"]\n')
            log = open(directory / f"{name}.log", "w")
            process = subprocess.Popen(
                [PROGRAM, "serve", "-c", directory / f"{name}.toml"], stdout=subprocess.PIPE, stderr=log, text=True)
            self.processes.append(process)
            if process.stdout.readline().strip() != "ready":
                raise SystemExit(f"{name} did not start: {(directory / f'{name}.log').read_text()}")

    def url(self, port):
        return f"https://127.0.0.1:{port}"

    def status(self):
        result = subprocess.run(
            [PROGRAM, "keys", "status", "-c", self.directory / "a.toml", "--json"], capture_output=True, text=True, check=True)
        return json.loads(result.stdout)

    def wait(self):
        for _ in range(600):
            links = [each for node in self.status() for each in node["links"]]
            if all(each["up"] and each["stockOut"] > 32 << 20 for each in links):
                return
            time.sleep(0.1)
        raise SystemExit("the link between the nodes does not come up")

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        return [process.wait(30) for process in self.processes]


def probe_client(network, name, port):
    return ETSI014Client(
        network.url(port), client_cert=(str(network.directory / f"{name}.pem"), str(network.directory / f"{name}.key")),
        verify=str(network.directory / "authority.pem"))


def look_with_qkdsec(network):
    alice, bob = probe_client(network, "alice", network.port_a), probe_client(network, "bob", network.port_b)
    status = alice.status("bob")
    line((status.source_kme_id, status.target_kme_id, status.master_sae_id, status.slave_sae_id)
         == ("a", "b", "alice", "bob"), "qkdsec client, status", f"{status}")
    for method in ("GET", "POST"):
        sent = alice.get_enc_keys("bob", number=3, size=1 << 20, method=method)
        back = bob.get_dec_keys("alice", key_ids=[key.key_id for key in sent])
        line([key.key for key in sent] == [key.key for key in back] and len({key.key for key in sent}) == 3,
             f"qkdsec client, {method} enc_keys then dec_keys", "3 keys of 1 Mbit, equal at both ends")


def look_with_other_client(network):
    def client(name, port):
        file = str(network.directory / name)
        return QKD014Client(f"127.0.0.1:{port}", file + ".pem", file + ".key", str(network.directory / "authority.pem"))

    alice, bob = client("alice", network.port_a), client("bob", network.port_b)
    code, status = alice.get_status("bob")
    line(code == 200 and status.max_key_size >= 8_000_000, "etsi-qkd-014-client, status",
         f"{code}, keys up to {status.max_key_size} bit, {status.max_key_per_request} a request")
    for arguments in ({}, {"number": 4, "size": 128}, {"extension_optional": [{"unknown": 1}]}):
        code, sent = alice.get_key("bob", **arguments)
        answer, back = bob.get_key_with_key_IDs("alice", [key.key_id for key in sent.keys])
        line((code, answer) == (200, 200) and [key.key for key in sent.keys] == [key.key for key in back.keys],
             f"etsi-qkd-014-client, enc_keys then dec_keys {arguments}",
             f"{len(sent.keys)} keys of {len(base64.b64decode(sent.keys[0].key)) * 8} bit, equal at both ends")
    for arguments, message in (
        ({"size": 257}, "size shall be a multiple of 8"),
        ({"extension_mandatory": [{"x": 1}]}, "not all extension_mandatory parameters are supported"),
    ):
        code, error = alice.get_key("bob", **arguments)
        line(code == 400 and error.message == message, f"etsi-qkd-014-client, {arguments}", f"{code} {error.message}")
    code, error = bob.get_key_with_key_IDs("alice", ["550e8400-e29b-41d4-a716-446655440000"])
    line(code == 400 and error.message == "one or more keys specified are not found on KME",
         "etsi-qkd-014-client, unknown key_ID", f"{code} {error.message}")


# What the probe says of a KME that keeps to the standard, and why where that is not "pass".
PROBE = {
    "reachability": ("pass", None),
    "status_fields": ("pass", None),
    "enc_keys_get": ("pass", None),
    "enc_keys_post": ("pass", None),
    "enc_keys_caps": ("pass", None),
    "extensions_accepted": ("pass", None),
    "dec_keys_roundtrip": (
        "fail", "the standard wins: the probe asks for dec_keys with the master's certificate; by 5.4 only the SAE that "
        "was named in enc_keys gets the key, and anybody else gets 401"),
    "error_contract_404": (
        "warn", "the standard wins: V1.1.1 has no 404; by 5.4 an unknown key is 400 with a fixed message, and the probe "
        "does not even ask as the slave"),
    "error_contract_400": ("pass", None),
    "latency": ("pass", None),
}


def look_with_probe(network):
    report = run_all(probe_client(network, "alice", network.port_a), "bob")
    seen = set()
    for result in report.results:
        seen.add(result.name)
        wanted, why = PROBE.get(result.name, ("pass", None))
        line(result.status.value == wanted, f"qkdsec probe, {result.name}",
             f"{result.status.value.upper()} ({result.summary})" + (f"; {why}" if why else ""))
    line(seen == set(PROBE), "qkdsec probe", f"{len(seen)} probes ran")
    # The two contradictions once more, asked as the standard has it.
    alice, bob = probe_client(network, "alice", network.port_a), probe_client(network, "bob", network.port_b)
    sent = alice.get_enc_keys("bob", number=1, size=256)[0]
    line(bob.get_dec_keys("alice", key_ids=[sent.key_id])[0].key == sent.key, "standard 5.4, the named slave",
         "gets the equal key")
    for name, path, identifier, code in (
        ("carol", "alice", alice.get_enc_keys("bob", number=1, size=256)[0].key_id, 401),
        ("bob", "alice", "00000000-0000-0000-0000-000000000000", 400),
    ):
        client = probe_client(network, name, network.port_b)
        response = client._session.post(
            f"{client.base_url}/api/v1/keys/{path}/dec_keys", json={"key_IDs": [{"key_ID": identifier}]},
            cert=client.client_cert, verify=client.verify)
        line(response.status_code == code and (code != 401 or not response.content),
             f"standard 5.4, {name} asks for {identifier[:8]}...", f"{response.status_code} {response.text}")


def look_with_openssl(network):
    request = "GET /api/v1/keys/bob/status HTTP/1.1\r\nHost: kme\r\nConnection: close\r\n\r\n"

    def ask(*options):
        process = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{network.port_a}", "-CAfile", "authority.pem", "-ign_eof",
             "-verify_return_error", *options],
            cwd=network.directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(request)
            process.stdin.flush()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        return process.stdout.read()

    for version in ("-tls1_2", "-tls1_3"):
        text = ask(version, "-cert", "alice.pem", "-key", "alice.key")
        line("HTTP/1.1 200 OK" in text and "Verify return code: 0 (ok)" in text, f"s_client {version}, alice's certificate",
             "200, server verified")
        text = ask(version, "-cert", "stranger.pem", "-key", "stranger.key")
        line("HTTP/1.1 401 Unauthorized" in text, f"s_client {version}, a certificate of no application", "401 without a body")
        text = ask(version)
        line("HTTP/1.1" not in text and "alert" in text, f"s_client {version}, no certificate", "alert, handshake fails")
        text = ask(version, "-cert", "false-alice.pem", "-key", "false-alice.key")
        line("HTTP/1.1" not in text and "alert" in text, f"s_client {version}, alice's name from another authority",
             "alert, handshake fails")
    text = ask("-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-cert", "alice.pem", "-key", "alice.key")
    line("HTTP/1.1" not in text, "s_client -tls1_1", "no connection below TLS 1.2")


def look_with_own_client(network):
    def fetch(name, port, *options):
        file = network.directory / name
        return subprocess.run(
            [PROGRAM, "keys", "fetch", "--url", network.url(port), "--cert", f"{file}.pem", "--key", f"{file}.key", "--ca",
             network.directory / "authority.pem", *options], capture_output=True, text=True)

    start = time.monotonic()
    size = 40_000_000
    sent = fetch("alice", network.port_a, "--slave-sae", "bob", "--bytes", str(size), "-o", network.directory / "sent.key")
    (network.directory / "ids").write_text(sent.stdout)
    back = fetch("bob", network.port_b, "--master-sae", "alice", "--ids", network.directory / "ids", "-o",
                 network.directory / "back.key")
    seconds = time.monotonic() - start
    one, two = ((network.directory / f"{name}.key") for name in ("sent", "back"))
    equal = one.exists() and two.exists() and one.read_bytes() == two.read_bytes() and one.stat().st_size == size
    line(sent.returncode == 0 and back.returncode == 0 and equal, "dsgd keys fetch, 40 MB at both ends",
         f"{sent.stderr.strip()}; {back.stderr.strip()}; {seconds:.1f} s")
    again = fetch("bob", network.port_b, "--master-sae", "alice", "--ids", network.directory / "ids", "-o",
                  network.directory / "again.key")
    line(again.returncode != 0 and not (network.directory / "again.key").exists(), "dsgd keys fetch, the same keys again",
         again.stderr.strip().splitlines()[0] if again.stderr else "no message")


class StreamClient:
    """ETSI GS QKD 004 in the framing that open implementations use; written from its description alone."""

    def __init__(self, network, name, port):
        context = ssl.create_default_context(cafile=network.directory / "authority.pem")
        context.load_cert_chain(network.directory / f"{name}.pem", network.directory / f"{name}.key")
        self.connection = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1")

    def call(self, service, payload):
        self.connection.sendall(struct.pack("!BBBBI", 1, 0, 1, service, len(payload)) + payload)
        _, _, _, answered, count = struct.unpack("!BBBBI", self.read(8))
        answer = self.read(count)
        return answered == service + 1 and struct.unpack("!I", answer[:4])[0], answer[4:]

    def read(self, count):
        text = b""
        while len(text) < count:
            part = self.connection.recv(count - len(text))
            if not part:
                raise EOFError("the node closed the connection")
            text += part
        return text

    def open_connect(self, source, destination, stream=bytes(16), chunk=4096, timeout=2000):
        quality = struct.pack("!7I", chunk, 0, 0, 0, 0, timeout, 0) + b"application/json".ljust(256, b"\0")
        status, rest = self.call(2, source.encode() + b"\0" + destination.encode() + b"\0" + quality + stream)
        return status, rest[-16:], struct.unpack("!7I", rest[:28]) if rest else None

    def get_key(self, stream, index, metadata=1024):
        status, rest = self.call(4, stream + struct.pack("!II", index, metadata))
        return status, rest[8:8 + struct.unpack("!I", rest[4:8])[0]] if status == 0 else None

    def close(self, stream):
        return self.call(8, stream)[0]


def look_with_stream_client(network):
    alice, bob = (StreamClient(network, *each) for each in (("alice", network.ports_004[0]), ("bob", network.ports_004[1])))
    status, stream, _ = alice.open_connect("sae://alice", "sae://bob")
    line(status == 1, "004, OPEN_CONNECT of a new stream", f"status {status}, the peer cannot be there yet")
    status, same, _ = bob.open_connect("sae://bob", "sae://alice", stream)
    line(status == 0 and same == stream, "004, OPEN_CONNECT of the peer", f"status {status}")
    sent = [alice.get_key(stream, index) for index in range(100)]
    back = [bob.get_key(stream, index) for index in range(100)]
    line(sent == back and all(status == 0 and len(key) == 4096 for status, key in sent) and len(set(sent)) == 100,
         "004, GET_KEY 0 to 99", "equal chunks of 4096 bytes at both ends")
    stranger = StreamClient(network, "stranger", network.ports_004[0])
    for said, wanted, got in (
        ("insufficient key", 2, bob.get_key(stream, 5)[0]),
        ("not open on this connection", 3, bob.get_key(bytes(16), 0)[0]),
        ("no such peer", 4, alice.open_connect("sae://alice", "sae://nobody")[0]),
        ("no application of this node", 4, stranger.open_connect("sae://stranger", "sae://bob")[0]),
        ("stream in use", 5, alice.open_connect("sae://alice", "sae://bob", stream)[0]),
        ("timeout", 6, bob.get_key(stream, 200)[0]),
        ("quality not met", 7, alice.open_connect("sae://alice", "sae://carol", chunk=1 << 30)[0]),
        ("metadata size", 8, alice.get_key(stream, 100, metadata=1)[0]),
        ("CLOSE", 0, alice.close(stream)), ("CLOSE again", 3, alice.close(stream)),
    ):
        line(got == wanted, f"004, {said}", f"status {got}")


def look_at_the_ledger(network):
    # Orphans of the probe: keys that no slave fetched.
    end = time.monotonic() + 60
    while True:
        entries = [each for node in network.status() for each in node["ledger"] if each["pool"].startswith("bank|")]
        waiting = sum(each["onHand"] for each in entries if each["side"] == "receiver")
        if waiting == 0 or time.monotonic() > end:
            break
        time.sleep(1)
    expired = sum(each["expired"] for each in entries if each["side"] == "receiver")
    balanced = all(
        each["supplied"] == sum(each[name] for name in ("data", "tags", "handshake", "lost", "expired", "onHand"))
        for each in entries)
    line(waiting == 0 and expired > 0 and balanced, "ledger", f"{expired} bytes of orphans expired, every account adds up")


def main():
    with tempfile.TemporaryDirectory(prefix="dsgde-") as name:
        network = Network(pathlib.Path(name))
        try:
            network.wait()
            for look in (look_with_qkdsec, look_with_other_client, look_with_probe, look_with_openssl,
                         look_with_own_client, look_with_stream_client, look_at_the_ledger):
                try:
                    look(network)
                except Exception as error:  # A client that breaks is a deviation too, and the others still look.
                    line(False, look.__name__, f"{type(error).__name__}: {error}")
        finally:
            codes = network.stop()
        line(codes == [143] * 3, "the nodes", f"ended in order, exit codes {codes}")
    print(f"{deviations} deviations")
    return 1 if deviations else 0


if __name__ == "__main__":
    sys.exit(main())
