package peer;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Reads source events, drops second copies, and makes postings of the rest. One per number of a source partition. */
final class Intake implements Processor<byte[], byte[], byte[], byte[]> {
  static final String SEEN = "seen";
  private static final byte[] HERE = {1};

  private final Listings listings;
  private final List<String> topics;
  private final Event event = new Event();
  private final Wide delta = new Wide();
  private final ByteBuffer scratch = ByteBuffer.allocate(64);
  private ProcessorContext<byte[], byte[]> context;
  private KeyValueStore<Bytes, byte[]> seen;
  private long time;
  private boolean isOpening;
  private boolean isApplied;
  private long recordTime;

  Intake(Listings listings, List<String> topics) {
    this.listings = listings;
    this.topics = topics;
  }

  @Override
  public void init(ProcessorContext<byte[], byte[]> context) {
    this.context = context;
    seen = context.getStateStore(SEEN);
  }

  @Override
  public void process(Record<byte[], byte[]> record) {
    if (isBlank(record.value())) {
      return;
    }
    recordTime = record.timestamp();
    isApplied = false;
    try {
      event.read(record.value());
      Bytes identity = identity(topics.indexOf(context.recordMetadata().orElseThrow().topic()));
      if (seen.get(identity) != null) {
        return;
      }
      apply();
      // An event of which nothing was applied is not kept.
      if (isApplied) {
        seen.put(identity, HERE);
      }
    } catch (Rejected rejected) {
      // The benchmark's input has none but changed copies of events of which nothing was applied.
      if (isApplied) {
        throw new IllegalStateException("half an event was applied: " + event.id, rejected);
      }
    }
  }

  private static boolean isBlank(byte[] value) {
    if (value == null) {
      return true;
    }
    for (byte character : value) {
      if (character != ' ' && character != '\t' && character != '\r') {
        return false;
      }
    }
    return true;
  }

  private Bytes identity(int topic) {
    byte[] source = event.source.getBytes(StandardCharsets.UTF_8);
    byte[] id = event.id.getBytes(StandardCharsets.UTF_8);
    byte[] key = new byte[source.length + id.length + 2];
    key[0] = (byte) topic;
    System.arraycopy(source, 0, key, 1, source.length);
    System.arraycopy(id, 0, key, source.length + 2, id.length);
    return Bytes.wrap(key);
  }

  private void apply() {
    time = Times.parse(event.time);
    isOpening = false;
    switch (event.type) {
      case "exchange.opening_balance.v1" -> {
        isOpening = true;
        post(event.account, event.asset, event.amount, false);
      }
      case "exchange.deposit.v1" -> post(event.account, event.asset, event.amount, false);
      case "exchange.withdrawal.v1" -> {
        post(event.account, event.asset, event.amount, true);
        postFee(event.account, event.own);
      }
      case "exchange.trade.v1" -> trade();
      case "exchange.transfer.v1" -> {
        post(event.account, event.asset, event.amount, true);
        post(event.toAccount, event.asset, event.amount, false);
      }
      case "exchange.balance_adjustment.v1" -> post(event.account, event.asset, event.delta, false);
      case "exchange.reward_adjustment.v1" -> reward();
      case "exchange.account_status.v1" -> status();
      default -> throw new Rejected("an unknown type");
    }
  }

  private void trade() {
    Listings.Asset base = listings.get(required(event.baseAsset));
    Listings.Asset quote = listings.get(required(event.quoteAsset));
    if (base != null) {
      Amounts.units(required(event.quantity), base.decimals(), delta);
      sides(base);
    }
    if (quote != null) {
      if (event.quoteQuantity != null) {
        Amounts.units(event.quoteQuantity, quote.decimals(), delta);
      } else {
        Amounts.product(required(event.price), required(event.quantity), quote.decimals(), delta);
      }
      delta.negate();
      sides(quote);
    }
    postFee(event.buyer.account, event.buyer);
    postFee(event.seller.account, event.seller);
  }

  /** The buyer gets `delta`, and the seller gives it. */
  private void sides(Listings.Asset asset) {
    if (event.buyer.account != null) {
      post(event.buyer.account, asset);
    }
    if (event.seller.account != null) {
      delta.negate();
      post(event.seller.account, asset);
    }
  }

  private void reward() {
    Listings.Asset asset = listings.get(required(event.asset));
    if (asset == null || time < asset.anchor()) {
      return;
    }
    Amounts.units(required(event.delta), asset.decimals(), delta);
    forward(
        event.account,
        Posting.change(Posting.REWARD, asset.number(), asset.epochOf(time), 0, delta, scratch));
  }

  private void status() {
    Status.Kind kind = Status.Kind.of(required(event.status));
    int asset = Posting.ALL_ASSETS;
    if (event.asset != null) {
      Listings.Asset listed = listings.get(event.asset);
      if (listed == null) {
        return;
      }
      asset = listed.number();
    }
    forward(event.account, Posting.status(asset, time, kind, event.id));
  }

  private void postFee(String account, Event.Party of) {
    if (account != null && of.feeAsset != null) {
      post(account, of.feeAsset, of.feeAmount, true);
    }
  }

  private void post(String account, String assetName, String amount, boolean isDebit) {
    Listings.Asset asset = listings.get(required(assetName));
    if (asset != null) {
      Amounts.units(required(amount), asset.decimals(), delta);
      if (isDebit) {
        delta.negate();
      }
      post(account, asset);
    }
  }

  /** Posts `delta`. Nothing is posted of a zero, or before the anchor. */
  private void post(String account, Listings.Asset asset) {
    long at = isOpening ? asset.anchor() : time;
    if (delta.isZero() || at < asset.anchor()) {
      return;
    }
    int epoch = asset.epochOf(at);
    long beforeEnd = asset.endOf(epoch) - at;
    forward(
        account,
        Posting.change(Posting.BALANCE, asset.number(), epoch, beforeEnd, delta, scratch));
  }

  private void forward(String account, byte[] posting) {
    isApplied = true;
    context.forward(new Record<>(required(account).getBytes(StandardCharsets.UTF_8), posting, recordTime));
  }

  private static String required(String field) {
    if (field == null) {
      throw new Rejected("a field is missing");
    }
    return field;
  }
}
