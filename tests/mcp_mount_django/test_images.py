"""Pictures of an ImageRouter in Django: its storages, forms and transactions."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcp_mount import DefinitionError

pytestmark = pytest.mark.usefixtures("project", "own_servers")

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Any]:
    from django.test import Client, override_settings
    from django.urls import include, path

    from mcp_mount import ImageRouter
    from mcp_mount.images import ImageRequest
    from mcp_mount_django import MCPServer
    from mcp_mount_django.images import StorageImages

    server = MCPServer("images", open=True, max_body_bytes=2000)
    images = ImageRouter(store=StorageImages())

    @images.backend("painter", edits=True)
    def paint(request: ImageRequest) -> bytes:
        return PNG + request.prompt.encode() + b"".join(one.data[8:] for one in request.images)

    server.include_router(images)

    class Urls:
        urlpatterns = (path("mcp", include(server.urls)),)

    storages = {
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path)},
        }
    }
    with override_settings(ROOT_URLCONF=Urls, STORAGES=storages):
        yield Client(SERVER_NAME="localhost", enforce_csrf_checks=True)


def read(answer: Any) -> Any:
    return json.loads(b"".join(answer))


def test_pictures_are_files_of_the_storage_until_they_expire(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"prompt": "a cat", "response_format": "url"}
    answer = client.post("/mcp/v1/images/generations", body, content_type="application/json")
    url = read(answer)["data"][0]["url"]
    assert url.startswith("http://localhost/mcp/v1/images/files/")
    shown = client.get(url)
    assert (b"".join(shown), shown["content-type"]) == (PNG + b"a cat", "image/png")
    [file] = (tmp_path / "mcp-images").iterdir()
    assert file.read_bytes() == PNG + b"a cat"
    file.unlink()
    assert client.get(url).status_code == 404
    later = time.time() + 4000
    monkeypatch.setattr(time, "time", lambda: later)
    assert client.get(url).status_code == 404


def test_a_form_with_a_picture_is_read(client: Any) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    form = {"prompt": "a hat", "image": SimpleUploadedFile("a.png", PNG + b"!")}
    answer = client.post("/mcp/v1/images/edits", form)
    assert answer.status_code == 200
    assert base64.b64decode(read(answer)["data"][0]["b64_json"]) == PNG + b"a hat!"
    form["image"] = SimpleUploadedFile("a.png", PNG + b"x" * 3000)
    assert client.post("/mcp/v1/images/edits", form).status_code == 413


def test_a_storage_loses_what_has_expired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.core.files.storage import FileSystemStorage, InMemoryStorage

    from mcp_mount.backends.images.stores import new_name
    from mcp_mount.images import Picture
    from mcp_mount_django.images import StorageImages

    picture = Picture(PNG, "image/png")
    for storage in (FileSystemStorage(tmp_path), InMemoryStorage()):
        store = StorageImages(storage, folder="a/b/")
        old = new_name(picture, 1)
        store.save(old, PNG)
        later = time.time() + 100
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda now=later: now)
            new = new_name(picture, 60)
            StorageImages(storage, folder="a/b").save(new, PNG)
            assert store.load(new) == PNG
        assert storage.listdir("a/b")[1] == [new]
        assert store.load(old) is None


def test_clients_get_urls_of_the_storage_where_they_are_wanted(tmp_path: Path) -> None:
    from django.core.files.storage import FileSystemStorage, InMemoryStorage

    from mcp_mount_django.images import StorageImages

    class Signing(InMemoryStorage):
        """As those of S3 and Azure, in django-storages."""

        def url(self, name: str | None, parameters: Any = None, expire: Any = None) -> str:
            return f"https://bucket.example/{name}?expires={expire}"

    files = FileSystemStorage(tmp_path, base_url="/media/")
    assert StorageImages(files).url("a.png", 60) is None
    assert StorageImages(files, storage_urls=True).url("a.png", 60) == "/media/mcp-images/a.png"
    signed = StorageImages(Signing(), storage_urls=True).url("a.png", 60.5)
    assert signed == "https://bucket.example/mcp-images/a.png?expires=60"


def test_a_storage_that_deletes_nothing_keeps_pictures(caplog: pytest.LogCaptureFixture) -> None:
    from django.core.files.storage import InMemoryStorage

    from mcp_mount.backends.images.stores import new_name
    from mcp_mount.images import Picture
    from mcp_mount_django.images import StorageImages

    class Refusing(InMemoryStorage):
        def listdir(self, path: str) -> Any:
            raise PermissionError("AccessDenied")

    store, name = StorageImages(Refusing()), new_name(Picture(PNG, "image/png"), 60)
    store.save(name, PNG)
    assert store.load(name) == PNG
    assert "could not be deleted" in caplog.text


def test_a_storage_that_cannot_be_is_refused() -> None:
    from mcp_mount_django.images import StorageImages

    with pytest.raises(DefinitionError, match="its name in STORAGES"):
        StorageImages(7)  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match="folder is empty"):
        StorageImages(folder="")
