import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.file.*;
import java.security.*;
import java.sql.*;
import java.time.Duration;
import java.time.Instant;
import java.util.*;
import java.util.regex.*;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.serialization.*;

import static java.nio.charset.StandardCharsets.UTF_8;

/**
 * Credits Softstake's sealed distributions in a SQLite database, each exactly once, and publishes their executions.
 *
 * <p>The same rules, tables and flags as ../payout_consumer, whose README has the guarantees and the reasons. To copy: this file and
 * pom.xml. Replace `credits` and `balances` by your own ledger. A supervisor has to start it again when it ends.
 */
public class PayoutConsumer {
  static final String DISTRIBUTIONS = "softstake.distributions", EPOCHS = "softstake.epochs";
  static final Duration ANSWER = Duration.ofSeconds(15), REFRESH = Duration.ofSeconds(10), HOUR = Duration.ofHours(1);
  static final String SEAL = "asset, epoch, reward_asset, distributions, distributed, root";
  static final String[] SCHEMA = {
    "CREATE TABLE IF NOT EXISTS offsets (topic TEXT NOT NULL, partition_number BIGINT NOT NULL, next_offset BIGINT NOT NULL,"
        + " PRIMARY KEY (topic, partition_number))",
    // Amounts are of the reward asset, here and below.
    "CREATE TABLE IF NOT EXISTS distributions (id TEXT PRIMARY KEY, asset TEXT NOT NULL, epoch BIGINT NOT NULL, bucket BIGINT NOT NULL,"
        + " account TEXT NOT NULL, reward_asset TEXT NOT NULL, amount TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS distributions_as_leaves ON distributions (asset, epoch, bucket, account)",
    // waiting: not judged yet. held: judged wrong, nothing is credited. paying: judged right. paid: all are credited.
    "CREATE TABLE IF NOT EXISTS seals (asset TEXT NOT NULL, epoch BIGINT NOT NULL, reward_asset TEXT NOT NULL,"
        + " distributions BIGINT NOT NULL, distributed TEXT NOT NULL, root TEXT NOT NULL, status TEXT NOT NULL"
        + " CHECK (status IN ('waiting', 'held', 'paying', 'paid')), reason TEXT NOT NULL, PRIMARY KEY (asset, epoch))",
    "CREATE TABLE IF NOT EXISTS conflicts (topic TEXT NOT NULL, partition_number BIGINT NOT NULL, record_offset BIGINT NOT NULL,"
        + " asset TEXT NOT NULL, epoch BIGINT NOT NULL, what TEXT NOT NULL, PRIMARY KEY (topic, partition_number, record_offset))",
    "CREATE TABLE IF NOT EXISTS credits (distribution TEXT PRIMARY KEY REFERENCES distributions (id), reward_asset TEXT NOT NULL,"
        + " account TEXT NOT NULL, amount TEXT NOT NULL, credited_at TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS balances (reward_asset TEXT NOT NULL, account TEXT NOT NULL, balance TEXT NOT NULL,"
        + " PRIMARY KEY (reward_asset, account))",
    "CREATE TABLE IF NOT EXISTS outbox (number BIGINT PRIMARY KEY, distribution TEXT NOT NULL, event TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS publisher (one_row BIGINT PRIMARY KEY CHECK (one_row = 1), database_id TEXT NOT NULL,"
        + " added BIGINT NOT NULL, attempted BIGINT NOT NULL, published BIGINT NOT NULL)",
    "INSERT INTO publisher VALUES (1, lower(hex(randomblob(16))), 0, 0, 0) ON CONFLICT DO NOTHING",
  };

  /** A person has to act. */
  static class Stop extends RuntimeException {
    Stop(String why) {
      super(why);
    }
  }

  /** A record is not one of Softstake's. */
  static class Refused extends Exception {
    Refused(String why) {
      super(why);
    }
  }

  record Place(String topic, int partition, long offset) {
    @Override
    public String toString() {
      return topic + ", partition " + partition + ", offset " + offset;
    }
  }

  record Distribution(String id, String asset, long epoch, int bucket, String account, String rewardAsset, String amount) {}

  record Seal(String asset, long epoch, String rewardAsset, long distributions, String distributed, String root) {}

  record Leaf(int bucket, String account, String id, String rewardAsset, String amount) {}

  record Execution(long number, String distribution, String event) {}

  /** The categories of characters that are not printed as they are. */
  static final Set<Integer> ESCAPED = Set.of((int) Character.CONTROL, (int) Character.FORMAT, (int) Character.LINE_SEPARATOR,
      (int) Character.PARAGRAPH_SEPARATOR, (int) Character.SURROGATE, (int) Character.UNASSIGNED, (int) Character.PRIVATE_USE);

  /** Names and reasons come from records, so what a terminal might execute or hide is escaped. */
  static void log(String message) {
    String escaped = message.codePoints().mapToObj(c -> ESCAPED.contains(Character.getType(c)) ? String.format("\\u{%x}", c)
        : Character.toString(c)).collect(Collectors.joining());
    System.err.println(Instant.now() + " " + escaped);
  }

  // ---- records

  static final Pattern AMOUNT = Pattern.compile("(0|[1-9][0-9]*)(?:\\.([0-9]{0,17}[1-9]))?");
  static final ObjectMapper JSON = new ObjectMapper(JsonFactory.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build())
      .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

  /** An amount as a whole number of 10^-18. Only its canonical form is read: a Merkle leaf hashes the text. */
  static BigInteger units(String text) throws Refused {
    Matcher match = AMOUNT.matcher(text);
    if (text.length() > 100 || !match.matches()) {
      throw new Refused("its amount \"" + text + "\" is not a plain decimal number without needless zeros");
    }
    String fraction = match.group(2) == null ? "" : match.group(2);
    return new BigInteger(match.group(1) + fraction + "0".repeat(18 - fraction.length()));
  }

  static String decimal(BigInteger units) {
    String digits = String.format("%019d", units);
    String whole = digits.substring(0, digits.length() - 18), fraction = digits.substring(whole.length()).replaceAll("0+$", "");
    return fraction.isEmpty() ? whole : whole + "." + fraction;
  }

  static String text(JsonNode of, String name) throws Refused {
    JsonNode value = of.get(name);
    if (value == null || !value.isTextual() || !UTF_8.newEncoder().canEncode(value.textValue())) {
      throw new Refused("its field " + name + " is missing or no text");
    }
    return value.textValue();
  }

  static long number(JsonNode of, String name) throws Refused {
    JsonNode value = of.get(name);
    if (value == null || !value.isIntegralNumber() || !value.canConvertToLong()) {
      throw new Refused("its field " + name + " is missing or no whole number");
    }
    return value.longValue();
  }

  /** Reads a record's value: a {@link Distribution} or a {@link Seal}. */
  static Record decode(String topic, byte[] value) throws Refused {
    String kind = topic.equals(DISTRIBUTIONS) ? "softstake.distribution.v1" : "softstake.epoch_settled.v1";
    JsonNode event;
    try {
      event = JSON.readTree(UTF_8.newDecoder().decode(ByteBuffer.wrap(value == null ? new byte[0] : value)).toString());
    } catch (CharacterCodingException | JsonProcessingException error) {
      throw new Refused("it is not an event: " + error.getMessage());
    }
    if (!text(event, "specversion").equals("1.0") || !text(event, "type").equals(kind)) {
      throw new Refused("it is no " + kind + " of CloudEvents 1.0");
    }
    JsonNode data = event.get("data");
    if (data == null || !data.isObject()) {
      throw new Refused("its data are missing");
    }
    String id = text(event, "id"), asset = text(data, "asset"), rewardAsset = text(data, "reward_asset");
    long epoch = number(data, "epoch");
    String expected = asset + ":" + epoch;
    Record record;
    if (topic.equals(DISTRIBUTIONS)) {
      String account = text(data, "account"), amount = text(data, "amount");
      expected += ":" + account;
      if (units(amount).signum() == 0) {
        throw new Refused("its amount is zero");
      }
      record = new Distribution(id, asset, epoch, bucket(account), account, rewardAsset, amount);
    } else {
      units(text(data, "distributed"));
      record = new Seal(asset, epoch, rewardAsset, number(data, "distributions"), text(data, "distributed"), text(data, "root"));
    }
    if (!id.equals(expected)) {
      throw new Refused("its id \"" + id + "\" is not \"" + expected + "\"");
    }
    return record;
  }

  // ---- the Merkle root of an epoch: RFC 6962, one tree per bucket of accounts, and one over the roots of the 4,096 buckets

  static byte[] sha256(int prefix, byte[]... parts) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      if (prefix >= 0) {
        digest.update((byte) prefix);
      }
      for (byte[] part : parts) {
        digest.update(part);
      }
      return digest.digest();
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException(error);
    }
  }

  /** An account that begins with "/" is its own owner. */
  static int bucket(String account) {
    int slash = account.indexOf('/');
    String owner = slash > 0 ? account.substring(0, slash) : account;
    byte[] hash = sha256(-1, owner.getBytes(UTF_8));
    return (hash[0] & 0xff) << 4 | (hash[1] & 0xff) >> 4;
  }

  /** Built leaf by leaf: the roots of its full subtrees, whose sizes are the bits of the number of leaves. */
  static class Tree {
    final Deque<byte[]> subtrees = new ArrayDeque<>();
    long leaves;

    void push(byte[] leaf) {
      byte[] node = sha256(0, leaf);
      for (long count = leaves; (count & 1) == 1; count >>= 1) {
        node = sha256(1, subtrees.pop(), node);
      }
      subtrees.push(node);
      leaves++;
    }

    byte[] root() {
      return subtrees.stream().reduce((right, left) -> sha256(1, left, right)).orElseGet(() -> sha256(-1));
    }
  }

  // ---- the database

  static class Database {
    final Connection connection;
    boolean open; // a transaction
    final int batch;
    Map<TopicPartition, Long> offsets = new HashMap<>();
    static FileChannel lock; // held until the process ends

    Database(String url, int batch) throws SQLException, IOException {
      if (!url.startsWith("sqlite:")) {
        throw new Stop("the database must be sqlite:PATH");
      }
      lock = FileChannel.open(Path.of(url.substring(7) + ".lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
      if (lock.tryLock() == null) {
        throw new Stop("another instance runs on this database; only one is allowed");
      }
      this.batch = batch;
      connection = DriverManager.getConnection("jdbc:" + url);
      run("PRAGMA busy_timeout = 30000");
      run("PRAGMA journal_mode = WAL");
      run("PRAGMA synchronous = FULL");
      for (String statement : SCHEMA) {
        execute(statement);
      }
      commit();
      for (List<Object> row : rows("SELECT * FROM offsets")) {
        offsets.put(new TopicPartition((String) row.get(0), (int) whole(row.get(1))), whole(row.get(2)));
      }
      commit();
    }

    static long whole(Object number) {
      return ((Number) number).longValue();
    }

    private void run(String sql) throws SQLException {
      try (Statement statement = connection.createStatement()) {
        statement.execute(sql);
      }
    }

    /** The first statement begins a transaction, as a writer: one that began as a reader could not wait for another writer. */
    private PreparedStatement prepare(String sql, Object... values) throws SQLException {
      if (!open) {
        run("BEGIN IMMEDIATE");
        open = true;
      }
      PreparedStatement statement = connection.prepareStatement(sql);
      for (int at = 0; at < values.length; at++) {
        statement.setObject(at + 1, values[at]);
      }
      return statement;
    }

    void commit() throws SQLException {
      if (open) {
        run("COMMIT");
        open = false;
      }
    }

    int execute(String sql, Object... values) throws SQLException {
      try (PreparedStatement statement = prepare(sql, values)) {
        return statement.execute() ? 0 : statement.getUpdateCount();
      }
    }

    List<List<Object>> rows(String sql, Object... values) throws SQLException {
      try (PreparedStatement statement = prepare(sql, values); ResultSet found = statement.executeQuery()) {
        List<List<Object>> rows = new ArrayList<>();
        while (found.next()) {
          List<Object> row = new ArrayList<>();
          for (int at = 1; at <= found.getMetaData().getColumnCount(); at++) {
            row.add(found.getObject(at));
          }
          rows.add(row);
        }
        return rows;
      }
    }

    List<Seal> seals(String where, Object... values) throws SQLException {
      return rows("SELECT " + SEAL + " FROM seals WHERE " + where + " ORDER BY epoch, asset", values).stream().map(row -> new Seal(
          (String) row.get(0), whole(row.get(1)), (String) row.get(2), whole(row.get(3)), (String) row.get(4), (String) row.get(5)))
          .toList();
    }

    /** Stores records and the new positions in one transaction. */
    void take(Map<Place, Record> records, Map<TopicPartition, Long> positions) throws SQLException {
      if (positions.equals(offsets)) {
        return;
      }
      for (var entry : positions.entrySet()) {
        String topic = entry.getKey().topic();
        int partition = entry.getKey().partition();
        Long known = offsets.get(entry.getKey());
        int moved = known == null
            ? execute("INSERT INTO offsets VALUES (?, ?, ?) ON CONFLICT DO NOTHING", topic, partition, entry.getValue())
            : execute("UPDATE offsets SET next_offset = ? WHERE topic = ? AND partition_number = ? AND next_offset = ?",
                entry.getValue(), topic, partition, known);
        if (moved != 1) {
          throw new Stop("the database: another instance works on it, or somebody changed it by hand");
        }
      }
      List<String> conflicts = new ArrayList<>();
      for (var entry : records.entrySet()) {
        Place at = entry.getKey();
        boolean isSeal = entry.getValue() instanceof Seal;
        String what = isSeal ? add((Seal) entry.getValue()) : add((Distribution) entry.getValue());
        if (what != null) {
          String asset = isSeal ? ((Seal) entry.getValue()).asset : ((Distribution) entry.getValue()).asset;
          long epoch = isSeal ? ((Seal) entry.getValue()).epoch : ((Distribution) entry.getValue()).epoch;
          execute("INSERT INTO conflicts VALUES (?, ?, ?, ?, ?, ?)", at.topic, at.partition, at.offset, asset, epoch, what);
          conflicts.add(asset + " epoch " + epoch + ": " + what + " (" + at + ")");
        }
      }
      commit();
      offsets = new HashMap<>(positions);
      conflicts.forEach(PayoutConsumer::log);
    }

    /** Adds a distribution. Returns what is wrong if it contradicts another one, or is too late. */
    private String add(Distribution of) throws SQLException {
      execute("UPDATE seals SET status = 'waiting' WHERE asset = ? AND epoch = ? AND status = 'held'", of.asset, of.epoch);
      if (seals("asset = ? AND epoch = ? AND status <> 'waiting'", of.asset, of.epoch).isEmpty()) {
        execute("INSERT INTO distributions VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            of.id, of.asset, of.epoch, of.bucket, of.account, of.rewardAsset, of.amount);
      }
      List<List<Object>> known = rows("SELECT amount, reward_asset FROM distributions WHERE id = ?", of.id);
      String what = "distribution \"" + of.id + "\" of " + of.amount + " " + of.rewardAsset;
      if (known.isEmpty()) {
        return what + " came after the epoch was judged right";
      }
      boolean same = known.get(0).equals(List.of(of.amount, of.rewardAsset));
      return same ? null : what + " was first published with " + known.get(0).get(0) + " " + known.get(0).get(1);
    }

    private String add(Seal seal) throws SQLException {
      execute("INSERT INTO seals (" + SEAL + ", status, reason) VALUES (?, ?, ?, ?, ?, ?, 'waiting', '') ON CONFLICT DO NOTHING",
          seal.asset, seal.epoch, seal.rewardAsset, seal.distributions, seal.distributed, seal.root);
      boolean same = seals("asset = ? AND epoch = ?", seal.asset, seal.epoch).equals(List.of(seal));
      return same ? null : "a second seal says " + seal.distributions + " distributions of " + seal.distributed + " " + seal.rewardAsset
          + ", root " + seal.root;
    }

    /**
     * An epoch is paid if count, sum, Merkle root and reward asset of its distributions are the seal's, and no record contradicts
     * another.
     */
    void judge(Seal seal) throws SQLException, Refused {
      long count = 0;
      BigInteger sum = BigInteger.ZERO;
      Leaf inAnotherAsset = null; // the root covers ids and amounts only
      Tree[] trees = new Tree[4096];
      Arrays.setAll(trees, bucket -> new Tree());
      Leaf last = new Leaf(-1, "", "", "", "");
      for (List<Leaf> page = page(seal, last); !page.isEmpty(); page = page(seal, last)) {
        for (Leaf leaf : page) {
          boolean inOrder = leaf.bucket > last.bucket || leaf.bucket == last.bucket
              && Arrays.compareUnsigned(leaf.account.getBytes(UTF_8), last.account.getBytes(UTF_8)) > 0;
          if (!inOrder) {
            throw new Stop("the database: account \"" + leaf.account + "\" is out of order");
          }
          count++;
          sum = sum.add(units(leaf.amount));
          if (inAnotherAsset == null && !leaf.rewardAsset.equals(seal.rewardAsset)) {
            inAnotherAsset = leaf;
          }
          trees[leaf.bucket].push((leaf.id + "|" + leaf.amount).getBytes(UTF_8));
          last = leaf;
        }
      }
      Tree whole = new Tree();
      for (Tree tree : trees) {
        whole.push(tree.root());
      }
      String root = HexFormat.of().formatHex(whole.root());
      List<String> reasons = new ArrayList<>();
      if (count != seal.distributions) {
        reasons.add("there are " + count + " distributions, the seal says " + seal.distributions);
      }
      if (!sum.equals(units(seal.distributed))) {
        reasons.add("they add up to " + decimal(sum) + ", the seal says " + seal.distributed);
      }
      if (!root.equals(seal.root)) {
        reasons.add("their Merkle root is " + root + ", the seal says " + seal.root);
      }
      if (inAnotherAsset != null) {
        reasons.add("distribution \"" + inAnotherAsset.id + "\" is paid in " + inAnotherAsset.rewardAsset + ", the seal says "
            + seal.rewardAsset);
      }
      for (List<Object> row : rows("SELECT what FROM conflicts WHERE asset = ? AND epoch = ? LIMIT 10", seal.asset, seal.epoch)) {
        reasons.add((String) row.get(0));
      }
      String reason = String.join("; ", reasons);
      execute("UPDATE seals SET status = ?, reason = ? WHERE asset = ? AND epoch = ? AND status = 'waiting'",
          reasons.isEmpty() ? "paying" : "held", reason, seal.asset, seal.epoch);
      commit();
      if (!reasons.isEmpty()) {
        log(seal.asset + " epoch " + seal.epoch + " is held and nothing of it is paid: " + reason);
      }
    }

    /** The next distributions of an epoch, in the order of the Merkle leaves. */
    private List<Leaf> page(Seal seal, Leaf after) throws SQLException {
      return rows("SELECT bucket, account, id, reward_asset, amount FROM distributions WHERE asset = ? AND epoch = ?"
          + " AND (bucket, account) > (?, ?) ORDER BY bucket, account LIMIT ?", seal.asset, seal.epoch, after.bucket, after.account, batch)
          .stream().map(row -> new Leaf((int) whole(row.get(0)), (String) row.get(1), (String) row.get(2), (String) row.get(3),
              (String) row.get(4))).toList();
    }

    /** Credits an epoch that was judged right, one batch per transaction. Each credit adds its execution to the outbox. */
    void pay(Seal seal) throws SQLException, Refused {
      long count = 0;
      Leaf last = new Leaf(-1, "", "", "", "");
      for (List<Leaf> page = page(seal, last); !page.isEmpty(); page = page(seal, last)) {
        String now = (String) rows("SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')").get(0).get(0);
        for (Leaf leaf : page) {
          if (execute("INSERT INTO credits VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
              leaf.id, seal.rewardAsset, leaf.account, leaf.amount, now) == 1) {
            BigInteger balance = units(leaf.amount);
            for (List<Object> row : rows("SELECT balance FROM balances WHERE reward_asset = ? AND account = ?", seal.rewardAsset,
                leaf.account)) {
              balance = balance.add(units((String) row.get(0)));
            }
            execute("INSERT OR REPLACE INTO balances VALUES (?, ?, ?)", seal.rewardAsset, leaf.account, decimal(balance));
            var event = JSON.createObjectNode().put("specversion", "1.0").put("id", leaf.id).put("source", "/payouts")
                .put("type", "payout.executed.v1").put("time", now);
            event.putObject("data").put("distribution", leaf.id).put("amount", leaf.amount).put("credited_at", now);
            execute("UPDATE publisher SET added = added + 1");
            execute("INSERT INTO outbox SELECT added, ?, ? FROM publisher", leaf.id, event.toString());
          }
        }
        commit();
        count += page.size();
        last = page.get(page.size() - 1);
      }
      if (count != seal.distributions) {
        throw new Stop("the database: somebody changed the distributions of " + seal.asset + " by hand");
      }
      execute("UPDATE seals SET status = 'paid' WHERE asset = ? AND epoch = ? AND status = 'paying'", seal.asset, seal.epoch);
      commit();
      log(seal.asset + " epoch " + seal.epoch + " is paid: " + count + " distributions of " + seal.distributed + " " + seal.rewardAsset
          + ", root " + seal.root);
    }

    /** Records that all executions up to `published` are on the topic, and that the next ones may be from now on. */
    List<Execution> nextExecutions(long published) throws SQLException {
      List<Execution> next = rows("SELECT number, distribution, event FROM outbox WHERE number > ? ORDER BY number LIMIT ?",
          published, batch).stream().map(row -> new Execution(whole(row.get(0)), (String) row.get(1), (String) row.get(2))).toList();
      long attempted = next.isEmpty() ? published : next.get(next.size() - 1).number;
      execute("UPDATE publisher SET attempted = ?, published = ?", attempted, published);
      execute("DELETE FROM outbox WHERE number <= ?", published);
      commit();
      return next;
    }
  }

  // ---- Kafka

  /** Reads all partitions of both topics. It is in no consumer group: the positions are in the database. */
  static class Reader {
    final KafkaConsumer<byte[], byte[]> consumer, ends;
    final Map<TopicPartition, Long> positions = new HashMap<>();
    Instant refreshed = Instant.EPOCH;

    Reader(Map<String, Object> config, Map<TopicPartition, Long> positions) {
      consumer = consumer(config, "read_committed");
      ends = consumer(config, "read_uncommitted");
      assign(positions);
    }

    static KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> config, String isolation) {
      Map<String, Object> all = new HashMap<>(config);
      all.putAll(Map.of("isolation.level", isolation, "enable.auto.commit", false, "auto.offset.reset", "none",
          "allow.auto.create.topics", false));
      return new KafkaConsumer<>(all, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private void assign(Map<TopicPartition, Long> more) {
      positions.putAll(more);
      consumer.assign(positions.keySet());
      more.forEach(consumer::seek);
    }

    private List<TopicPartition> partitions() {
      List<TopicPartition> found = new ArrayList<>();
      for (String topic : List.of(DISTRIBUTIONS, EPOCHS)) {
        List<PartitionInfo> of = ends.partitionsFor(topic, ANSWER);
        (of == null ? List.<PartitionInfo>of() : of).forEach(one -> found.add(new TopicPartition(topic, one.partition())));
      }
      return found;
    }

    /** The ends of all partitions, open transactions included; null if the brokers do not answer. */
    Map<TopicPartition, Long> ends() {
      try {
        return ends.endOffsets(partitions(), ANSWER);
      } catch (RetriableException error) {
        log("waiting for the brokers: " + error.getMessage());
        return null;
      }
    }

    private void refresh() {
      try {
        List<TopicPartition> unknown = partitions();
        unknown.removeAll(positions.keySet());
        assign(ends.beginningOffsets(unknown, ANSWER));
        refreshed = Instant.now();
      } catch (RetriableException error) {
        log("waiting for the brokers: " + error.getMessage());
      }
    }

    Map<Place, Record> poll() {
      if (refreshed.plus(REFRESH).isBefore(Instant.now())) {
        refresh();
      }
      Map<Place, Record> records = new LinkedHashMap<>();
      if (positions.isEmpty()) {
        sleep(500);
        return records;
      }
      try {
        for (ConsumerRecord<byte[], byte[]> read : consumer.poll(Duration.ofMillis(500))) {
          Place place = new Place(read.topic(), read.partition(), read.offset());
          try {
            records.put(place, decode(place.topic, read.value()));
          } catch (Refused why) {
            throw new Stop(place + " cannot be read: " + why.getMessage());
          }
        }
      } catch (InvalidOffsetException error) {
        throw new Stop("the next record is gone: it was deleted before it was read, or the topic was created again. " + error.getMessage());
      }
      // Past the markers at the end of transactions, which are no records.
      positions.replaceAll((partition, next) -> Math.max(next, consumer.position(partition)));
      return records;
    }

    boolean reached(Map<TopicPartition, Long> ends) {
      return ends.entrySet().stream().allMatch(end -> positions.getOrDefault(end.getKey(), -1L) >= end.getValue());
    }
  }

  /** Publishes the outbox. One transaction of Kafka writes some rows and moves the position, a committed offset of the group. */
  static class Publisher {
    final Map<String, Object> config;
    final Database database;
    final String name, topic;
    final TopicPartition home;
    KafkaProducer<String, String> producer;
    String id;
    long position;
    Instant refreshed, retry = Instant.EPOCH;
    long pause = 1;

    Publisher(Map<String, Object> config, Database database, String name, String topic) {
      this.config = config;
      this.database = database;
      this.name = name;
      this.topic = topic;
      home = new TopicPartition(topic, 0);
    }

    /** Returns whether the outbox is empty. While the brokers are away, executions wait in it and payments go on. */
    boolean publish() throws SQLException {
      if (producer == null && Instant.now().isBefore(retry)) {
        return false;
      }
      try {
        if (producer == null) {
          register();
        }
        for (var rows = database.nextExecutions(position); !rows.isEmpty(); rows = database.nextExecutions(position)) {
          commit(rows, rows.get(rows.size() - 1).number);
        }
        if (refreshed.plus(HOUR).isBefore(Instant.now())) {
          commit(List.of(), position); // brokers forget a position that is not moved for a week
        }
        pause = 1;
        return true;
      } catch (KafkaException error) {
        log("executions wait in the outbox: " + error.getMessage() + "; trying again in " + pause + " s");
        // Nobody knows how far the transaction came. The next registration ends it, and the position tells how.
        if (producer != null) {
          producer.close(Duration.ZERO);
          producer = null;
        }
        retry = Instant.now().plusSeconds(pause);
        pause = Math.min(pause * 2, 30);
        return false;
      }
    }

    /** Fences a predecessor, ends its transaction, and learns from the position which executions are on the topic. */
    private void register() throws SQLException {
      OffsetAndMetadata found;
      Map<String, Object> all = new HashMap<>(config);
      all.putAll(Map.of("transactional.id", name, "enable.idempotence", true, "acks", "all", "max.block.ms", ANSWER.toMillis()));
      try (var consumer = Reader.consumer(config, "read_committed")) {
        List<PartitionInfo> partitions = consumer.partitionsFor(topic, ANSWER);
        if (partitions == null || partitions.isEmpty()) {
          throw new KafkaException("the topic " + topic + " does not exist");
        }
        producer = new KafkaProducer<>(all, new StringSerializer(), new StringSerializer());
        producer.initTransactions();
        found = consumer.committed(Set.of(home), ANSWER).get(home);
      }
      List<Object> row = database.rows("SELECT database_id, attempted, published FROM publisher").get(0);
      database.commit();
      id = (String) row.get(0);
      long attempted = Database.whole(row.get(1)), published = Database.whole(row.get(2));
      if (found == null && attempted != published) {
        throw new Stop("executions " + (published + 1) + " to " + attempted + " may be on the topic or not: the brokers have forgotten the"
            + " position of group \"" + name + "\". Look for the last of them on the topic; if it is there, set `published` to "
            + attempted + " in the table `publisher`, else set `attempted` to " + published);
      }
      position = found == null ? published : found.offset();
      if (found != null && !found.metadata().equals(id)) {
        throw new Stop("the name \"" + name + "\" publishes the executions of another database; give this one another --name");
      }
      if (position < published || position > attempted) {
        throw new Stop(position + " executions of this database are on the topic, but it knows of " + published + " to " + attempted
            + ": one of the two was restored from an older copy. Compare both with `softstake reconcile payouts`");
      }
      if (attempted > published) {
        String were = position == attempted ? "were" : "were not";
        log("executions " + (published + 1) + " to " + attempted + " " + were + " on the topic before the restart");
      }
      commit(List.of(), position);
    }

    private void commit(List<Execution> rows, long position) {
      producer.beginTransaction();
      for (Execution row : rows) {
        var record = new ProducerRecord<>(topic, row.distribution, row.event);
        record.headers().add("content-type", "application/cloudevents+json".getBytes(UTF_8));
        producer.send(record);
      }
      producer.sendOffsetsToTransaction(Map.of(home, new OffsetAndMetadata(position, id)), new ConsumerGroupMetadata(name));
      producer.commitTransaction();
      this.position = position;
      refreshed = Instant.now();
    }
  }

  // ---- the flags and the loop

  static final List<String> FLAGS = List.of("brokers", "database", "database-file", "executions", "name", "batch");

  static void sleep(long millis) {
    try {
      Thread.sleep(millis);
    } catch (InterruptedException error) {
      throw new Stop("interrupted");
    }
  }

  static String secret(String path) throws IOException {
    return Files.readString(Path.of(path)).replaceAll("[\r\n]+$", "");
  }

  /** Properties of Kafka's Java client. Those that name classes would load other code. */
  static void property(Map<String, Object> config, String text, boolean isFile) throws IOException {
    String[] parts = text.split("=", 2);
    if (parts.length < 2 || Pattern.matches(".*\\.(class|classes|reporters|providers)", parts[0])) {
      throw new Stop("the property " + parts[0] + " has no value, or would load other code");
    }
    config.put(parts[0], isFile ? secret(parts[1]) : parts[1]);
  }

  static void run(String[] arguments) throws SQLException, IOException, Refused {
    Map<String, String> flags = new HashMap<>(Map.of("executions", "payout.executions", "name", "softstake-payout", "batch", "1000"));
    Map<String, Object> config = new HashMap<>();
    for (String flag : FLAGS) {
      String variable = System.getenv("PAYOUT_" + flag.toUpperCase(Locale.ROOT).replace('-', '_'));
      if (variable != null) {
        flags.put(flag, variable);
      }
    }
    for (String line : System.getenv().getOrDefault("PAYOUT_PROPERTIES", "").lines().toList()) {
      property(config, line, false);
    }
    for (String line : System.getenv().getOrDefault("PAYOUT_FILES", "").lines().toList()) {
      property(config, line, true);
    }
    boolean untilIdle = "true".equals(System.getenv("PAYOUT_UNTIL_IDLE"));
    Iterator<String> rest = Arrays.asList(arguments).iterator();
    while (rest.hasNext()) {
      String[] flag = rest.next().split("=", 2);
      if (flag[0].equals("--until-idle")) {
        untilIdle = true;
        continue;
      }
      String value = flag.length == 2 ? flag[1] : rest.hasNext() ? rest.next() : "";
      if (flag[0].equals("-X") || flag[0].equals("-F")) {
        property(config, value, flag[0].equals("-F"));
      } else if (flag[0].startsWith("--") && FLAGS.contains(flag[0].substring(2))) {
        flags.put(flag[0].substring(2), value);
      } else {
        throw new Stop("there is no flag " + flag[0] + ": known are --until-idle, -X KEY=VALUE, -F KEY=PATH, and --" + String.join(", --", FLAGS));
      }
    }
    config.put("bootstrap.servers", flags.getOrDefault("brokers", ""));
    config.put("group.id", flags.get("name"));
    String file = flags.get("database-file"), url = file == null ? flags.getOrDefault("database", "") : secret(file);
    work(config, flags, new Database(url, Integer.parseInt(flags.get("batch"))), untilIdle);
  }

  static void work(Map<String, Object> config, Map<String, String> flags, Database database, boolean untilIdle) throws SQLException, Refused {
    Map<String, Object> reading = new HashMap<>(config);
    reading.put("max.poll.records", database.batch);
    Reader reader = new Reader(reading, database.offsets);
    Publisher publisher = new Publisher(config, database, flags.get("name"), flags.get("executions"));
    Map<TopicPartition, Long> ends = null;
    List<Seal> target = List.of();
    while (true) {
      for (Seal seal : database.seals("status = 'paying'")) {
        database.pay(seal);
      }
      boolean published = publisher.publish();
      List<Seal> waiting = database.seals("status = 'waiting'");
      database.commit();
      // A seal comes after its distributions. So what is before the ends, looked up after the seal was read, has all of them.
      if (ends == null && !waiting.isEmpty()) {
        ends = reader.ends();
        target = waiting;
      }
      if (ends != null && reader.reached(ends)) {
        for (Seal seal : target) {
          database.judge(seal);
        }
        ends = null;
        continue;
      }
      Map<Place, Record> records = reader.poll();
      database.take(records, reader.positions);
      if (untilIdle && published && records.isEmpty() && waiting.isEmpty()) {
        Map<TopicPartition, Long> all = reader.ends();
        if (all != null && reader.reached(all)) {
          log("every record is read, every payable distribution is paid, and every execution is published");
          return;
        }
      }
    }
  }

  public static void main(String[] arguments) {
    try {
      run(arguments);
      System.exit(0);
    } catch (Stop | Refused | SQLException | IOException | KafkaException | NumberFormatException error) {
      log(error instanceof Stop ? error.getMessage() : error.toString());
      System.exit(1);
    }
  }
}
