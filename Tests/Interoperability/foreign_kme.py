"""A pair of key servers of another make, in the manner of small simulators of ETSI GS QKD 014.

    foreign_kme.py DIRECTORY NAME...

Each NAME is an application; it has a port of its own, and they are printed in this order. What is foreign about them:
HTTP/1.0, keys of 256 bit only, ten a request, identifiers of UUID version 4, fields in another order with blanks and
escaped slashes, fields that the standard does not have, `details` as strings, 422 for what is malformed, 400 where 503 is
due, and dec_keys in another order than asked.
"""
import base64
import http.server
import json
import os
import ssl
import sys
import threading
import urllib.parse
import uuid

directory = sys.argv[1]
lock = threading.Lock()
activated = {}


class Refusal(Exception):
    pass


class Handler(http.server.BaseHTTPRequestHandler):
    def caller(self):
        subject = self.connection.getpeercert()["subject"]
        return next(value for entry in subject for name, value in entry if name == "commonName")

    def log_message(self, *_):
        pass

    def answer(self, code, value):
        text = json.dumps(value, indent=1).replace("/", "\\/").encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        if self.server.says_length:
            self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        self.do()

    def do_POST(self):
        self.do()

    def do(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        url = urllib.parse.urlparse(self.path)
        _, _, _, _, peer, method = url.path.split("/")
        try:
            self.answer(200, getattr(self, method)(peer, body))
        except Refusal as refusal:
            code, message, *details = refusal.args
            self.answer(code, {"details": details, "message": message})

    def status(self, peer, _):
        return {
            "max_SAE_ID_count": 0, "source_KME_ID": "foreign/" + self.caller(), "target_KME_ID": "foreign/" + peer,
            "master_SAE_ID": self.caller(), "slave_SAE_ID": peer, "key_size": 256, "stored_key_count": 5000,
            "max_key_count": 5000, "max_key_per_request": 10, "max_key_size": 256, "min_key_size": 256,
            "status_extension": "none", "vendor": {"serial": [1, 2.5, None, True]},
        }

    def enc_keys(self, peer, body):
        if body.get("size", 256) != 256:
            raise Refusal(422, "size not available", "size: must be 256")
        if not 1 <= body.get("number", 1) <= 10:
            raise Refusal(422, "too many keys", "number: must be 1 to 10")
        keys = []
        with lock:
            for _ in range(body.get("number", 1)):
                name, key = str(uuid.uuid4()), os.urandom(32)
                activated[name] = (self.caller(), peer, key)
                keys.append({"vendor": "x\\\"]}", "key": base64.b64encode(key).decode(), "key_ID": name})
        return {"key_container_extension": {"keys": []}, "keys": keys}

    def dec_keys(self, peer, body):
        keys = []
        with lock:
            wanted = [entry["key_ID"] for entry in body["key_IDs"]]
            for name in wanted:
                if activated.get(name, ())[:2] != (peer, self.caller()):
                    raise Refusal(400, "key not found", name)
            for name in sorted(wanted):
                keys.append({"key_ID": name.upper(), "key": base64.b64encode(activated.pop(name)[2]).decode()})
        return {"keys": keys}


for index, name in enumerate(sys.argv[2:]):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{directory}/a.pem", f"{directory}/a.key")
    context.load_verify_locations(f"{directory}/authority.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.says_length = index % 2 == 0
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
sys.stdin.read()
