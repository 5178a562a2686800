"""The streams of sessions in one process."""

from __future__ import annotations

import gc

from mcp_mount.protocol.changes import CLOSING, Change, OpenStreams, SessionStream

URI = "text://news"


def test_nothing_is_kept_of_sessions_whose_streams_are_gone() -> None:
    streams = OpenStreams()
    for number in range(3):
        stream = SessionStream(f"session-{number}", streams)
        heard: list[Change] = []
        stream.begin(heard.append)
        streams.subscribe(stream.session, URI, on=True)
        stream.end()
        del stream
    gc.collect()
    assert (streams._known, streams._read) == ({}, {})


def test_a_stream_stays_known_until_the_last_of_its_session_is_gone() -> None:
    streams = OpenStreams()
    first, second = SessionStream("session", streams), SessionStream("session", streams)
    del first
    gc.collect()
    streams.subscribe("session", URI, on=True)
    assert second.uris == {URI}


def test_what_changes_during_a_look_counts_more_than_what_was_found() -> None:
    streams = OpenStreams()
    stream = SessionStream("session", streams)
    with streams.looking("session") as load:
        streams.subscribe("session", "text://new", on=True)
        streams.subscribe("session", URI, on=True)
        streams.subscribe("session", URI, on=False)
        load(frozenset({URI}))
    assert stream.uris == {"text://new"}
    streams.subscribe("session", URI, on=True)
    assert stream.uris == {"text://new", URI}
    with streams.looking("session") as load:
        load(frozenset({"text://old"}))
    assert stream.uris == {"text://old"}


def test_what_changes_during_two_looks_counts_in_both() -> None:
    streams = OpenStreams()
    stream = SessionStream("session", streams)
    with streams.looking("session") as load_first:
        with streams.looking("session") as load_second:
            streams.subscribe("session", URI, on=True)
            load_second(frozenset())
        load_first(frozenset())
    assert stream.uris == {URI}


def test_a_stream_that_is_read_after_its_session_has_ended_ends_at_once() -> None:
    streams = OpenStreams()
    stream = SessionStream("session", streams)
    streams.end_session("session")
    heard: list[Change] = []
    stream.begin(heard.append)
    assert heard == [CLOSING]
