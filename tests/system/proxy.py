"""nginx with TLS in front of an application, which it serves below a prefix."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template

from sample_projects.processes import free_port, running
from tests.auth.authorization.tls_server import authority
from tests.system.browser import ALLOWED, program

ORIGIN = f"https://{ALLOWED}"
PREFIX = "/shop"
MOUNT = "/api/mcp"
"""Where the server is, below the prefix."""

DOCS = Path(__file__).parent.parent.parent / "docs" / "signing-in.md"

_AROUND = Template("""
daemon off;
master_process off;
pid $folder/nginx.pid;
error_log $folder/error.log warn;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    server {
        listen 127.0.0.1:$port ssl;
        server_name $name;
        ssl_certificate $folder/certificate.pem;
        ssl_certificate_key $folder/key.pem;
$locations
    }
}
""")


@dataclass(frozen=True)
class Proxy:
    """nginx.

    Attributes:
        port: Where it is.
        ca: The file with the certificate of its authority.
        digest: The digest of its public key.
    """

    port: int
    ca: Path
    digest: str


def documented() -> str:
    """What the documentation says that nginx is told."""
    block = DOCS.read_text().partition("```nginx\n")[2].partition("```")[0]
    assert block.count("http://127.0.0.1:8000") == 3
    return block


def at_the_root() -> str:
    """The locations for the origin as the issuer."""
    kinds = ("oauth-authorization-server", "oauth-protected-resource")
    return "".join(
        f"location = /.well-known/{kind} {{"
        f" proxy_pass http://127.0.0.1:8000{MOUNT}/.well-known/{kind}; }}\n"
        for kind in kinds
    )


@contextmanager
def in_front_of(port: int, folder: Path, more: str = "") -> Iterator[Proxy]:
    """Serve what is at a port by https, as the documentation says.

    Args:
        port: The port.
        folder: For its files.
        more: Further locations.
    """
    key, certificate, digest = authority().issued(ALLOWED)
    (folder / "key.pem").write_bytes(key)
    (folder / "certificate.pem").write_bytes(certificate)
    ca = folder / "ca.pem"
    ca.write_text(authority().pem)
    own = free_port()
    locations = (documented() + more).replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    configuration = folder / "nginx.conf"
    configuration.write_text(
        _AROUND.substitute(folder=folder, port=own, name=ALLOWED, locations=locations)
    )
    command = [str(program("nginx")), "-p", str(folder), "-c", str(configuration)]
    with running([*command, "-e", str(folder / "error.log")], own):
        yield Proxy(own, ca, digest)
