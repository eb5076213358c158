package peer;

import com.fasterxml.jackson.databind.JsonNode;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.List;

/** The arithmetic of one settlement (contract, section 5), for scope `account` and without a reward asset. */
final class Rules {
  private static final BigInteger PARTS = BigInteger.TEN.pow(18);
  private static final BigInteger YEAR = BigInteger.valueOf(365L * 86_400_000);
  private static final int MULTIPLIER_DECIMALS = 6;
  /** The fields of a programme that are used here, or have no effect on the benchmark's input. */
  private static final List<String> KNOWN =
      List.of(
          "from_epoch", "mode", "apr", "min_balance", "max_balance", "commission_rate", "tiers", "min_payout",
          "payout_decimals", "enrolment", "late_policy");

  /** One tier: its upper bound in unit-milliseconds, null for none, and its multiplier in millionths. */
  private record Tier(BigInteger upTo, BigInteger multiplier) {}

  final boolean isPool;
  final boolean isAutomatic;
  final BigInteger length;
  private final BigInteger minHeld;
  private final BigInteger maxHeld;
  private final Tier[] tiers;
  private final BigInteger numerator;
  private final BigInteger denominator;
  private final BigInteger grain;
  private final BigInteger minPayout;

  Rules(Listings.Asset asset, Order order) {
    JsonNode programme = order.programme();
    programme.fieldNames().forEachRemaining(Rules::check);
    length = BigInteger.valueOf(asset.length());
    isPool = programme.get("mode").asText().equals("pool");
    isAutomatic = programme.path("enrolment").asText("automatic").equals("automatic");
    minHeld = units(programme.path("min_balance").asText("0"), asset).multiply(length);
    JsonNode most = programme.path("max_balance");
    maxHeld = most.isTextual() ? units(most.asText(), asset).multiply(length) : null;
    tiers = tiers(programme.path("tiers"), asset);
    if (isPool) {
      numerator = order.pot();
      denominator = order.weight();
    } else {
      String rate = order.apr() != null ? order.apr() : programme.get("apr").asText();
      numerator = Amounts.units(rate, 18);
      denominator = PARTS.multiply(BigInteger.TEN.pow(MULTIPLIER_DECIMALS)).multiply(YEAR);
    }
    int payoutDecimals = programme.path("payout_decimals").asInt(asset.decimals());
    grain = BigInteger.TEN.pow(asset.decimals() - payoutDecimals);
    minPayout = units(programme.path("min_payout").asText("0"), asset);
  }

  private static void check(String field) {
    if (!KNOWN.contains(field)) {
      throw new IllegalArgumentException("a programme with " + field + ", which this job leaves out");
    }
  }

  private static BigInteger units(String amount, Listings.Asset asset) {
    return Amounts.units(amount, asset.decimals());
  }

  private Tier[] tiers(JsonNode given, Listings.Asset asset) {
    if (given.isMissingNode()) {
      return new Tier[] {new Tier(null, BigInteger.TEN.pow(MULTIPLIER_DECIMALS))};
    }
    Tier[] tiers = new Tier[given.size()];
    for (int i = 0; i < tiers.length; i++) {
      JsonNode tier = given.get(i);
      if (!tier.has("multiplier")) {
        throw new IllegalArgumentException("a tier with a rate, which this job leaves out");
      }
      BigInteger multiplier = Amounts.units(tier.get("multiplier").asText(), MULTIPLIER_DECIMALS);
      JsonNode upTo = tier.get("up_to");
      tiers[i] = new Tier(upTo.isNull() ? null : units(upTo.asText(), asset).multiply(length), multiplier);
    }
    return tiers;
  }

  /** W of the contract. */
  BigInteger weight(BigInteger held, boolean earns) {
    if (!earns || held.signum() <= 0 || held.compareTo(minHeld) < 0) {
      return BigInteger.ZERO;
    }
    BigInteger counted = maxHeld != null ? held.min(maxHeld) : held;
    BigInteger weight = BigInteger.ZERO;
    BigInteger below = BigInteger.ZERO;
    for (Tier tier : tiers) {
      BigInteger upper = tier.upTo != null ? tier.upTo.min(counted) : counted;
      if (upper.compareTo(below) <= 0) {
        break;
      }
      weight = weight.add(upper.subtract(below).multiply(tier.multiplier));
      below = upper;
    }
    return weight;
  }

  /** R of the contract. */
  BigInteger share(BigInteger weight) {
    if (weight.signum() == 0 || numerator.signum() == 0) {
      return BigInteger.ZERO;
    }
    return weight.multiply(numerator).divide(denominator);
  }

  /** The part of a due that is paid. */
  BigInteger payable(BigInteger due, boolean isExcluded) {
    if (isExcluded || due.signum() <= 0) {
      return BigInteger.ZERO;
    }
    BigInteger payable = grain.equals(BigInteger.ONE) ? due : due.subtract(due.remainder(grain));
    return payable.compareTo(minPayout) >= 0 ? payable : BigInteger.ZERO;
  }

  /** The commission on a pool, in units. */
  static BigInteger commission(BigInteger pool, String rate) {
    return new BigDecimal(pool.max(BigInteger.ZERO)).multiply(new BigDecimal(rate)).toBigInteger();
  }
}
