"""Receives webhooks and mail, as somebody who is told would: the reference library judges each signature.

usage: receiver.py FOLDER, which holds `manner` (a status to answer with, or `hold`: read it and say nothing) and, where
signatures are to be judged, `secret`. Writes `ports` (HTTP and SMTP, as JSON) and a line of JSON per message into `got`.
"""

import asyncio
import email
import email.policy
import json
import pathlib
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.smtp import SMTP
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
        keep({"id": headers.get("webhook-id"), "verified": verified, "body": json.loads(body)})
        if manner() == "hold":
            threading.Event().wait()
        self.send_response(int(manner()))
        if manner().startswith("3"):
            self.send_header("location", "http://169.254.169.254/latest/meta-data/")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Mail:
    async def handle_DATA(self, _server, _session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        headers = {name.lower(): str(value) for name, value in message.items()}
        text = message.get_content()
        keep({"to": envelope.rcpt_tos, "from": envelope.mail_from, "headers": headers, "text": text})
        return "250 taken" if manner() != "500" else "451 later"


async def main():
    loop = asyncio.get_running_loop()
    mail = await loop.create_server(lambda: SMTP(Mail()), "127.0.0.1", 0)
    hooks = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    hooks.daemon_threads = True
    threading.Thread(target=hooks.serve_forever, daemon=True).start()
    ports = {"http": hooks.server_address[1], "smtp": mail.sockets[0].getsockname()[1]}
    (folder / "ports.new").write_text(json.dumps(ports))
    (folder / "ports.new").rename(folder / "ports")
    await mail.serve_forever()


asyncio.run(main())
