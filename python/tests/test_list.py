"""Which segments there are: everything is told, and nothing is changed."""

import builtins
import os
import time
from pathlib import Path

import pytest
from conftest import killed

import ipcx


def only(directory: Path) -> ipcx.Listed:
    [listed] = ipcx.list(directory)
    return listed


def test_a_ring_is_listed_with_who_uses_it(tmp_path: Path) -> None:
    assert ipcx.list(tmp_path) == []
    before = time.time_ns()
    ring = ipcx.Ring.create("a", capacity=8192, schema="trades/2", mode=0o640, wait="block", directory=tmp_path)
    with ring, ring.producer():
        listed = only(tmp_path)
        assert (listed.name, listed.kind, listed.state, listed.reason) == ("a", "ring", "in use", None)
        assert (listed.schema, listed.mode, listed.wait, listed.max_participants) == ("trades/2", 0o640, "block", 32)
        assert (listed.owner, listed.group) == (os.geteuid(), os.getegid())
        assert before <= listed.created <= time.time_ns()
        assert listed.size == (tmp_path / "ipcx.a").stat().st_size
        assert (listed.parameters, listed.system_v_key) == ({"capacity": 8192}, None)
        [participant] = listed.participants
        assert (participant.slot, participant.process.pid, participant.alive) == (0, os.getpid(), True)
        producer, consumer = listed.roles
        assert (producer.name, consumer.name) == ("producer", "consumer")
        assert (producer.name, producer.state, producer.process) == ("producer", "alive", participant.process)
        assert (consumer.state, consumer.process) == ("never", None)
        pid = os.getpid()
        assert repr(listed) == (
            f"Listed(name='a', kind='ring', state='in use', size={listed.size}, capacity=8192, "
            f"producer='alive {pid}', consumer='never', alive=[{pid}], dead=[])"
        )
        assert repr(participant) == f"ListedParticipant(slot=0, process={participant.process!r}, alive=True)"
        assert repr(consumer) == "ListedRole(name='consumer', state='never', process=None)"
        assert participant == only(tmp_path).participants[0]
    listed = only(tmp_path)
    assert (listed.state, listed.participants, listed.roles[0].state) == ("unused", [], "closed")


def test_every_kind_is_listed_by_name(tmp_path: Path) -> None:
    ipcx.Semaphore.create("d", limit=3, directory=tmp_path)
    ipcx.Pool.create("b", block_size=100, blocks=5, directory=tmp_path)
    ipcx.Buffer.create("c", capacity=77, directory=tmp_path)
    assert [(listed.name, listed.kind, listed.parameters, listed.roles) for listed in ipcx.list(tmp_path)] == [
        ("b", "pool", {"block_size": 100, "blocks": 5, "alignment": 64}, []),
        ("c", "buffer", {"capacity": 77}, []),
        ("d", "semaphore", {"limit": 3}, []),
    ]


def test_who_was_killed_is_listed_as_dead(tmp_path: Path) -> None:
    killed(lambda: ipcx.Ring.create("a", directory=tmp_path).consumer())
    listed = only(tmp_path)
    [participant] = listed.participants
    assert (listed.state, participant.alive) == ("unused", False)
    consumer = listed.roles[1]
    assert (consumer.name, consumer.state, consumer.process) == ("consumer", "dead", participant.process)
    assert f"consumer='dead {participant.process.pid}'" in repr(listed)


def test_who_serves_asks_and_subscribes_is_listed(tmp_path: Path) -> None:
    def roles() -> list[tuple[str, str]]:
        return [(role.name, role.state) for role in only(tmp_path).roles]

    with ipcx.Service.create("a", directory=tmp_path) as service, service.server(), service.client(), service.client():
        assert roles() == [("server", "alive"), ("client", "alive"), ("client", "alive")]
        assert f"server='alive {os.getpid()}'" in repr(only(tmp_path))
    assert roles() == []
    ipcx.unlink("a", directory=tmp_path)
    killed(lambda: ipcx.Topic.create("b", reliable=True, directory=tmp_path).subscriber())
    assert roles() == [("subscriber", "dead")]


def test_what_cannot_be_read_has_a_reason(tmp_path: Path) -> None:
    (tmp_path / "ipcx.empty").touch()
    os.mkfifo(tmp_path / "ipcx.fifo")
    (tmp_path / "other").touch()
    empty, fifo = ipcx.list(str(tmp_path))
    for listed in (empty, fifo):
        assert (listed.state, listed.kind, listed.participants, listed.parameters) == ("unreadable", None, [], {})
    assert "too short" in (empty.reason or "") and "'empty'" in (empty.reason or "")
    assert "not a regular file" in (fifo.reason or "")
    assert repr(empty) == f"Listed(name='empty', state='unreadable', size=0, reason={empty.reason!r})"


def test_the_default_directory_is_that_of_the_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPCX_DIR", str(tmp_path))
    ipcx.Ring.create("a")
    assert [listed.name for listed in ipcx.list()] == ["a"]
    with pytest.raises(ipcx.NotFound, match="none is not a directory"):
        ipcx.list(tmp_path / "none")


def test_importing_everything_does_not_hide_the_built_in() -> None:
    names: dict[str, object] = {}
    exec("from ipcx import *", names)
    assert names.get("list", builtins.list) is builtins.list
