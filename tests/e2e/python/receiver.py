"""Receives webhooks and mail, as somebody who is told would: the reference library judges each signature.

usage: receiver.py FOLDER [CERTIFICATE KEY]. The folder holds `manner` (a status to answer with; `hold`: read it and say
nothing; `drip`: an answer of a byte a second; `flood`: one without end; `junk`: none in HTTP) and, where signatures are to
be judged, `secret`. What stands behind /hook/ is the manner of that hook alone. Writes `ports` as JSON and a line of JSON
per message into `got`. With a certificate there are also `https`, `smtps` (encrypted from the start) and `starttls`; both
take mail of ada with the password `swordfish` alone.
"""

import asyncio
import email
import email.policy
import json
import pathlib
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.smtp import SMTP, AuthResult
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

folder = pathlib.Path(sys.argv[1])
writing = threading.Lock()


def keep(what):
    with writing, open(folder / "got", "a", encoding="utf-8") as file:
        print(json.dumps(what), file=file, flush=True)


def manner():
    return (folder / "manner").read_text().strip()


class Hook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        verified = None
        if (folder / "secret").exists():
            try:
                Webhook((folder / "secret").read_text().strip()).verify(body, headers)
                verified = True
            except WebhookVerificationError as error:
                verified = str(error)
        keep({"id": headers.get("webhook-id"), "verified": verified, "path": self.path, "body": json.loads(body)})
        how = self.path.removeprefix("/hook").strip("/").split("-")[0] or manner()
        if how == "hold":
            threading.Event().wait()
        if not how.isdigit():
            return self.misbehave(how)
        self.send_response(int(how))
        if how.startswith("3"):
            self.send_header("location", "http://169.254.169.254/latest/meta-data/")
        self.send_header("content-length", "0")
        self.end_headers()

    def misbehave(self, how):
        self.close_connection = True
        pieces = {"junk": b"220 no HTTP\r\n" * 9, "drip": b"HTTP/1.1 200 OK\r\nx-slow: ", "flood": b"HTTP/1.1 200 OK\r\nx: "}
        try:
            if how == "drip":
                for byte in pieces[how]:
                    self.wfile.write(bytes([byte]))
                    time.sleep(1)
            self.wfile.write(pieces[how])
            while how != "junk":
                self.wfile.write(b"y" if how == "drip" else b"x: y\r\n" * 10_000)
                time.sleep(1 if how == "drip" else 0)
        except OSError:
            pass

    def log_message(self, *_):
        pass


class Mail:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        headers = {name.lower(): str(value) for name, value in message.items()}
        text = message.get_content()
        encrypted = server.transport.get_extra_info("ssl_object") is not None
        user = session.auth_data.login.decode() if session.auth_data else None
        got = {"to": envelope.rcpt_tos, "from": envelope.mail_from, "headers": headers, "text": text}
        keep({**got, "encrypted": encrypted, "user": user})
        return "250 taken" if manner() != "500" else "451 later"


def login(_server, _session, _envelope, _mechanism, given):
    known = (given.login, given.password) == (b"ada", b"swordfish")
    return AuthResult(success=known, handled=False, auth_data=given)


def hooks_on(context):
    hooks = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    hooks.daemon_threads = True
    if context:
        # Each connection's own thread shakes hands.
        hooks.socket = context.wrap_socket(hooks.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=hooks.serve_forever, daemon=True).start()
    return hooks.server_address[1]


async def main():
    loop = asyncio.get_running_loop()

    async def mail(tls=None, **options):
        server = await loop.create_server(lambda: SMTP(Mail(), **options), "127.0.0.1", 0, ssl=tls)
        servers.append(server)
        return server.sockets[0].getsockname()[1]

    servers = []
    ports = {"http": hooks_on(None), "smtp": await mail()}
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*sys.argv[2:])
        asked = {"authenticator": login, "auth_required": True}
        ports["https"] = hooks_on(context)
        ports["smtps"] = await mail(context, auth_require_tls=False, **asked)
        ports["starttls"] = await mail(tls_context=context, require_starttls=True, **asked)
    (folder / "ports.new").write_text(json.dumps(ports))
    (folder / "ports.new").rename(folder / "ports")
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main())
