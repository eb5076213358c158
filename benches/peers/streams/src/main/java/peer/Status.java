package peer;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** A status of an account, for one asset or for all. */
record Status(int asset, long time, Kind kind, String id) {
  /** In the order of the contract: of two with equal time and id, the later one decides. */
  enum Kind {
    ENROLLED,
    OPTED_OUT,
    EXCLUDED;

    static Kind of(String name) {
      return switch (name) {
        case "enrolled" -> ENROLLED;
        case "opted_out" -> OPTED_OUT;
        case "excluded" -> EXCLUDED;
        default -> throw new Rejected("an unknown status");
      };
    }
  }

  /** What the statuses of an account mean in an epoch. */
  record Verdict(boolean earns, boolean isExcluded) {}

  private static final Kind[] KINDS = Kind.values();

  static List<Status> read(byte[] stored) {
    List<Status> statuses = new ArrayList<>();
    ByteBuffer from = ByteBuffer.wrap(stored);
    while (from.hasRemaining()) {
      byte[] id = new byte[from.getShort()];
      int asset = from.get();
      long time = from.getLong();
      Kind kind = KINDS[from.get()];
      from.get(id);
      statuses.add(new Status(asset, time, kind, new String(id, StandardCharsets.UTF_8)));
    }
    return statuses;
  }

  /** The stored statuses with the one of a posting behind them. */
  static byte[] append(byte[] stored, ByteBuffer posting) {
    int before = stored == null ? 0 : stored.length;
    ByteBuffer to = ByteBuffer.allocate(before + 2 + posting.remaining());
    if (stored != null) {
      to.put(stored);
    }
    return to.putShort((short) (posting.remaining() - 10)).put(posting).array();
  }

  static Verdict verdict(List<Status> own, List<Status> ofOwner, Listings.Asset asset, int epoch, boolean automatic) {
    Status forAsset = deciding(own, asset.number(), asset.startOf(epoch));
    Status forAll = deciding(own, Posting.ALL_ASSETS, asset.startOf(epoch));
    boolean isExcluded = excludes(own, asset, epoch) || excludes(ofOwner, asset, epoch);
    boolean enrolled =
        forAsset == null && forAll == null
            ? automatic
            : (forAsset == null || forAsset.kind == Kind.ENROLLED) && (forAll == null || forAll.kind == Kind.ENROLLED);
    return new Verdict(enrolled && !isExcluded, isExcluded);
  }

  private static Status deciding(List<Status> statuses, int asset, long start) {
    Status latest = null;
    for (Status status : statuses) {
      if (status.asset == asset && status.time <= start && (latest == null || status.isAfter(latest))) {
        latest = status;
      }
    }
    return latest;
  }

  private boolean isAfter(Status other) {
    if (time != other.time) {
      return time > other.time;
    }
    // By code points, as the bytes of UTF-8 compare.
    int ids = compareCodePoints(id, other.id);
    return ids != 0 ? ids > 0 : kind.compareTo(other.kind) > 0;
  }

  private static int compareCodePoints(String one, String other) {
    return java.util.Arrays.compareUnsigned(
        one.getBytes(StandardCharsets.UTF_8), other.getBytes(StandardCharsets.UTF_8));
  }

  private static boolean excludes(List<Status> statuses, Listings.Asset asset, int epoch) {
    long start = asset.startOf(epoch);
    long end = asset.endOf(epoch);
    for (Status status : statuses) {
      boolean isMeant = status.asset == asset.number() || status.asset == Posting.ALL_ASSETS;
      if (isMeant && status.kind == Kind.EXCLUDED && status.time > start && status.time < end) {
        return true;
      }
    }
    return isExclusion(deciding(statuses, asset.number(), start))
        || isExclusion(deciding(statuses, Posting.ALL_ASSETS, start));
  }

  private static boolean isExclusion(Status status) {
    return status != null && status.kind == Kind.EXCLUDED;
  }
}
