"""The tests' mail server: aiosmtpd on three loopback ports, told apart by how they are protected.

Usage: smtpd.py CERTIFICATE KEY

Writes JSON lines to standard output: first the ports, then one line per accepted mail. A recipient
whose local part is `busy` is refused for now (451), one that is `unknown` for ever (550). The ports
`starttls` and `smtps` want the user `lictor` with the password `fasces`.
"""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

REFUSALS = {"busy": "451 4.3.0 Try again later", "unknown": "550 5.1.1 No such user"}


def authenticate(_server, _session, _envelope, _mechanism, data):
    known = (data.login, data.password) == (b"lictor", b"fasces")
    # Not handled: the server itself answers a login that failed.
    return AuthResult(success=known, handled=False, auth_data=data)


class Recorder:
    """Answers recipients by their name and writes each accepted mail."""

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        refusal = REFUSALS.get(address.partition("@")[0])
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        write(
            {
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "user": session.auth_data.login.decode() if session.authenticated else None,
                "tls": isinstance(server.transport.get_extra_info("ssl_object"), ssl.SSLObject),
                "content": envelope.content.decode(errors="replace"),
            }
        )
        return "250 OK"


def write(record):
    print(json.dumps(record), flush=True)


async def main(certificate, key):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    login = {"authenticator": authenticate, "auth_required": True}
    modes = {
        "plain": (None, {}),
        "starttls": (None, {"tls_context": tls, "require_starttls": True, **login}),
        "smtps": (tls, {"auth_require_tls": False, **login}),
    }
    loop, ports, servers = asyncio.get_running_loop(), {}, []
    for mode, (implicit_tls, options) in modes.items():
        server = await loop.create_server(
            lambda options=options: SMTP(Recorder(), hostname="localhost", enable_SMTPUTF8=True, **options),
            host="127.0.0.1",
            port=0,
            ssl=implicit_tls,
        )
        ports[mode] = server.sockets[0].getsockname()[1]
        servers.append(server)
    write(ports)
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main(*sys.argv[1:]))
