"""The embedded PostgreSQL leaves nothing outside its directory, however it ends."""

from pathlib import Path

from ops.demo.embedded.postgres import EmbeddedPostgres


def test_a_server_has_no_files_in_shared_memory(postgres_server: EmbeddedPostgres) -> None:
    """A server that is killed would leave them there, 1 MB each."""
    assert postgres_server.process is not None
    mapped = Path(f"/proc/{postgres_server.process.pid}/maps").read_text()
    assert str(postgres_server.data / "pg_dynshmem") in mapped
    assert "/PostgreSQL." not in mapped
