package peer;

import java.math.BigInteger;
import java.nio.charset.StandardCharsets;

/** Writes the distributions of one epoch, byte for byte as Softstake does. */
final class Distributions {
  private final int decimals;
  private final String before;
  private final String afterId;
  private final String afterAccount;
  private final String after;
  private final StringBuilder text = new StringBuilder(700);
  private final BigInteger length;

  Distributions(Listings.Asset asset, int epoch, int fromEpoch) {
    decimals = asset.decimals();
    length = BigInteger.valueOf(asset.length());
    String name = json(asset.name());
    before = "{\"specversion\":\"1.0\",\"id\":\"" + name + ':' + epoch + ':';
    afterId =
        "\",\"source\":\"/softstake\",\"type\":\"softstake.distribution.v1\",\"time\":\""
            + Times.format(asset.endOf(epoch)) + "\",\"data\":{\"account\":\"";
    afterAccount =
        "\",\"asset\":\"" + name + "\",\"reward_asset\":\"" + name + "\",\"epoch\":" + epoch
            + ",\"epoch_start\":\"" + Times.format(asset.startOf(epoch))
            + "\",\"epoch_end\":\"" + Times.format(asset.endOf(epoch)) + "\",\"amount\":\"";
    after = "\",\"programme_from_epoch\":" + fromEpoch + "}}";
  }

  byte[] write(
      String account, BigInteger amount, BigInteger rewarded, BigInteger adjusted, BigInteger withheld, BigInteger held) {
    String escaped = json(account);
    text.setLength(0);
    text.append(before).append(escaped).append(afterId).append(escaped);
    Amounts.append(text.append(afterAccount), amount, decimals);
    Amounts.append(text.append("\",\"rewarded\":\""), rewarded, decimals);
    text.append("\",\"made_good\":\"0");
    Amounts.append(text.append("\",\"adjusted\":\""), adjusted, decimals);
    Amounts.append(text.append("\",\"withheld_before\":\""), withheld, decimals);
    Amounts.append(text.append("\",\"balance_seconds\":\""), held, decimals + 3);
    Amounts.append(text.append("\",\"average_balance\":\""), held.divide(length), decimals);
    return text.append(after).toString().getBytes(StandardCharsets.UTF_8);
  }

  /** Names have no control characters, so only two characters are escaped. */
  private static String json(String name) {
    if (name.indexOf('"') < 0 && name.indexOf('\\') < 0) {
      return name;
    }
    return name.replace("\\", "\\\\").replace("\"", "\\\"");
  }
}
