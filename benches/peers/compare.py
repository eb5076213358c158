#!/usr/bin/env python3
"""Softstake and Kafka Streams do the same job on one broker in turn, and must pay the same. run.sh starts this."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time

import report
from processes import Broker, Probe, Process, end_all, megabytes, until

SOURCES = ["exchange.deposits", "exchange.withdrawals", "exchange.trades", "exchange.transfers", "exchange.accounts"]
CONTROL = "softstake.control"
HOUR = 3600
# Marks a folder that a comparison made, and that the next one may empty.
MARK = ".comparison"


class Softstake:
    name, group, inner = "softstake", "softstake", "softstake.ledger"
    seals, distributions = "softstake.epochs", "softstake.distributions"

    def command(self, setting, brokers, state):
        options = ["--bus", "kafka", "--kafka-brokers", brokers, "--kafka-instance", "peer", "--state", str(state)]
        return [setting.softstake, "run", *options]

    def topics(self, setting):
        """`softstake topics` makes all."""
        return {}


class WithoutTransactions(Softstake):
    """Nobody may be paid from its topics: the hidden option is for this measurement alone."""

    name = "without-transactions"

    def command(self, setting, brokers, state):
        options = ["--bench-without-transactions", "exactly-once-is-lost"]
        return [*super().command(setting, brokers, state), *options]


class Streams:
    name, group, inner = "streams", "peer-streams", "peer-streams-postings-repartition"
    seals, distributions = "peer.epochs", "peer.distributions"

    def command(self, setting, brokers, state):
        arguments = [brokers, str(state), str(setting.ledger_partitions), str(setting.threads)]
        return [*setting.java(), "-Xms2g", "-Xmx2g", *setting.java_options, "peer.Main", *arguments]

    def topics(self, setting):
        many = setting.ledger_partitions
        return {"peer.orders": many, "peer.answers": 1, "peer.distributions": many, "peer.epochs": 1}


class Comparison:
    """The broker, the input, and the two programs in turn."""

    def __init__(self, setting):
        self.setting = setting
        self.folder = pathlib.Path(setting.work)
        mark = self.folder / MARK
        if self.folder.exists() and any(self.folder.iterdir()) and not mark.exists():
            raise RuntimeError(f"{self.folder} is not empty, and no comparison made it: name another folder with --work")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        mark.touch()
        self.bus = self.folder / "bus"
        self.runs = 0

    def softstake(self, *arguments):
        command = [self.setting.softstake, *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}")

    def publish(self, folder):
        self.softstake("publish", "--from", str(folder), "--kafka-brokers", self.broker.address)

    def start(self):
        """Starts the broker, makes the input, and publishes the events, which stay for all rounds."""
        setting = self.setting
        self.broker = Broker(pathlib.Path(setting.kafka_libs), self.folder / "broker", free_port())
        self.probe = Probe(setting.java(), self.broker.address, self.folder / "probe.log")
        until("the broker answers", lambda: self.broker.check() or self.answers())
        tell(f"generating {setting.events:,} events")
        odd = ["--late", "0", "--bad", "0", "--duplicates", "0.01", "--seed", str(setting.seed)]
        sizes = ["events", "accounts", "assets", "epochs"]
        counts = [part for name in sizes for part in (f"--{name}", str(getattr(setting, name)))]
        partitions = ["--partitions", str(setting.topic_partitions)]
        self.softstake("gen", "--bus", f"dir:{self.bus}", *counts, *partitions, *odd)
        lines = (self.bus / CONTROL / "0.jsonl").read_bytes().splitlines(keepends=True)
        shutil.rmtree(self.bus / CONTROL)
        # What comes before the first addition to a pool, listings and changes of stage 0, is there before the events.
        first = next(at for at, line in enumerate(lines) if is_later(line))
        self.write_control("listings", lines[:first])
        self.write_control("closes", lines)
        closes = [json.loads(line)["data"] for line in lines if b"softstake.epoch_close.v1" in line]
        self.epochs = len({(close["asset"], int(float(close["epoch"]))) for close in closes})
        self.make_topics()
        tell("publishing them")
        self.publish(self.bus)

    def write_control(self, name, lines):
        topic = self.folder / name / CONTROL
        topic.mkdir(parents=True)
        (topic / "0.jsonl").write_bytes(b"".join(lines))

    def answers(self):
        return int(self.probe.ask("up")) > 0

    def make_topics(self):
        setting = self.setting
        ledger, sources = str(setting.ledger_partitions), str(setting.topic_partitions)
        sizes = ["--partitions", ledger, "--source-partitions", sources, "--output-partitions", ledger]
        self.softstake("topics", "--create", "--kafka-brokers", self.broker.address, *sizes)

    def measure(self, program, is_whole=True):
        """One run of a program from an empty state: all events, and if it is a whole one, a restart and all closes."""
        self.runs += 1
        setting = self.setting
        state = self.folder / f"state-{self.runs}-{program.name}"
        self.probe.ask("reset", "exchange.")
        self.make_topics()
        for topic, partitions in program.topics(setting).items():
            self.probe.ask("create", topic, partitions)
        self.publish(self.folder / "listings")
        # The broker deletes the files of the run before.
        time.sleep(3)
        state.mkdir()
        figures = self.ingest(program, state)
        if is_whole:
            figures |= self.restart(program, state)
            figures |= self.settle(program)
        figures["peak_mb"] = max(figures["peak_mb"], self.running.peak_mb())
        # A stop writes what is in memory.
        self.running.stop()
        figures["state_mb"] = megabytes(state)
        figures["topics_mb"] = sum(map(megabytes, self.own_topics()))
        shutil.rmtree(state)
        return figures

    def own_topics(self):
        """The folders of the broker that have the program's own topics: neither the input nor Kafka's own."""
        folders = (self.folder / "broker" / "data").iterdir()
        not_own = ("exchange.", "softstake.control-", "__")
        return [folder for folder in folders if folder.is_dir() and not folder.name.startswith(not_own)]

    def launch(self, program, state):
        command = program.command(self.setting, self.broker.address, state)
        self.running = Process(command, self.folder / f"{self.runs}-{program.name}.log")

    def processed(self, program):
        wait = ("processed", program.group, ",".join(SOURCES), program.inner, HOUR)
        answer = self.probe.ask(*wait)
        self.running.check()
        return answer

    def ingest(self, program, state):
        began, broker = time.monotonic(), self.broker.cpu()
        self.launch(program, state)
        until("its ledger is there", lambda: self.running.check() or self.has(program.inner), HOUR)
        self.processed(program)
        seconds = time.monotonic() - began
        cpu, broker_cpu = self.running.cpu(), self.broker.cpu() - broker
        events = self.setting.events
        return {
            "events_per_second": events / seconds,
            "ingest_seconds": seconds,
            "ingest_cpu": cpu,
            "ingest_broker_cpu": broker_cpu,
            "ingest_both_cpu": cpu + broker_cpu,
            "cpu_per_event_us": cpu / events * 1e6,
            "broker_cpu_per_event_us": broker_cpu / events * 1e6,
            "peak_mb": self.running.peak_mb(),
        }

    def has(self, topic):
        return self.probe.ask("exists", topic) == "true"

    def restart(self, program, state):
        """Kills it, publishes one more event, and starts it again."""
        self.running.kill()
        self.append(self.runs)
        began = time.monotonic()
        self.launch(program, state)
        self.processed(program)
        return {"restart_seconds": time.monotonic() - began, "restart_cpu": self.running.cpu()}

    def append(self, number):
        """Publishes a deposit that is dated in an epoch that is never closed, so it changes no payout."""
        event = {
            "specversion": "1.0",
            "id": f"after-restart-{number}",
            "source": "/benches/peers",
            "type": "exchange.deposit.v1",
            "time": "2027-06-01T00:00:00Z",
            "data": {"account": "u-000001", "asset": "ATOM", "amount": "1"},
        }
        topic = self.folder / "more" / SOURCES[-1]
        if not topic.exists():
            # `softstake publish` compares what the broker has with the files: these two begin alike.
            shutil.copytree(self.folder / "listings", self.folder / "more")
            topic.mkdir()
            shutil.copy(self.bus / SOURCES[-1] / "0.jsonl", topic)
        with open(topic / "0.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
        self.publish(self.folder / "more")

    def settle(self, program):
        began, cpu, broker = time.monotonic(), self.running.cpu(), self.broker.cpu()
        self.publish(self.folder / "closes")
        self.probe.ask("count", program.seals, self.epochs, HOUR)
        seconds = time.monotonic() - began
        cpu, broker = self.running.cpu() - cpu, self.broker.cpu() - broker
        payouts, digest = self.probe.ask("digest", program.distributions).split()
        return {
            "settle_seconds": seconds,
            "settle_cpu": cpu,
            "settle_cpu_per_payout_us": cpu / int(payouts) * 1e6,
            "settle_broker_cpu_per_payout_us": broker / int(payouts) * 1e6,
            "payouts": int(payouts),
            "digest": digest,
        }

    def round(self, number):
        """Both programs, in another order in every other round. Their payouts must be the same bytes."""
        programs = [Softstake(), Streams()]
        pair = {}
        for program in programs if number % 2 else reversed(programs):
            figures = self.measure(program)
            pair[program.name] = figures
            tell(
                f"round {number}, {program.name}: {figures['events_per_second']:,.0f} events/s, "
                f"{figures['cpu_per_event_us']:.2f} + {figures['broker_cpu_per_event_us']:.2f} µs an event, "
                f"restart {figures['restart_seconds']:.2f} s, {figures['payouts']:,} payouts "
                f"in {figures['settle_seconds']:.1f} s, {figures['settle_cpu_per_payout_us']:.2f} µs each"
            )
            if self.setting.dump:
                self.probe.ask("dump", program.distributions, self.folder / f"{program.name}.jsonl")
        ours, theirs = pair["softstake"], pair["streams"]
        if ours["payouts"] == 0 or (ours["payouts"], ours["digest"]) != (theirs["payouts"], theirs["digest"]):
            raise RuntimeError(
                f"round {number}: the payouts differ: {ours['payouts']} and {theirs['payouts']}, "
                f"{ours['digest']} and {theirs['digest']}; --dump writes them to {self.folder}"
            )
        return pair

    def exactly_once(self, number):
        """All events with transactions and without, in another order in every other pair."""
        programs = [Softstake(), WithoutTransactions()]
        pair = {}
        for program in programs if number % 2 else reversed(programs):
            figures = self.measure(program, is_whole=False)
            pair[program.name] = figures
            tell(
                f"pair {number}, {program.name}: {figures['ingest_seconds']:.2f} s, "
                f"{figures['cpu_per_event_us']:.2f} + {figures['broker_cpu_per_event_us']:.2f} µs an event"
            )
        return pair


def is_later(line):
    return any(kind in line for kind in (b"validator_reward.v1", b"pool_adjustment.v1", b"epoch_close.v1"))


def free_port():
    """A port that is free, with the next one, and below those that the system gives to outgoing connections."""
    for port in range(21_000, 29_000, 2):
        with socket.socket() as one, socket.socket() as two:
            try:
                one.bind(("127.0.0.1", port))
                two.bind(("127.0.0.1", port + 1))
                return port
            except OSError:
                continue
    raise RuntimeError("no port is free on 127.0.0.1")


def tell(text):
    print(text, file=sys.stderr, flush=True)


def output(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    return done.stdout.splitlines()[0]


def machine(setting):
    model = [line for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = pathlib.Path("/proc/meminfo").read_text().split()[1]
    jars = sorted(jar.stem for jar in pathlib.Path(setting.jars).glob("kafka-streams-*.jar"))
    return {
        "processor": f"{len(os.sched_getaffinity(0))} cores of {model[0].partition(': ')[2] if model else 'unknown'}",
        "memory": f"{int(memory) / 2**20:.0f} GB",
        "system": platform.platform(),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "date": datetime.date.today().isoformat(),
        "Softstake": output(setting.softstake, "--version"),
        "Kafka Streams": jars[0].removeprefix("kafka-streams-") if jars else "unknown",
        "broker": next(jar.stem for jar in pathlib.Path(setting.kafka_libs).glob("kafka-clients-*.jar")),
        "Java": output("java", "-version"),
    }


def settings():
    parser = argparse.ArgumentParser(description=__doc__)
    number = {"type": int, "metavar": "N"}
    parser.add_argument("--events", default=2_000_000, **number)
    parser.add_argument("--accounts", help="[default: a quarter of the events]", **number)
    parser.add_argument("--assets", default=4, choices=range(1, 5), **number)
    parser.add_argument("--epochs", default=2, choices=range(1, 5), help="1 to 4 [default: 2]", **number)
    parser.add_argument("--rounds", default=5, **number)
    parser.add_argument("--warm-up", default=2, help="rounds before them that are not counted [default: 2]", **number)
    parser.add_argument("--pairs", default=5, help="runs with transactions and without, at the end [default: 5]", **number)
    parser.add_argument("--topic-partitions", default=2, help="of each of the five source topics", **number)
    parser.add_argument("--ledger-partitions", default=4, **number)
    parser.add_argument("--threads", default=2, help="stream threads of Kafka Streams", **number)
    parser.add_argument("--seed", default=1, **number)
    parser.add_argument("--java-options", default="-XX:+UseParallelGC", help="for Kafka Streams", metavar="TEXT")
    parser.add_argument("--dump", action="store_true", help="keep the payouts of both as files")
    parser.add_argument("--work", required=True, help="a folder to empty and use", metavar="DIR")
    parser.add_argument("--softstake", required=True, help="the program", metavar="FILE")
    parser.add_argument("--jars", required=True, help="the jars of Kafka Streams and of the job", metavar="DIR")
    parser.add_argument("--kafka-libs", required=True, help="the jars of the broker", metavar="DIR")
    setting = parser.parse_args()
    setting.accounts = setting.accounts or max(setting.events // 4, 1)
    setting.java_options = setting.java_options.split()
    logging = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    setting.java = lambda: ["java", logging, "-cp", f"{setting.jars}/*"]
    return setting


def ended(number, _):
    tell(f"stopped by signal {number}; ending all processes")
    sys.exit(128 + number)


def main():
    setting = settings()
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, ended)
    facts = {
        "events": setting.events,
        "accounts": setting.accounts,
        "assets": setting.assets,
        "epochs": setting.epochs,
        "source_partitions": len(SOURCES) * setting.topic_partitions,
        "ledger_partitions": setting.ledger_partitions,
        "stream_threads": setting.threads,
        "warm_up": setting.warm_up,
        "machine": machine(setting),
    }
    comparison = Comparison(setting)
    try:
        comparison.start()
        rounds, pairs = [], []
        # A new broker compiles its code while it works, which costs it more than the work. One in production has run for days.
        for number in range(-setting.warm_up, 0):
            comparison.round(number)
        for number in range(1, setting.rounds + 1):
            rounds.append(comparison.round(number))
            facts |= {"rounds": number, "payouts": rounds[0]["softstake"]["payouts"]}
            # Written after each round: a comparison that is stopped keeps what it measured.
            text = report.write(comparison.folder, facts, rounds, pairs)
        for number in range(1, setting.pairs + 1):
            pairs.append(comparison.exactly_once(number))
            text = report.write(comparison.folder, facts, rounds, pairs)
        print(text)
        tell(f"results.json and results.md are in {comparison.folder}")
    finally:
        end_all()


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"the comparison failed: {error}")
