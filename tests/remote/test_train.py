import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import synthetic_stamps as synthetic

from darkhaloscope.errors import DataError
from darkhaloscope.hashing import sha256_file
from darkhaloscope.remote import train as remote
from darkhaloscope.remote.worker import read_answer, worker_environment
from darkhaloscope.training.loop import train


def test_a_process_killed_without_warning_goes_on_in_the_same_bytes(tmp_path):
    shards = synthetic.write_shards(tmp_path / "shards", train=256, val=16)
    straight = synthetic.request(shards, tmp_path / "straight", epochs=6)
    killed = synthetic.request(shards, tmp_path / "killed", epochs=6)
    path = killed.write(tmp_path / "request.json")
    state = Path(killed.output_dir, "_scratch", "state.pt")
    command = [sys.executable, "-m", "darkhaloscope.remote.train", str(path)]
    with subprocess.Popen(command, env=worker_environment(os.environ), stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while not state.exists() and process.poll() is None:
            assert time.monotonic() < deadline, "no epoch in two minutes"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not Path(killed.output_dir, "checkpoint.pt").exists()

    answer = tmp_path / "answer.json"
    assert remote.run(path, answer) == 0
    result = read_answer(answer.read_text())
    assert 1 <= result["resumed_from_epoch"] < 6
    assert result["checkpoint_sha256"] == train(straight)["checkpoint_sha256"]
    assert sha256_file(Path(killed.output_dir, "record.json")) == sha256_file(
        Path(straight.output_dir, "record.json")
    )


def test_a_users_error_is_answered_typed_with_status_one(tmp_path, caplog):
    shards = synthetic.write_shards(tmp_path / "shards", train=8, val=4)
    request = synthetic.request(shards[:1], tmp_path / "out").write(tmp_path / "request.json")
    assert remote.run(request, tmp_path / "answer.json") == 1
    assert "DataError: Split has no shards" in caplog.text
    with pytest.raises(DataError, match="Split has no shards"):
        read_answer((tmp_path / "answer.json").read_text())


def test_a_bug_is_answered_and_raised(tmp_path, monkeypatch):
    def broken(request, on_epoch):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(remote, "train", broken)
    shards = synthetic.write_shards(tmp_path / "shards", train=8, val=4)
    request = synthetic.request(shards, tmp_path / "out").write(tmp_path / "request.json")
    with pytest.raises(ZeroDivisionError):
        remote.run(request, tmp_path / "answer.json")
    error = json.loads((tmp_path / "answer.json").read_text())["error"]
    assert error["type"] == "ZeroDivisionError"
    assert "Traceback" in error["traceback"]
