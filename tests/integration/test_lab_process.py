"""The lab's process and commands: started, broken and healed from a shell, and gone when its owner is."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.lab.cli import app
from monitor.lab.control import LabError
from monitor.lab.process import LabServer


def gone(pid: int, within: float = 5.0) -> bool:
    """Whether the process has ended within so many seconds."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_stop_leaves_no_process_and_no_listener() -> None:
    lab = LabServer().start()
    pid, port = lab.pid, int(lab.url.rpartition(":")[2])
    assert pid is not None
    lab.switch_on("hang")
    lab.stop()
    lab.stop()
    assert gone(pid)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_the_lab_ends_with_the_process_that_started_it() -> None:
    script = "from monitor.lab.process import LabServer; import time; lab = LabServer().start()"
    script += "; print(lab.pid, flush=True); time.sleep(60)"
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    with owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.send_signal(signal.SIGKILL)
    assert gone(pid)


def test_a_taken_port_and_missing_weights_are_said_in_one_line(lab_server: LabServer, tmp_path: Path) -> None:
    port = int(lab_server.url.rpartition(":")[2])
    with pytest.raises(LabError, match=f"error: cannot serve on 127.0.0.1:{port}: Address already in use"):
        LabServer(port).start()
    with pytest.raises(LabError, match=r"error: no weights in .*base"):
        LabServer(weights=tmp_path).start()


def test_faults_are_switched_from_the_command_line(lab_server: LabServer) -> None:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, [*arguments, "--url", lab_server.url])
        assert result.exit_code == 0, result.output
        return result.output

    assert run("fault", "routed-to-base", "--share", "0.5", "--param", "sticky=seed") == (
        'on: routed-to-base (models=["lab-support"], share=0.5, sticky="seed")\n'
    )
    assert "ON   routed-to-base: A share of the requests" in run("faults")
    assert run("fault", "--off") == "off: routed-to-base\n"
    assert run("fault", "--off", "hang") == "nothing was on\n"


def test_mistakes_at_the_command_line_exit_2(lab_server: LabServer) -> None:
    for arguments, said in (
        (["fault", "hung", "--url", lab_server.url], "did you mean 'hang'?"),
        (["fault", "--url", lab_server.url], "which fault?"),
        (["fault", "hang", "--param", "seconds", "--url", lab_server.url], "not of the form key=value"),
        (["faults", "--url", "http://127.0.0.1:9"], "no lab answers at http://127.0.0.1:9"),
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 2
        assert said in result.output
