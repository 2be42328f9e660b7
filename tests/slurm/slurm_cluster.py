"""A Slurm cluster on this one machine: slurmctld and several slurmd, each a "node", as any user, in a folder of its own.

Without munge, cgroups and systemd: authentication is off, so it listens on the loopback only and lives as long as the
`with` block. The pretended GPUs are terminals: Slurm only wants character devices to count.
"""

import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import time

PROGRAMS = ["slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo"]
# Debian installs the daemons where an ordinary user's PATH does not look.
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"

CONFIGURATION = """
ClusterName=espalier
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/none
CredType=cred/none
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/log/jobcomp.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
MessageTimeout=5
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SlurmdParameters=config_overrides
MailProg=/bin/true
NodeName=w[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs=8 RealMemory=4096 Gres=gpu:test:1 State=UNKNOWN
PartitionName=gpu Nodes=ALL Default=YES MaxTime=60 DefMemPerCPU=64 PriorityTier=1 PreemptMode=REQUEUE GraceTime=0 State=UP
PartitionName=urgent Nodes=ALL MaxTime=60 DefMemPerCPU=64 PriorityTier=10 PreemptMode=OFF State=UP
"""


def missing_programs():
    return [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]


def free_ports(count):
    """The first of `count` ports in a row that nobody listens on."""
    for first in range(21000 + os.getpid() % 2000 * 5, 60000, 50):
        sockets = []
        try:
            for port in range(first, first + count):
                probe = socket.socket()
                sockets.append(probe)
                probe.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
        finally:
            for probe in sockets:
                probe.close()
    raise AssertionError("no free ports")


class SlurmCluster:
    def __init__(self, folder, nodes=3):
        self.folder = pathlib.Path(folder)
        self.nodes = nodes
        self.daemons = []
        self.environment = dict(os.environ, PATH=PATH, SLURM_CONF=str(self.folder / "etc" / "slurm.conf"))

    def __enter__(self):
        for name in ["etc", "run", "log", "state", "out"] + [f"spool/w{i + 1}" for i in range(self.nodes)]:
            (self.folder / name).mkdir(parents=True)
        port = free_ports(self.nodes + 1)
        host = socket.gethostname().split(".")[0]
        text = CONFIGURATION.format(host=host, port=port, user=pwd.getpwuid(os.getuid()).pw_name, folder=self.folder, nodes=self.nodes,
                                    first=port + 1, last=port + self.nodes)
        (self.folder / "etc" / "slurm.conf").write_text(text.lstrip())
        # Version 22.05 always loads a cgroup plugin; this one is there on every machine and nothing uses it.
        (self.folder / "etc" / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        (self.folder / "etc" / "gres.conf").write_text(f"AutoDetect=off\nNodeName=w[1-{self.nodes}] Name=gpu Type=test File=/dev/tty0\n")
        try:
            self._start("slurmctld", "-D")
            self._wait(lambda: "UP" in self.run("scontrol", "ping", check=False), "slurmctld answers")
            for node in range(self.nodes):
                self._start("slurmd", "-D", "-N", f"w{node + 1}")
            self._wait(lambda: self.run("sinfo", "-h", "-N", "-p", "gpu", "-o", "%T").split() == ["idle"] * self.nodes, "all nodes are idle")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.run("scancel", "-f", "-u", pwd.getpwuid(os.getuid()).pw_name, check=False)
        end = time.monotonic() + 15
        while self.run("squeue", "-h", check=False).strip() and time.monotonic() < end:
            time.sleep(0.3)
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def kill_controller(self):
        """slurmctld, as a machine that fails; what runs on the nodes goes on."""
        self.daemons[0].kill()
        self.daemons.pop(0).wait()

    def start_controller(self):
        self._start("slurmctld", "-D")
        self.daemons.insert(0, self.daemons.pop())
        self._wait(lambda: "UP" in self.run("scontrol", "ping", check=False), "slurmctld answers again", 60)

    def kill_node(self, node):
        """slurmd and everything that runs there, as when a machine loses power."""
        daemon = next(daemon for daemon in self.daemons if daemon.args[-1] == node)
        self.daemons.remove(daemon)
        daemon.kill()
        daemon.wait()
        doomed = {}
        for entry in pathlib.Path("/proc").iterdir():
            try:
                variables = (entry / "environ").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if f"SLURMD_NODENAME={node}".encode() in variables and f"SLURM_CONF={self.environment['SLURM_CONF']}".encode() in variables:
                    doomed[int(entry.name)] = ""
                    if (pathlib.Path("/proc") / str(parent) / "comm").read_text().startswith("slurmstepd"):
                        doomed[parent] = "step"
            except (OSError, ValueError):
                continue
        for pid in sorted(doomed, key=lambda pid: doomed[pid] != "step"):  # the step first: it must not report how its job ended
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return len(doomed)

    def start_node(self, node):
        self._start("slurmd", "-D", "-N", node)
        self._wait(lambda: self.run("sinfo", "-h", "-n", node, "-p", "gpu", "-o", "%T").strip() in ("idle", "mixed", "allocated"), f"{node} is back", 60)

    def _start(self, *command):
        out = open(self.folder / "log" / f"{command[0]}-{len(self.daemons)}.out", "ab")
        self.daemons.append(subprocess.Popen(command, env=self.environment, stdout=out, stderr=out, start_new_session=True))

    def _wait(self, condition, what, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for daemon in self.daemons:
                if daemon.poll() is not None:
                    raise AssertionError(f"{daemon.args} ended with {daemon.returncode}: {self.log_tail()}")
            if condition():
                return
            time.sleep(0.1)
        raise AssertionError(f"did not happen within {seconds} s: {what}: {self.log_tail()}")

    def run(self, *command, check=True, environment=None):
        process = subprocess.run(command, env={**self.environment, **(environment or {})}, capture_output=True, text=True, timeout=60)
        if check and process.returncode != 0:
            raise AssertionError(f"{command}: exit code {process.returncode}: {process.stderr}")
        return process.stdout

    def log_tail(self):
        return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-1500:]}" for path in sorted((self.folder / "log").iterdir()))
