"""The secret of a laptop: made once, the same for everybody who starts there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from promptlab.lib.localsecret import local_secret

READ = "import sys, pathlib; from promptlab.lib.localsecret import local_secret; print(local_secret(pathlib.Path(sys.argv[1])))"


def test_it_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secret_key"
    secret = local_secret(path)
    assert len(secret) >= 50
    assert local_secret(path) == secret
    assert path.stat().st_mode & 0o077 == 0
    assert [file.name for file in tmp_path.iterdir()] == ["secret_key"]


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    command = [sys.executable, "-c", READ, str(tmp_path / "secret_key")]
    root = Path(__file__).parents[2]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) for _ in range(4)]
    said = {process.communicate(timeout=60)[0].strip() for process in started}
    assert len(said) == 1
    assert len(said.pop()) >= 50
    assert [file.name for file in tmp_path.iterdir()] == ["secret_key"]
