package peer;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.math.BigInteger;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Follows the control topic and the answers of the ledger, and leads each epoch from its close to its seal. One in all. */
final class Coordinator implements Processor<byte[], byte[], byte[], byte[]> {
  static final String BOOK = "book";
  static final String ORDERS = "orders";
  static final String SEALS = "seals";
  private static final String KEY = "book";

  /** A close that was accepted. */
  public static final class Close {
    public int epoch;
    public String pool;
    public String apr;
  }

  /** What is known of one asset. */
  public static final class Account {
    /** Programmes by the epoch that they begin with. */
    public TreeMap<Integer, JsonNode> programmes = new TreeMap<>();
    /** What was added to the pools of open epochs. */
    public Map<Integer, BigInteger> pools = new HashMap<>();
    public ArrayDeque<Close> closes = new ArrayDeque<>();
    public int nextClose;
    public BigInteger carried = BigInteger.ZERO;
    /** Of the epoch that is being settled. */
    public int answers;
    public BigInteger weight = BigInteger.ZERO;
    public BigInteger pot = BigInteger.ZERO;
    public BigInteger rewarded = BigInteger.ZERO;
    public BigInteger distributed = BigInteger.ZERO;
    public long distributions;
  }

  /** All that is stored. */
  public static final class Book {
    public Set<String> seen = new HashSet<>();
    public Map<Integer, Account> accounts = new HashMap<>();
  }

  private final Listings listings;
  private final int partitions;
  private ProcessorContext<byte[], byte[]> context;
  private KeyValueStore<String, byte[]> store;
  private Book book;
  private long timestamp;

  Coordinator(Listings listings, int partitions) {
    this.listings = listings;
    this.partitions = partitions;
  }

  @Override
  public void init(ProcessorContext<byte[], byte[]> context) {
    this.context = context;
    store = context.getStateStore(BOOK);
    byte[] stored = store.get(KEY);
    book = stored != null ? Order.read(stored, Book.class) : new Book();
  }

  @Override
  public void process(Record<byte[], byte[]> record) {
    timestamp = record.timestamp();
    if (context.recordMetadata().orElseThrow().topic().equals(Listings.CONTROL)) {
      control(record.value());
    } else {
      answer(Order.read(record.value(), Order.Answer.class));
    }
    store.put(KEY, Order.bytes(book));
  }

  private void control(byte[] value) {
    JsonNode event;
    try {
      event = Listings.JSON.readTree(value);
    } catch (IOException malformed) {
      return;
    }
    if (!event.has("id") || !book.seen.add(event.get("source").asText() + '\0' + event.get("id").asText())) {
      return;
    }
    JsonNode data = event.get("data");
    Listings.Asset asset = listings.get(data.path("asset").asText());
    if (asset == null) {
      throw new IllegalArgumentException("a control event that this job leaves out: " + event);
    }
    Account account = book.accounts.computeIfAbsent(asset.number(), number -> new Account());
    switch (event.get("type").asText()) {
      case Listings.LISTING -> {
        JsonNode programme = data.get("programme");
        int from = programme.get("from_epoch").asInt();
        // A change replaces those scheduled for its epoch or later.
        account.programmes.tailMap(from, true).clear();
        account.programmes.put(from, programme);
      }
      case "softstake.validator_reward.v1", "softstake.pool_adjustment.v1" -> {
        int epoch = Math.max(asset.epochOf(Times.parse(event.get("time").asText())), account.nextClose);
        account.pools.merge(epoch, Amounts.units(data.get("amount").asText(), asset.decimals()), BigInteger::add);
      }
      case "softstake.epoch_close.v1" -> close(asset, account, data);
      default -> throw new IllegalArgumentException("a control event that this job leaves out: " + event);
    }
  }

  private void close(Listings.Asset asset, Account account, JsonNode data) {
    Close close = new Close();
    close.epoch = data.get("epoch").asInt();
    close.pool = data.path("reward_pool").asText("0");
    close.apr = data.has("apr") ? data.get("apr").asText() : null;
    if (close.epoch != account.nextClose) {
      throw new IllegalArgumentException("a close out of order: " + data);
    }
    account.nextClose++;
    account.closes.add(close);
    if (account.closes.size() == 1) {
      begin(asset, account);
    }
  }

  private static JsonNode programme(Account account) {
    return account.programmes.floorEntry(account.closes.element().epoch).getValue();
  }

  private static boolean isPool(Account account) {
    return programme(account).get("mode").asText().equals("pool");
  }

  private void begin(Listings.Asset asset, Account account) {
    account.answers = 0;
    account.weight = BigInteger.ZERO;
    account.pot = BigInteger.ZERO;
    account.rewarded = BigInteger.ZERO;
    account.distributed = BigInteger.ZERO;
    account.distributions = 0;
    // A rate needs no sum of weights.
    order(asset, account, !isPool(account));
  }

  private void order(Listings.Asset asset, Account account, boolean pays) {
    Close close = account.closes.element();
    Order order =
        new Order(pays, asset.number(), close.epoch, programme(account), close.apr, account.pot, account.weight);
    context.forward(new Record<>(null, Order.bytes(order), timestamp), ORDERS);
    context.commit();
  }

  private void answer(Order.Answer answer) {
    Listings.Asset asset = listings.get(answer.asset());
    Account account = book.accounts.get(answer.asset());
    account.answers++;
    if (answer.pays()) {
      account.rewarded = account.rewarded.add(answer.rewarded());
      account.distributed = account.distributed.add(answer.distributed());
      account.distributions += answer.distributions();
    } else {
      account.weight = account.weight.add(answer.weight());
    }
    if (account.answers < partitions) {
      return;
    }
    account.answers = 0;
    if (answer.pays()) {
      seal(asset, account);
    } else {
      split(asset, account);
      order(asset, account, true);
    }
  }

  /** Works out N of the contract. What is carried is final once all shares are known. */
  private void split(Listings.Asset asset, Account account) {
    Close close = account.closes.element();
    BigInteger pool = Amounts.units(close.pool, asset.decimals());
    pool = pool.add(account.pools.getOrDefault(close.epoch, BigInteger.ZERO));
    String rate = programme(account).path("commission_rate").asText("0");
    BigInteger net = pool.subtract(Rules.commission(pool, rate)).add(account.carried);
    boolean isReturned = net.signum() > 0 && account.weight.signum() == 0;
    account.pot = net.max(BigInteger.ZERO);
    account.carried = isReturned ? BigInteger.ZERO : net;
  }

  private void seal(Listings.Asset asset, Account account) {
    if (isPool(account)) {
      account.carried = account.carried.subtract(account.rewarded);
    }
    Close close = account.closes.remove();
    account.pools.remove(close.epoch);
    StringBuilder seal = new StringBuilder("{\"asset\":\"").append(asset.name()).append("\",\"epoch\":").append(close.epoch);
    Amounts.append(seal.append(",\"rewarded\":\""), account.rewarded, asset.decimals());
    Amounts.append(seal.append("\",\"distributed\":\""), account.distributed, asset.decimals());
    Amounts.append(seal.append("\",\"carried_out\":\""), account.carried, asset.decimals());
    seal.append("\",\"distributions\":").append(account.distributions).append('}');
    byte[] value = seal.toString().getBytes(java.nio.charset.StandardCharsets.UTF_8);
    context.forward(new Record<>(null, value, timestamp), SEALS);
    context.commit();
    if (!account.closes.isEmpty()) {
      begin(asset, account);
    }
  }
}
