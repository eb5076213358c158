package peer;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** The values that go from the intake to the ledger, keyed by account. */
final class Posting {
  static final byte BALANCE = 0;
  static final byte REWARD = 1;
  static final byte STATUS = 2;
  /** The number of an asset that means all. */
  static final byte ALL_ASSETS = -1;

  private Posting() {}

  /** A change of a balance `beforeEnd` milliseconds before the end of its epoch; of a reward, where the time has no use. */
  static byte[] change(byte kind, int asset, int epoch, long beforeEnd, Wide delta, ByteBuffer scratch) {
    scratch.clear().put(kind).put((byte) asset).putInt(epoch);
    if (kind == BALANCE) {
      scratch.putLong(beforeEnd);
    }
    delta.write(scratch);
    return bytes(scratch);
  }

  static byte[] status(int asset, long time, Status.Kind status, String id) {
    byte[] name = id.getBytes(StandardCharsets.UTF_8);
    ByteBuffer value = ByteBuffer.allocate(11 + name.length);
    return value.put(STATUS).put((byte) asset).putLong(time).put((byte) status.ordinal()).put(name).array();
  }

  private static byte[] bytes(ByteBuffer written) {
    byte[] value = new byte[written.position()];
    written.flip().get(value);
    return value;
  }
}
