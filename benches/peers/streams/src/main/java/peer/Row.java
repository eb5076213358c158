package peer;

import java.nio.ByteBuffer;
import java.util.Arrays;

/** What the ledger keeps of one asset and account: what came over from settled epochs, and the sums of each open epoch. */
final class Row {
  /** The sums of one epoch. */
  static final class Sums {
    int epoch;
    final Wide delta = new Wide();
    /** The sum of each change times the milliseconds from it to the end of the epoch. */
    final Wide weighted = new Wide();
    final Wide adjusted = new Wide();

    private void clear(int epoch) {
      this.epoch = epoch;
      delta.set(0, 0);
      weighted.set(0, 0);
      adjusted.set(0, 0);
    }
  }

  private static final int LARGEST_NUMBER = 17;

  final Wide opening = new Wide();
  final Wide withheld = new Wide();
  private Sums[] sums = {new Sums(), new Sums(), new Sums(), new Sums()};
  private int epochs;

  void read(byte[] stored) {
    epochs = 0;
    if (stored == null) {
      opening.set(0, 0);
      withheld.set(0, 0);
      return;
    }
    ByteBuffer from = ByteBuffer.wrap(stored);
    opening.read(from);
    withheld.read(from);
    while (from.hasRemaining()) {
      Sums next = add(from.getInt());
      next.delta.read(from);
      next.weighted.read(from);
      next.adjusted.read(from);
    }
  }

  /** Null if there is nothing to keep. */
  byte[] write() {
    if (epochs == 0 && opening.isZero() && withheld.isZero()) {
      return null;
    }
    ByteBuffer to = ByteBuffer.allocate(2 * LARGEST_NUMBER + epochs * (4 + 3 * LARGEST_NUMBER));
    opening.write(to);
    withheld.write(to);
    for (int i = 0; i < epochs; i++) {
      to.putInt(sums[i].epoch);
      sums[i].delta.write(to);
      sums[i].weighted.write(to);
      sums[i].adjusted.write(to);
    }
    return Arrays.copyOf(to.array(), to.position());
  }

  /** The sums of an epoch, which begin at zero. */
  Sums of(int epoch) {
    Sums found = find(epoch);
    return found != null ? found : add(epoch);
  }

  /** Null if nothing was posted in the epoch. */
  Sums find(int epoch) {
    for (int i = 0; i < epochs; i++) {
      if (sums[i].epoch == epoch) {
        return sums[i];
      }
    }
    return null;
  }

  void remove(Sums settled) {
    for (int i = 0; i < epochs; i++) {
      if (sums[i] == settled) {
        epochs--;
        sums[i] = sums[epochs];
        sums[epochs] = settled;
        return;
      }
    }
  }

  private Sums add(int epoch) {
    if (epochs == sums.length) {
      sums = Arrays.copyOf(sums, 2 * epochs);
      for (int i = epochs; i < sums.length; i++) {
        sums[i] = new Sums();
      }
    }
    Sums next = sums[epochs++];
    next.clear(epoch);
    return next;
  }
}
