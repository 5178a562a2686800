"""data: URLs (RFC 2397), and who reads them."""

from __future__ import annotations

import pytest

from mcp_mount.wire.data_urls import data_url


@pytest.mark.parametrize(
    ("url", "media_type", "data"),
    [
        ("data:image/png;base64,aGk=", "image/png", b"hi"),
        ("DATA:image/png;name=a.png;BASE64,aGk", "image/png", b"hi"),
        ("data:image/png;base64,aGk%3D", "image/png", b"hi"),
        ("data:image/png;base64,_-8=", "image/png", b"\xff\xef"),
        ("data:text/plain;charset=utf-8,h%69,%20you", "text/plain", b"hi, you"),
        ("data:,hi", "", b"hi"),
        ("data:text/plain,\ud800", "text/plain", b"\xed\xa0\x80"),
    ],
)
def test_a_data_url_has_a_type_and_data(url: str, media_type: str, data: bytes) -> None:
    read = data_url(url)
    assert read is not None
    assert (read.media_type, read.data()) == (media_type, data)


def test_base64_stays_as_it_is_written() -> None:
    read = data_url("data:image/png;base64,aGk")
    other = data_url("data:text/plain,hi")
    assert read is not None
    assert other is not None
    assert (read.base64(), other.base64()) == ("aGk", "aGk=")


def test_parameters_are_known_by_their_names() -> None:
    read = data_url("data:image/png;Name=a%20b.png;base64,aGk=")
    assert read is not None
    assert read.parameters == {"name": "a%20b.png"}


@pytest.mark.parametrize(
    "value", ["https://example.com/a.png", "", "dat", None, 5, {"url": "data:,"}]
)
def test_other_values_are_no_data_url(value: object) -> None:
    assert data_url(value) is None


@pytest.mark.parametrize("url", ["data:", "data:image/png;base64"])
def test_a_data_url_without_a_comma_is_none(url: str) -> None:
    with pytest.raises(ValueError, match="comma"):
        data_url(url)


@pytest.mark.parametrize("url", ["data:;base64,a", "data:;base64,ü", "data:;base64,a*b="])
def test_data_that_are_no_base64_are_an_error(url: str) -> None:
    read = data_url(url)
    assert read is not None
    with pytest.raises(ValueError, match="Base64"):
        read.data()
