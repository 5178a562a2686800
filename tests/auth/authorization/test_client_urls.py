"""Which URLs may name a client: those of the draft, on hosts that are domain names."""

from __future__ import annotations

import pytest

from mcp_mount.auth.authorization.fetching import DocumentRefused, check_document_url

ACCEPTED = (
    "https://claude.ai/oauth/mcp-oauth-client-metadata",
    "https://vscode.dev/oauth/client-metadata.json",
    "https://client.example.com/a",
    "https://client.example.com:443/a",
    "HTTPS://Client.Example.COM/a",
    "https://client.example.com/a/",
    "https://client.example.com/a?version=2&x=%20",
    "https://client.example.com/a..b/.well-known/...",
    "https://client.example.com/a%2Fb@c:d;e=f,(g)!$&'*+~",
    "https://a-b.c-d.example.com/a",
    "https://1.2.3.example.com/a",
    "https://0x7f.example.com/a",
    "https://xn--mnchen-3ya.example/a",
    "https://example.xn--p1ai/a",
    f"https://{'a' * 63}.example.com/a",
    "https://client.example.com/" + "a" * 2021,
)


@pytest.mark.parametrize("url", ACCEPTED)
def test_a_url_of_the_draft_names_a_client(url: str) -> None:
    assert check_document_url(url).scheme == "https"


def test_the_parts_are_those_that_are_asked_for() -> None:
    parts = check_document_url("https://Client.Example.com:443/a/b?c=d")
    assert (parts.hostname, parts.path, parts.query) == ("client.example.com", "/a/b", "c=d")


REFUSED = {
    "The client's URL does not begin with https://": (
        "",
        "client",
        "http://client.example.com/a",
        "https:client.example.com/a",
        "https:/client.example.com/a",
        "https:\\\\client.example.com/a",
        " https://client.example.com/a",
        "\thttps://client.example.com/a",
        "ftp://client.example.com/a",
        "file:///etc/passwd",
        "httpsx://client.example.com/a",
        "//client.example.com/a",
        "data:application/json,{}",
        "javascript:alert(1)",
    ),
    "The client's URL has a fragment": (
        "https://client.example.com/a#b",
        "https://client.example.com/a#",
        "https://client.example.com/a?b#c\nd",
        "https://client.example.com#/a",
    ),
    "The client's URL has no path": (
        "https://client.example.com",
        "https://client.example.com/",
        "https://client.example.com?a=b",
        "https://client.example.com/?a=b",
        "https://127.0.0.1",
    ),
    "The client's URL has characters that no URL has": (
        "https://client.example.com/a b",
        "https://client.example.com/a\n",
        "https://client.example.com/a\r\nhost: other",
        "https://client.example.com/a\tb",
        "https://client.example.com/a\x00",
        "https://client.example.com/a\x7f",
        "https://client.example.com/a\\..\\b",
        "https://client.example.com/a%",
        "https://client.example.com/a%2",
        "https://client.example.com/a%zz",
        "https://client.example.com/<script>",
        'https://client.example.com/a"b',
        "https://client.example.com/a?b=[c]",
        "https://client.example.com/a?b={c}",
        "https://client.example.com/a|b",
        "https://client.example.com/a^b`",
    ),
    "The client's URL has dot segments": (
        "https://client.example.com/.",
        "https://client.example.com/..",
        "https://client.example.com/a/../b",
        "https://client.example.com/a/./b",
        "https://client.example.com/a/..",
        "https://client.example.com/a/%2e%2e/b",
        "https://client.example.com/a/.%2E/b",
        "https://client.example.com/%2e",
    ),
    "The client's URL has a user name": (
        "https://me@client.example.com/a",
        "https://me:secret@client.example.com/a",
        "https://@client.example.com/a",
        "https://:@client.example.com/a",
        "https://client.example.com\\@127.0.0.1/a",
        "https://client.example.com:443@127.0.0.1/a",
        "https://client.example.com%40@127.0.0.1/a",
    ),
    "The client's URL has a port other than 443": (
        "https://client.example.com:80/a",
        "https://client.example.com:8443/a",
        "https://client.example.com:/a",
        "https://client.example.com:0/a",
        "https://client.example.com:0443/a",
        "https://client.example.com:+443/a",
        "https://client.example.com:443:443/a",
        "https://client.example.com:65979/a",
        "https://client.example.com:443 /a",
        "https://client.example.com:x/a",
    ),
    "The host in the client's URL is not a domain name": (
        "https:///a",
        "https://:443/a",
        "https://localhost/a",
        "https://intranet/a",
        "https://localhost:443/a",
        # Addresses, in all that `inet_aton` and browsers take for one.
        "https://127.0.0.1/a",
        "https://127.0.0.1:443/a",
        "https://127.1/a",
        "https://127.0.1/a",
        "https://127/a",
        "https://0/a",
        "https://0.0.0.0/a",
        "https://2130706433/a",
        "https://017700000001/a",
        "https://0177.0.0.1/a",
        "https://0x7f000001/a",
        "https://0x7f.1/a",
        "https://0x7f.0x0.0x0.0x1/a",
        "https://0X7F.0.0.0X1/a",
        "https://1.2.3.0x/a",
        "https://client.0x7f/a",
        "https://client.1/a",
        "https://169.254.169.254/a",
        "https://8.8.8.8/a",
        "https://127.0.0.1./a",
        "https://127%2e0%2e0%2e1/a",
        "https://%31%32%37.0.0.1/a",
        "https://[::1]/a",
        "https://[::1]:443/a",
        "https://[::ffff:127.0.0.1]/a",
        "https://[2606:4700::1111]/a",
        "https://[fe80::1%25eth0]/a",
        "https://[v1.client]/a",
        "https://::1/a",
        # Names, nearly.
        "https://client.example.com./a",
        "https://client.example.com../a",
        "https://client..example.com/a",
        "https://.example.com/a",
        "https://./a",
        "https://-client.example.com/a",
        "https://client-.example.com/a",
        "https://client_one.example.com/a",
        "https://*.example.com/a",
        "https://client.example.com%00.other.com/a",
        "https://client.example.com%2f.other.com/a",
        "https://client example.com/a",
        "https://client\n.example.com/a",
        "https://client\t.example.com/a",
        "https://client.example.com\\.other.com/a",
        "https://client.example.com,other.com/a",
        "https://client.example.c/a",
        f"https://{'a' * 64}.example.com/a",
        f"https://{'a.' * 124}example.com/a",
        # In other letters, without any.
        "https://xn--.example.com/a",
        "https://xn--example-.com/a",
        "https://xn--localhost-.com/a",
        "https://xn--99999999.example.com/a",
        "https://ab--cd.example.com/a",
        "https://example.xn--com-/a",
        "https://example.xn--/a",
    ),
    "The host in the client's URL is not a public one": (
        "https://client.localhost/a",
        "https://printer.local/a",
        "https://metadata.google.internal/a",
        "https://METADATA.GOOGLE.INTERNAL/a",
        "https://router.home.arpa/a",
        "https://client.onion/a",
    ),
    "The client's URL has characters that are not ASCII": (
        "https://münchen.example/a",
        "https://client.example.com/ä",
        "https://①②⑦.0.0.1/a",
        "https://127。0。0。1/a",
        "https://client.example.com\u2044a/b",
        "https://client\u00ad.example.com/a",
        "https://\u212aient.example.com/a",
    ),
    "The client's URL is longer than 2048 characters": (
        "https://client.example.com/" + "a" * 2022,
        "https://" + "[" * 100_000,
    ),
}


@pytest.mark.parametrize(
    ("reason", "url"), [(reason, url) for reason, urls in REFUSED.items() for url in urls]
)
def test_another_url_names_none(reason: str, url: str) -> None:
    with pytest.raises(DocumentRefused) as caught:
        check_document_url(url)
    # It says no more than what rule it is: the rest is a stranger's text.
    assert str(caught.value) == reason
