package peer;

import java.math.BigInteger;
import java.nio.ByteBuffer;

/**
 * A signed number of 128 bits that can be changed in place. Sums and products wrap, so a sum is exact if its result fits, however
 * large the parts in between.
 */
final class Wide {
  private static final int BYTES = 16;

  long high;
  long low;

  void set(long high, long low) {
    this.high = high;
    this.low = low;
  }

  boolean isZero() {
    return (high | low) == 0;
  }

  void add(Wide other) {
    long sum = low + other.low;
    high += other.high + (Long.compareUnsigned(sum, low) < 0 ? 1 : 0);
    low = sum;
  }

  void add(long positive) {
    long sum = low + positive;
    high += Long.compareUnsigned(sum, low) < 0 ? 1 : 0;
    low = sum;
  }

  void negate() {
    low = -low;
    high = ~high + (low == 0 ? 1 : 0);
  }

  /** Multiplies by a factor that is not negative. */
  void multiply(long factor) {
    // The high half of the unsigned product: the factor's top bit is not set.
    long carry = Math.multiplyHigh(low, factor) + (low < 0 ? factor : 0);
    high = high * factor + carry;
    low *= factor;
  }

  /** Writes its length and its bytes, the fewest that keep the value if it fits 64 bits. */
  void write(ByteBuffer to) {
    if (high != low >> 63) {
      to.put((byte) BYTES).putLong(high).putLong(low);
      return;
    }
    int bits = 65 - Long.numberOfLeadingZeros(low ^ (low >> 63));
    int bytes = (bits + 7) >>> 3;
    to.put((byte) bytes);
    for (int shift = (bytes - 1) << 3; shift >= 0; shift -= 8) {
      to.put((byte) (low >> shift));
    }
  }

  void read(ByteBuffer from) {
    int bytes = from.get();
    if (bytes == BYTES) {
      high = from.getLong();
      low = from.getLong();
      return;
    }
    long value = from.get();
    for (int i = 1; i < bytes; i++) {
      value = value << 8 | from.get() & 0xff;
    }
    low = value;
    high = value >> 63;
  }

  BigInteger exact() {
    if (high == low >> 63) {
      return BigInteger.valueOf(low);
    }
    return new BigInteger(ByteBuffer.allocate(BYTES).putLong(high).putLong(low).array());
  }

  void set(BigInteger value) {
    if (value.bitLength() >= 128) {
      throw new ArithmeticException("more than 128 bits: " + value);
    }
    low = value.longValue();
    high = value.shiftRight(64).longValue();
  }
}
