package peer;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

/** Adds up the postings of its accounts, and settles epochs when the coordinator orders it. One per partition of the postings. */
final class Ledger implements Processor<byte[], byte[], byte[], byte[]> {
  static final String ROWS = "rows";
  static final String STATUSES = "statuses";
  static final String DISTRIBUTIONS = "distributions";
  static final String ANSWERS = "answers";
  /** Rows that are read before the first of them is written: a scan must not see what it writes. */
  private static final int CHUNK = 10_000;

  private final Listings listings;
  private final Row row = new Row();
  private final Wide delta = new Wide();
  private ProcessorContext<byte[], byte[]> context;
  private KeyValueStore<Bytes, byte[]> rows;
  private KeyValueStore<Bytes, byte[]> statuses;

  Ledger(Listings listings) {
    this.listings = listings;
  }

  @Override
  public void init(ProcessorContext<byte[], byte[]> context) {
    this.context = context;
    rows = context.getStateStore(ROWS);
    statuses = context.getStateStore(STATUSES);
  }

  @Override
  public void process(Record<byte[], byte[]> record) {
    if (record.key() == null) {
      settle(Order.read(record.value(), Order.class), record.timestamp());
      return;
    }
    ByteBuffer posting = ByteBuffer.wrap(record.value());
    byte kind = posting.get();
    if (kind == Posting.STATUS) {
      Bytes account = Bytes.wrap(record.key());
      statuses.put(account, Status.append(statuses.get(account), posting));
    } else {
      add(kind, posting, record.key());
    }
  }

  private void add(byte kind, ByteBuffer posting, byte[] account) {
    Bytes key = key(posting.get(), account);
    row.read(rows.get(key));
    Row.Sums sums = row.of(posting.getInt());
    long beforeEnd = kind == Posting.BALANCE ? posting.getLong() : 0;
    delta.read(posting);
    if (kind == Posting.BALANCE) {
      sums.delta.add(delta);
      delta.multiply(beforeEnd);
      sums.weighted.add(delta);
    } else {
      sums.adjusted.add(delta);
    }
    rows.put(key, row.write());
  }

  private static Bytes key(byte asset, byte[] account) {
    byte[] key = new byte[account.length + 1];
    key[0] = asset;
    System.arraycopy(account, 0, key, 1, account.length);
    return Bytes.wrap(key);
  }

  private void settle(Order order, long timestamp) {
    Settlement settlement = new Settlement(order, timestamp);
    Bytes from = Bytes.wrap(new byte[] {(byte) order.asset()});
    // No name has this byte, since names are UTF-8.
    Bytes to = Bytes.wrap(new byte[] {(byte) order.asset(), (byte) 0xff});
    while (from != null) {
      from = settlement.chunk(from, to);
    }
    Order.Answer answer =
        new Order.Answer(
            order.pays(), order.asset(), order.epoch(), settlement.weight, settlement.rewarded, settlement.distributed,
            settlement.distributions);
    context.forward(new Record<>(null, Order.bytes(answer), timestamp), ANSWERS);
    // Other partitions wait for this one.
    context.commit();
  }

  /** One pass over the accounts of an asset. */
  private final class Settlement {
    private final Order order;
    private final long timestamp;
    private final Listings.Asset asset;
    private final Rules rules;
    private final Distributions writer;
    private final Map<String, List<Status>> statusesOf = new HashMap<>();
    private BigInteger weight = BigInteger.ZERO;
    private BigInteger rewarded = BigInteger.ZERO;
    private BigInteger distributed = BigInteger.ZERO;
    private long distributions;

    Settlement(Order order, long timestamp) {
      this.order = order;
      this.timestamp = timestamp;
      asset = listings.get(order.asset());
      rules = new Rules(asset, order);
      writer = new Distributions(asset, order.epoch(), order.programme().get("from_epoch").asInt());
      try (KeyValueIterator<Bytes, byte[]> all = statuses.all()) {
        while (all.hasNext()) {
          KeyValue<Bytes, byte[]> next = all.next();
          statusesOf.put(new String(next.key.get(), StandardCharsets.UTF_8), Status.read(next.value));
        }
      }
    }

    /** Settles the next accounts. Returns where to go on, or null at the end. */
    Bytes chunk(Bytes from, Bytes to) {
      List<KeyValue<Bytes, byte[]>> changed = new ArrayList<>();
      Bytes last = null;
      int read = 0;
      try (KeyValueIterator<Bytes, byte[]> range = rows.range(from, to)) {
        while (range.hasNext() && read < CHUNK) {
          KeyValue<Bytes, byte[]> next = range.next();
          last = next.key;
          read++;
          account(next, changed);
        }
      }
      for (KeyValue<Bytes, byte[]> change : changed) {
        rows.put(change.key, change.value);
      }
      return read < CHUNK ? null : Bytes.wrap(Arrays.copyOf(last.get(), last.get().length + 1));
    }

    private void account(KeyValue<Bytes, byte[]> stored, List<KeyValue<Bytes, byte[]>> changed) {
      row.read(stored.value);
      Row.Sums sums = row.find(order.epoch());
      byte[] key = stored.key.get();
      byte[] name = Arrays.copyOfRange(key, 1, key.length);
      String account = new String(name, StandardCharsets.UTF_8);
      BigInteger held = row.opening.exact().multiply(rules.length);
      if (sums != null) {
        held = held.add(sums.weighted.exact());
      }
      Status.Verdict verdict = verdict(account);
      BigInteger part = rules.weight(held, verdict.earns());
      weight = weight.add(part);
      if (order.pays()) {
        pay(account, name, sums, held, rules.share(part), verdict.isExcluded());
        byte[] next = row.write();
        if (!Arrays.equals(next, stored.value)) {
          changed.add(new KeyValue<>(stored.key, next));
        }
      }
    }

    private Status.Verdict verdict(String account) {
      List<Status> own = statusesOf.getOrDefault(account, List.of());
      int slash = account.indexOf('/');
      List<Status> ofOwner =
          slash > 0 ? statusesOf.getOrDefault(account.substring(0, slash), List.of()) : List.of();
      return Status.verdict(own, ofOwner, asset, order.epoch(), rules.isAutomatic);
    }

    /** Pays the account of `row`, and takes the row into the next epoch. */
    private void pay(
        String account, byte[] name, Row.Sums sums, BigInteger held, BigInteger share, boolean isExcluded) {
      BigInteger withheld = row.withheld.exact();
      BigInteger adjusted = sums != null ? sums.adjusted.exact() : BigInteger.ZERO;
      BigInteger due = share.add(adjusted).add(withheld);
      BigInteger paid = rules.payable(due, isExcluded);
      rewarded = rewarded.add(share);
      if (paid.signum() > 0) {
        distributed = distributed.add(paid);
        distributions++;
        byte[] record = writer.write(account, paid, share, adjusted, withheld, held);
        context.forward(new Record<>(name, record, timestamp), DISTRIBUTIONS);
      }
      row.withheld.set(due.subtract(paid));
      if (sums != null) {
        row.opening.add(sums.delta);
        row.remove(sums);
      }
    }
  }
}
