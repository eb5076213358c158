#!/usr/bin/env python3
"""Credits Softstake's sealed distributions in a SQLite database, each exactly once, and publishes their executions.

The same rules, tables and flags as ../payout_consumer, whose README has the guarantees and the reasons. To copy: this file and
requirements.txt. Replace `credits` and `balances` by your own ledger. A supervisor has to start it again when it ends.
"""
import argparse, contextlib, fcntl, hashlib, json, os, re, sqlite3, sys, time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

DISTRIBUTIONS, EPOCHS = "softstake.distributions", "softstake.epochs"
ANSWER_S, REFRESH_S, HOUR_S = 15, 10, 3600
SCALE = 10**18
DANGEROUS = ("plugin.", "ssl.engine.", "ssl.providers", "sasl.kerberos.", "sasl.oauthbearer.assertion.private.key.file",
             "sasl.oauthbearer.assertion.jwt.template.file", "sasl.oauthbearer.assertion.file")
SCHEMA = """
CREATE TABLE IF NOT EXISTS offsets (topic TEXT NOT NULL, partition_number BIGINT NOT NULL, next_offset BIGINT NOT NULL,
    PRIMARY KEY (topic, partition_number));
-- Amounts are of the reward asset, here and below.
CREATE TABLE IF NOT EXISTS distributions (id TEXT PRIMARY KEY, asset TEXT NOT NULL, epoch BIGINT NOT NULL, bucket BIGINT NOT NULL,
    account TEXT NOT NULL, reward_asset TEXT NOT NULL, amount TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS distributions_as_leaves ON distributions (asset, epoch, bucket, account);
-- waiting: not judged yet. held: judged wrong, nothing is credited. paying: judged right. paid: all are credited.
CREATE TABLE IF NOT EXISTS seals (asset TEXT NOT NULL, epoch BIGINT NOT NULL, reward_asset TEXT NOT NULL,
    distributions BIGINT NOT NULL, distributed TEXT NOT NULL, root TEXT NOT NULL, status TEXT NOT NULL CHECK (status IN ('waiting', 'held', 'paying', 'paid')), reason TEXT NOT NULL,
    PRIMARY KEY (asset, epoch));
CREATE TABLE IF NOT EXISTS conflicts (topic TEXT NOT NULL, partition_number BIGINT NOT NULL, record_offset BIGINT NOT NULL,
    asset TEXT NOT NULL, epoch BIGINT NOT NULL, what TEXT NOT NULL, PRIMARY KEY (topic, partition_number, record_offset));
CREATE TABLE IF NOT EXISTS credits (distribution TEXT PRIMARY KEY REFERENCES distributions (id), reward_asset TEXT NOT NULL,
    account TEXT NOT NULL, amount TEXT NOT NULL, credited_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS balances (reward_asset TEXT NOT NULL, account TEXT NOT NULL, balance TEXT NOT NULL,
    PRIMARY KEY (reward_asset, account));
CREATE TABLE IF NOT EXISTS outbox (number BIGINT PRIMARY KEY, distribution TEXT NOT NULL, event TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS publisher (one_row BIGINT PRIMARY KEY CHECK (one_row = 1), database_id TEXT NOT NULL,
    added BIGINT NOT NULL, attempted BIGINT NOT NULL, published BIGINT NOT NULL);
INSERT INTO publisher VALUES (1, lower(hex(randomblob(16))), 0, 0, 0) ON CONFLICT DO NOTHING;
"""


class Stop(Exception):
    """A person has to act."""


def log(message):
    """Names and reasons come from records, so what a terminal might execute or hide is escaped."""
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in message)
    print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), escaped, file=sys.stderr, flush=True)


# ---- records

def units(text):
    """An amount as a whole number of 10^-18. Only its canonical form is read: a Merkle leaf hashes the text."""
    match = re.fullmatch(r"(0|[1-9][0-9]*)(?:\.([0-9]{0,17}[1-9]))?", text, re.ASCII) if len(text) <= 100 else None
    if not match:
        raise ValueError(f"its amount {text!r} is not a plain decimal number without needless zeros")
    return int(match[1]) * SCALE + int((match[2] or "").ljust(18, "0"))


def decimal(amount):
    whole, fraction = divmod(amount, SCALE)
    return f"{whole}.{fraction:018}".rstrip("0").rstrip(".")


def members(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is given twice")
    return found


def field(of, name, kind):
    value = of.get(name) if isinstance(of, dict) else None
    if type(value) is not kind or (kind is int and not -(2**63) <= value < 2**63):
        raise ValueError(f"its field {name!r} is missing or has another type")
    return value


def decode(topic, value):
    """The id and the data of a record that Softstake published; the order of the data is that of its table."""
    kind = "softstake.distribution.v1" if topic == DISTRIBUTIONS else "softstake.epoch_settled.v1"
    try:
        event = json.loads((value or b"").decode(), object_pairs_hook=members, parse_constant=members)
        if field(event, "specversion", str) != "1.0" or field(event, "type", str) != kind:
            raise ValueError(f"it is no {kind!r} of CloudEvents 1.0")
        name, data = field(event, "id", str), field(event, "data", dict)
        asset, epoch, reward_asset = field(data, "asset", str), field(data, "epoch", int), field(data, "reward_asset", str)
        if topic == DISTRIBUTIONS:
            account, amount = field(data, "account", str), field(data, "amount", str)
            expected, row = f"{asset}:{epoch}:{account}", (name, asset, epoch, bucket(account), account, reward_asset, amount)
            if units(amount) == 0:
                raise ValueError("its amount is zero")
        else:
            expected, sum_ = f"{asset}:{epoch}", field(data, "distributed", str)
            row = (asset, epoch, reward_asset, field(data, "distributions", int), sum_, field(data, "root", str))
            units(sum_)
        if name != expected:
            raise ValueError(f"its id {name!r} is not {expected!r}")
        "".join(str(part) for part in row).encode()  # half a surrogate pair is no text
        return row
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None


# ---- the Merkle root of an epoch: RFC 6962, one tree per bucket of accounts, and one over the roots of the 4,096 buckets

def bucket(account):
    owner = account.split("/")[0] or account  # An account that begins with "/" is its own owner.
    return int.from_bytes(hashlib.sha256(owner.encode()).digest()[:2], "big") >> 4


class Tree:
    """Built leaf by leaf: the roots of its full subtrees, whose sizes are the bits of the number of leaves."""

    def __init__(self):
        self.subtrees, self.leaves = [], 0

    def push(self, leaf):
        node, count = hashlib.sha256(b"\0" + leaf).digest(), self.leaves
        while count & 1:
            node, count = hashlib.sha256(b"\1" + self.subtrees.pop() + node).digest(), count >> 1
        self.subtrees.append(node)
        self.leaves += 1

    def root(self):
        if not self.subtrees:
            return hashlib.sha256().digest()
        *before, node = self.subtrees
        for left in reversed(before):
            node = hashlib.sha256(b"\1" + left + node).digest()
        return node


def root(leaves):
    """The root over (bucket, account, id, amount), sorted by bucket and by the bytes of the account."""
    trees, last = [Tree() for _ in range(4096)], (-1, b"")
    for number, account, name, amount in leaves:
        if (number, account.encode()) <= last:
            raise Stop(f"the database: account {account!r} is out of order")
        last = (number, account.encode())
        trees[number].push(f"{name}|{amount}".encode())
    whole = Tree()
    for tree in trees:
        whole.push(tree.root())
    return whole.root().hex()


# ---- the database

class Database:
    def __init__(self, url, batch):
        if not url.startswith("sqlite:"):
            raise Stop("the database must be sqlite:PATH")
        path, self.batch = url.removeprefix("sqlite:").removeprefix("//"), batch
        self.lock = open(f"{path}.lock", "w")  # released when the process ends
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Stop("another instance runs on this database; only one is allowed") from None
        self.sql = sqlite3.connect(path, isolation_level=None)
        self.sql.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + SCHEMA)
        self.offsets = {(t, p): o for t, p, o in self.sql.execute("SELECT * FROM offsets")}

    @contextlib.contextmanager
    def step(self):
        """A transaction: all or nothing."""
        self.sql.execute("BEGIN IMMEDIATE")
        try:
            yield self.sql.execute
        except BaseException:
            self.sql.execute("ROLLBACK")
            raise
        self.sql.execute("COMMIT")

    def seals(self, status):
        columns = "asset, epoch, reward_asset, distributions, distributed, root"
        return self.sql.execute(f"SELECT {columns} FROM seals WHERE status = ? ORDER BY epoch, asset", [status]).fetchall()

    def take(self, records, positions):
        """Stores records and the new positions in one transaction."""
        if positions == self.offsets:
            return
        with self.step() as sql:
            for (topic, partition), offset in positions.items():
                known = sql("SELECT next_offset FROM offsets WHERE topic = ? AND partition_number = ?", [topic, partition]).fetchone()
                if known != (None if (topic, partition) not in self.offsets else (self.offsets[topic, partition],)):
                    raise Stop("the database: another instance works on it, or somebody changed it by hand")
                sql("INSERT OR REPLACE INTO offsets VALUES (?, ?, ?)", [topic, partition, offset])
            conflicts = []
            for place, row in records:
                what = self.distribution(sql, row) if place[0] == DISTRIBUTIONS else self.seal(sql, row)
                if what:
                    asset, epoch = (row[1], row[2]) if place[0] == DISTRIBUTIONS else row[:2]
                    sql("INSERT INTO conflicts VALUES (?, ?, ?, ?, ?, ?)", [*place, asset, epoch, what])
                    conflicts.append(f"{asset} epoch {epoch}: {what} ({place[0]}, partition {place[1]}, offset {place[2]})")
        self.offsets = dict(positions)
        for conflict in conflicts:
            log(conflict)

    def distribution(self, sql, row):
        """Adds a distribution. Returns what is wrong if it contradicts another one, or is too late."""
        name, asset, epoch, _, _, reward_asset, amount = row
        sql("UPDATE seals SET status = 'waiting' WHERE asset = ? AND epoch = ? AND status = 'held'", [asset, epoch])
        judged = sql("SELECT 1 FROM seals WHERE asset = ? AND epoch = ? AND status <> 'waiting'", [asset, epoch]).fetchone()
        if not judged:
            sql("INSERT INTO distributions VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", row)
        known = sql("SELECT amount, reward_asset FROM distributions WHERE id = ?", [name]).fetchone()
        if known is None:
            return f"distribution {name!r} of {amount} {reward_asset} came after the epoch was judged right"
        same = known == (amount, reward_asset)
        return None if same else f"distribution {name!r} of {amount} {reward_asset} was first published with {known[0]} {known[1]}"

    def seal(self, sql, row):
        columns = "asset, epoch, reward_asset, distributions, distributed, root"
        sql(f"INSERT INTO seals ({columns}, status, reason) VALUES (?, ?, ?, ?, ?, ?, 'waiting', '') ON CONFLICT DO NOTHING", row)
        known = sql(f"SELECT {columns} FROM seals WHERE asset = ? AND epoch = ?", row[:2]).fetchone()
        return None if known == row else f"a second seal says {row[3]} distributions of {row[4]} {row[2]}, root {row[5]}"

    def judge(self, seal):
        """An epoch is paid if count, sum, Merkle root and reward asset of its distributions are the seal's, and no record
        contradicts another."""
        asset, epoch, reward_asset, distributions, distributed, sealed = seal
        count, total, in_another_asset = 0, 0, []

        def leaves(rows):
            nonlocal count, total
            for *leaf, paid_in in rows:
                count, total = count + 1, total + units(leaf[3])
                if paid_in != reward_asset and not in_another_asset:  # the root covers ids and amounts only
                    in_another_asset.append(f"distribution {leaf[2]!r} is paid in {paid_in}, the seal says {reward_asset}")
                yield leaf

        with self.step() as sql:
            rows = sql("""SELECT bucket, account, id, amount, reward_asset FROM distributions WHERE asset = ? AND epoch = ?
                          ORDER BY bucket, account""", [asset, epoch])
            found = root(leaves(rows))
            reasons = [f"there are {count} distributions, the seal says {distributions}"] if count != distributions else []
            if total != units(distributed):
                reasons.append(f"they add up to {decimal(total)}, the seal says {distributed}")
            if found != sealed:
                reasons.append(f"their Merkle root is {found}, the seal says {sealed}")
            rows = sql("SELECT what FROM conflicts WHERE asset = ? AND epoch = ? LIMIT 10", [asset, epoch])
            reason = "; ".join(reasons + in_another_asset + [what for (what,) in rows])
            sql("UPDATE seals SET status = ?, reason = ? WHERE asset = ? AND epoch = ? AND status = 'waiting'",
                ["held" if reason else "paying", reason, asset, epoch])
        if reason:
            log(f"{asset} epoch {epoch} is held and nothing of it is paid: {reason}")

    def pay(self, seal):
        """Credits an epoch that was judged right, one batch per transaction. Each credit adds its execution to the outbox."""
        asset, epoch, reward_asset, distributions, distributed, sealed = seal
        credited, after = 0, (-1, "")
        while True:
            with self.step() as sql:
                page = sql("""SELECT bucket, account, id, amount FROM distributions WHERE asset = ? AND epoch = ?
                              AND (bucket, account) > (?, ?) ORDER BY bucket, account LIMIT ?""",
                           [asset, epoch, *after, self.batch]).fetchall()
                credited += len(page)
                if not page:
                    if credited != distributions:
                        raise Stop(f"the database: somebody changed the distributions of {asset} by hand")
                    sql("UPDATE seals SET status = 'paid' WHERE asset = ? AND epoch = ? AND status = 'paying'", [asset, epoch])
                    break
                (now,) = sql("SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')").fetchone()
                for number, account, name, amount in page:
                    new = sql("INSERT INTO credits VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                              [name, reward_asset, account, amount, now])
                    if new.rowcount == 1:
                        balance = sql("SELECT balance FROM balances WHERE reward_asset = ? AND account = ?",
                                      [reward_asset, account]).fetchone()
                        balance = units(amount) + (units(balance[0]) if balance else 0)
                        sql("INSERT OR REPLACE INTO balances VALUES (?, ?, ?)", [reward_asset, account, decimal(balance)])
                        event = {"specversion": "1.0", "id": name, "source": "/payouts", "type": "payout.executed.v1", "time": now,
                                 "data": {"distribution": name, "amount": amount, "credited_at": now}}
                        sql("UPDATE publisher SET added = added + 1")
                        sql("INSERT INTO outbox SELECT added, ?, ? FROM publisher", [name, json.dumps(event, ensure_ascii=False)])
                after = page[-1][:2]
        log(f"{asset} epoch {epoch} is paid: {distributions} distributions of {distributed} {reward_asset}, root {sealed}")

    def next_executions(self, published):
        """Records that all executions up to `published` are on the topic, and that the next ones may be from now on."""
        with self.step() as sql:
            rows = sql("SELECT number, distribution, event FROM outbox WHERE number > ? ORDER BY number LIMIT ?",
                       [published, self.batch]).fetchall()
            sql("UPDATE publisher SET attempted = ?, published = ?", [rows[-1][0] if rows else published, published])
            sql("DELETE FROM outbox WHERE number <= ?", [published])
        return rows


# ---- Kafka

def wait_or_stop(error):
    """Goes on after errors from which the client recovers by itself. Every other error might cost records."""
    if error.code() == KafkaError._AUTO_OFFSET_RESET:
        raise Stop(f"the next record is gone: it was deleted before it was read, or the topic was created again ({error.str()})")
    passing = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._TIMED_OUT,
               KafkaError._TIMED_OUT_QUEUE, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_AUTHORIZATION_FAILED)
    if error.fatal() or not (error.retriable() or error.code() in passing):
        raise Stop(f"Kafka: {error.str()}")
    log(f"waiting for the brokers: {error.str()}")


class Reader:
    """Reads all partitions of both topics. It is in no consumer group: the positions are in the database."""

    def __init__(self, config, positions):
        self.consumer = Consumer({**config, "isolation.level": "read_committed"})
        self.ends_of = Consumer({**config, "isolation.level": "read_uncommitted"})
        self.positions, self.refreshed = {}, -REFRESH_S
        self.assign(dict(positions))

    def assign(self, positions):
        if positions:
            self.consumer.incremental_assign([TopicPartition(t, p, offset) for (t, p), offset in positions.items()])
            self.positions.update(positions)

    def watermarks(self):
        """Start and end of each partition, open transactions included; None if the brokers do not answer."""
        try:
            found = {}
            for topic in (DISTRIBUTIONS, EPOCHS):
                metadata = self.ends_of.list_topics(topic, ANSWER_S).topics[topic]
                if metadata.error and metadata.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise KafkaException(metadata.error)
                for partition in metadata.partitions:
                    found[topic, partition] = self.ends_of.get_watermark_offsets(TopicPartition(topic, partition), ANSWER_S)
            return found
        except KafkaException as error:
            return wait_or_stop(error.args[0])

    def poll(self, limit):
        if time.monotonic() - self.refreshed >= REFRESH_S and (found := self.watermarks()) is not None:
            self.refreshed = time.monotonic()
            self.assign({key: start for key, (start, _) in found.items() if key not in self.positions})
        records = []
        self.ends_of.poll(0)
        for message in self.consumer.consume(limit, 0.5):
            if message.error():
                wait_or_stop(message.error())
                continue
            place = message.topic(), message.partition(), message.offset()
            try:
                if place[2] < self.positions[place[:2]]:
                    raise ValueError("its offset is out of order")
                records.append((place, decode(place[0], message.value())))
            except ValueError as error:
                raise Stop(f"{place[0]}, partition {place[1]}, offset {place[2]} cannot be read: {error}") from None
            self.positions[place[:2]] = place[2] + 1
        # Past the markers at the end of transactions, which are no records.
        for at in self.consumer.position([TopicPartition(*key) for key in self.positions]):
            self.positions[at.topic, at.partition] = max(self.positions[at.topic, at.partition], at.offset)
        return records

    def reached(self, ends):
        return all(self.positions.get(key, -1) >= end for key, (_, end) in ends.items())


class Publisher:
    """Publishes the outbox. One transaction of Kafka writes some rows and moves the position, a committed offset of the group."""

    def __init__(self, config, args, database):
        self.config, self.args, self.database = config, args, database
        self.producer, self.retry, self.pause = None, 0, 1

    def publish(self):
        """Returns whether the outbox is empty. While the brokers are away, executions wait in it and payments go on."""
        if self.producer is None and time.monotonic() < self.retry:
            return False
        try:
            if self.producer is None:
                self.register()
            while rows := self.database.next_executions(self.position):
                self.commit(rows, rows[-1][0])
            if time.monotonic() - self.refreshed > HOUR_S:
                self.commit([], self.position)  # brokers forget a position that is not moved for a week
            self.pause = 1
            return True
        except KafkaException as error:
            log(f"executions wait in the outbox: {error.args[0].str()}; trying again in {self.pause} s")
            # Nobody knows how far the transaction came. The next registration ends it, and the position tells how.
            self.producer, self.retry, self.pause = None, time.monotonic() + self.pause, min(self.pause * 2, 30)
            return False

    def register(self):
        """Fences a predecessor, ends its transaction, and learns from the position which executions are on the topic."""
        name, topic = self.args.name, self.args.executions
        consumer = Consumer({**self.config, "isolation.level": "read_committed"})
        if error := consumer.list_topics(topic, ANSWER_S).topics[topic].error:
            raise KafkaException(error)
        fixed = {"transactional.id": name, "enable.idempotence": True, "acks": "all"}
        client = {key: value for key, value in self.config.items() if key not in CONSUMER}
        producer = Producer({"retry.backoff.ms": 5, "partitioner": "murmur2_random", **client, **fixed})
        producer.init_transactions(ANSWER_S)
        (found,) = consumer.committed([TopicPartition(topic, 0)], ANSWER_S)
        if found.error:
            raise KafkaException(found.error)
        self.group = consumer.consumer_group_metadata()
        consumer.close()
        sql = "SELECT database_id, attempted, published FROM publisher"
        self.id, attempted, published = self.database.sql.execute(sql).fetchone()
        if found.offset < 0 and attempted != published:
            raise Stop(f"executions {published + 1} to {attempted} may be on the topic or not: the brokers have forgotten the position of "
                       f"group {name!r}. Look for the last of them on the topic; if it is there, set `published` to {attempted} in the "
                       f"table `publisher`, else set `attempted` to {published}")
        self.position = published if found.offset < 0 else found.offset
        if found.offset >= 0 and found.metadata != self.id:
            raise Stop(f"the name {name!r} publishes the executions of another database; give this one another --name")
        if not published <= self.position <= attempted:
            raise Stop(f"{self.position} executions of this database are on the topic, but it knows of {published} to {attempted}: one of the "
                       "two was restored from an older copy. Compare both with `softstake reconcile payouts`")
        if attempted > published:
            were = "were" if self.position == attempted else "were not"
            log(f"executions {published + 1} to {attempted} {were} on the topic before the restart")
        self.producer = producer
        self.commit([], self.position)

    def commit(self, rows, position):
        topic, headers = self.args.executions, {"content-type": "application/cloudevents+json"}
        self.producer.begin_transaction()
        for _, distribution, event in rows:
            self.producer.produce(topic, event.encode(), distribution.encode(), headers=headers)
        moved = TopicPartition(topic, 0, position, self.id)
        self.producer.send_offsets_to_transaction([moved], self.group, ANSWER_S)
        self.producer.commit_transaction(ANSWER_S)
        self.position, self.refreshed = position, time.monotonic()


# ---- the flags and the loop

CONSUMER = ("group.id", "enable.auto.commit", "enable.auto.offset.store", "auto.offset.reset", "check.crcs")


def flags():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    env, lines = os.environ.get, lambda name: [line for line in os.environ.get(name, "").split("\n") if line]
    parser.add_argument("--brokers", default=env("PAYOUT_BROKERS"), required="PAYOUT_BROKERS" not in os.environ)
    parser.add_argument("--database", default=env("PAYOUT_DATABASE"), help="sqlite:PATH")
    parser.add_argument("--database-file", default=env("PAYOUT_DATABASE_FILE"), help="a file with the URL of the database")
    parser.add_argument("-X", action="append", default=lines("PAYOUT_PROPERTIES"), metavar="KEY=VALUE", help="a property of librdkafka")
    parser.add_argument("-F", action="append", default=lines("PAYOUT_FILES"), metavar="KEY=PATH", help="one whose value is in a file")
    parser.add_argument("--executions", default=env("PAYOUT_EXECUTIONS", "payout.executions"), metavar="TOPIC")
    parser.add_argument("--name", default=env("PAYOUT_NAME", "softstake-payout"), help="transactional id, and group of the position")
    parser.add_argument("--batch", type=int, default=int(env("PAYOUT_BATCH", "1000")), choices=range(1, 5001), metavar="N")
    parser.add_argument("--until-idle", action="store_true", default=env("PAYOUT_UNTIL_IDLE") == "true")
    return parser.parse_args()


def secret(path):
    with open(path, encoding="utf-8") as file:
        return file.read().rstrip("\r\n")


def properties(args):
    pairs = [text.partition("=")[::2] for text in args.X]
    pairs += [(key, secret(path)) for key, path in (text.partition("=")[::2] for text in args.F)]
    for key, _ in pairs:
        if any(key.startswith(entry) if entry.endswith(".") else key == entry for entry in DANGEROUS):
            raise Stop(f"{key} cannot be set: the client would load or run other code, or send files away")
    fixed = {"bootstrap.servers": args.brokers, "group.id": args.name, "enable.auto.commit": False,
             "enable.auto.offset.store": False, "auto.offset.reset": "error"}
    return {"check.crcs": True, "error_cb": lambda error: log(f"Kafka: {error.str()}"), **dict(pairs), **fixed}


def main():
    args = flags()
    config = properties(args)
    database = Database(secret(args.database_file) if args.database_file else args.database or "", args.batch)
    reader, publisher, target = Reader(config, database.offsets), Publisher(config, args, database), None
    while True:
        for seal in database.seals("paying"):
            database.pay(seal)
        published, waiting = publisher.publish(), database.seals("waiting")
        # A seal comes after its distributions. So what is before the ends, looked up after the seal was read, has all of them.
        if target is None and waiting and (ends := reader.watermarks()) is not None:
            target = ends, waiting
        if target and reader.reached(target[0]):
            for seal in target[1]:
                database.judge(seal)
            target = None
            continue
        records = reader.poll(args.batch)
        database.take(records, reader.positions)
        if args.until_idle and published and not records and not waiting:
            if (ends := reader.watermarks()) is not None and reader.reached(ends):
                return log("every record is read, every payable distribution is paid, and every execution is published")


if __name__ == "__main__":
    try:
        main()
    except (Stop, OSError, sqlite3.Error) as error:
        log(str(error))
        sys.exit(1)
    except KafkaException as error:
        log(f"Kafka: {error.args[0].str()}")
        sys.exit(1)
