"""Processes of a comparison: how they start and end, and what they use. All are ended by their ids."""

import ctypes
import os
import pathlib
import signal
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def _tie_to_parent():
    """Runs in the child: it must not outlive this program, however that ends."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpgrp()


class Process:
    """One running program. Its output goes to a log file."""

    started = []

    def __init__(self, command, log, **options):
        self.name = pathlib.Path(log).stem
        self.log = log
        with open(log, "ab") as output:
            options = {"stdout": output, "stderr": output, "stdin": subprocess.DEVNULL, **options}
            self.child = subprocess.Popen(command, preexec_fn=_tie_to_parent, **options)
        Process.started.append(self)

    def check(self):
        """Fails if it has ended."""
        if self.child.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.child.returncode}; its log is {self.log}\n{self.tail()}")

    def tail(self):
        return "\n".join(pathlib.Path(self.log).read_text(errors="replace").splitlines()[-20:])

    def cpu(self):
        """Seconds of processor time so far, of ended children too."""
        self.check()
        stat = pathlib.Path(f"/proc/{self.child.pid}/stat").read_text()
        # The name before the last bracket may have blanks.
        fields = stat.rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15]) / TICKS

    def peak_mb(self):
        """The most memory that was resident so far."""
        for line in pathlib.Path(f"/proc/{self.child.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError(f"no peak memory of {self.name}")

    def kill(self):
        """Ends it with SIGKILL."""
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()

    def stop(self, seconds=90):
        """Ends it with SIGTERM, and with SIGKILL if that does not help."""
        if self.child.poll() is None:
            self.child.terminate()
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()


def end_all():
    """Ends all processes, the newest first."""
    while Process.started:
        Process.started.pop().kill()


class Probe(Process):
    """The Java program that looks at the broker. One clock measures all programs: that of this process."""

    def __init__(self, java, brokers, log):
        super().__init__([*java, "probe.Probe", brokers], log, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        self.check()
        self.child.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline().rstrip("\n")
        outcome, _, result = answer.partition(" ")
        if outcome != "ok":
            raise RuntimeError(f"{words[0]}: {answer or 'the probe ended'}; its log is {self.log}")
        return result


class Broker(Process):
    """One Kafka broker, with the options of Kafka's own start command."""

    OPTIONS = ("-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35")

    def __init__(self, libs, folder, port):
        folder.mkdir(parents=True)
        self.address = f"127.0.0.1:{port}"
        properties = folder / "broker.properties"
        properties.write_text(self.properties(folder, port))
        jars = ":".join(sorted(str(jar) for jar in libs.glob("*.jar")))
        java = ["java", *self.OPTIONS, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", jars]
        form = [*java, "kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c", str(properties)]
        subprocess.run(form, check=True, stdout=subprocess.DEVNULL)
        super().__init__([*java, "kafka.Kafka", str(properties)], folder / "broker.log")

    @staticmethod
    def properties(folder, port):
        return "\n".join(
            [
                "process.roles=broker,controller",
                "node.id=0",
                f"controller.quorum.voters=0@127.0.0.1:{port + 1}",
                f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{port + 1}",
                "controller.listener.names=CONTROLLER",
                f"log.dirs={folder / 'data'}",
                "auto.create.topics.enable=false",
                "default.replication.factor=1",
                "group.initial.rebalance.delay.ms=0",
                "min.insync.replicas=1",
                # Topics of the round before must not fill the disk.
                "log.segment.delete.delay.ms=1000",
                "offsets.topic.replication.factor=1",
                "transaction.state.log.min.isr=1",
                "transaction.state.log.replication.factor=1",
                "",
            ]
        )


def until(what, holds, seconds=60):
    """Waits until a condition holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"gave up waiting until {what}")
        time.sleep(0.05)


def megabytes(folder):
    """What a folder takes on disk."""
    blocks = 0
    for path in pathlib.Path(folder).rglob("*"):
        try:
            blocks += path.lstat().st_blocks
        except FileNotFoundError:
            # RocksDB removes files at any time.
            pass
    return blocks * 512 / 2**20
