"""A Slurm cluster of one node on this machine, started for the tests and stopped after them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEEDED = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel")
_CONF = """\
ClusterName=tests
SlurmctldHost={host}
SlurmUser=root
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
MpiDefault=none
ReturnToService=2
KillWait=2
MinJobAge=60
NodeName={host} CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """Return why a cluster cannot run here, empty if it can."""
    missing = [name for name in NEEDED if shutil.which(name, path=_path()) is None]
    if missing:
        return f"Slurm is not installed here: no {', '.join(missing)} (Debian: slurm-wlm, munge)"
    if os.geteuid() != 0:
        return "the daemons of Slurm need root"
    return ""


@contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """Start munge, controller and node; yield the environment that finds them."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    host = socket.gethostname().split(".")[0]
    conf = folder / "slurm.conf"
    conf.write_text(_CONF.format(host=host, controller=_free_port(), node=_free_port(), folder=folder))
    environment = {"SLURM_CONF": str(conf), "PATH": _path()}
    everything = {**os.environ, **environment}
    own_munge = _start_munge()
    try:
        subprocess.run(["slurmctld", "-c", "-f", conf], check=True, env=everything)
        subprocess.run(["slurmd", "-f", conf], check=True, env=everything)
        _wait_until_idle(everything)
        yield environment
    finally:
        subprocess.run(["scancel", "--user=root"], check=False, env=everything)
        subprocess.run(["scontrol", "shutdown"], check=False, env=everything, capture_output=True)
        if own_munge:
            subprocess.run(["pkill", "-x", "munged"], check=False)


def _start_munge() -> bool:
    """Start munge if it does not run; say whether it was started."""
    if subprocess.run(["pgrep", "-x", "munged"], check=False, capture_output=True).returncode == 0:
        return False
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge", "munge")
    subprocess.run(["runuser", "-u", "munge", "--", "/usr/sbin/munged"], check=True)
    return True


def _wait_until_idle(environment: dict[str, str]) -> None:
    deadline = time.monotonic() + 60
    while True:
        done = subprocess.run(
            ["sinfo", "--noheader", "--format=%t"],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
        )
        if done.stdout.strip() == "idle":
            return
        assert time.monotonic() < deadline, f"no idle node: {done.stdout} {done.stderr}"
        time.sleep(0.3)


def _path() -> str:
    return os.environ["PATH"] + os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
