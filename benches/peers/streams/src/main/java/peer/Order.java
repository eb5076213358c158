package peer;

import com.fasterxml.jackson.databind.JsonNode;
import java.math.BigInteger;

/** What the coordinator asks of every ledger partition: to sum the weights of an epoch, or to pay it. */
record Order(boolean pays, int asset, int epoch, JsonNode programme, String apr, BigInteger pot, BigInteger weight) {
  /** What a ledger partition answers. */
  record Answer(
      boolean pays, int asset, int epoch, BigInteger weight, BigInteger rewarded, BigInteger distributed, long distributions) {}

  static byte[] bytes(Object message) {
    try {
      return Listings.JSON.writeValueAsBytes(message);
    } catch (java.io.IOException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  static <T> T read(byte[] json, Class<T> type) {
    try {
      return Listings.JSON.readValue(json, type);
    } catch (java.io.IOException malformed) {
      throw new IllegalStateException(malformed);
    }
  }
}
