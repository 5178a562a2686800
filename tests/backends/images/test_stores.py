"""Where pictures are kept that clients get as URLs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from mcp_mount import DefinitionError
from mcp_mount.backends.images.stores import new_name
from mcp_mount.images import DirectoryImages, MemoryImages, Picture

PICTURE = Picture(b"\x89PNG\r\n\x1a\n", "image/png")


@pytest.fixture(params=["memory", "directory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return MemoryImages() if request.param == "memory" else DirectoryImages(tmp_path / "a" / "b")


def test_a_picture_is_kept_until_it_expires(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name = new_name(PICTURE, 60)
    store.save(name, PICTURE.data)
    assert store.load(name) == PICTURE.data
    assert store.load(new_name(PICTURE, 60)) is None
    later = time.time() + 100
    monkeypatch.setattr(time, "time", lambda: later)
    assert store.load(name) is None


@pytest.mark.parametrize("name", ["", ".", "../x.png", "/etc/passwd", "a\0b", "ffffffff-x.png"])
def test_what_is_no_name_of_a_picture_is_not_looked_for(store: Any, name: str) -> None:
    assert store.load(name) is None


def test_a_directory_loses_what_has_expired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DirectoryImages(tmp_path)
    store.save(new_name(PICTURE, 60), PICTURE.data)
    (tmp_path / "other.txt").write_text("kept")
    later = time.time() + 100
    monkeypatch.setattr(time, "time", lambda: later)
    store = DirectoryImages(str(tmp_path))
    new = new_name(PICTURE, 60)
    store.save(new, PICTURE.data)
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted([new, "other.txt"])


@pytest.mark.parametrize("limit", [{"max_files": 2}, {"max_bytes": 16}])
def test_memory_is_limited(limit: Any) -> None:
    store = MemoryImages(**limit)
    names = [new_name(PICTURE, 60) for _ in range(3)]
    for name in names:
        store.save(name, PICTURE.data)
    assert [store.load(one) is not None for one in names] == [False, True, True]


def test_stores_that_cannot_be_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(DefinitionError, match="is no directory"):
        DirectoryImages(file)
    with pytest.raises(DefinitionError, match="is a path"):
        DirectoryImages(7)  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match="max_files is a number from 1 on"):
        MemoryImages(max_files=0)
