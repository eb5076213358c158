package peer;

import java.math.BigDecimal;
import java.math.BigInteger;

/** Decimal numbers as text, and as exact numbers of an asset's smallest units. */
final class Amounts {
  private static final int DIGITS_OF_LONG = 18;
  private static final long[] TENS = new long[DIGITS_OF_LONG + 1];

  static {
    TENS[0] = 1;
    for (int i = 1; i < TENS.length; i++) {
      TENS[i] = TENS[i - 1] * 10;
    }
  }

  private Amounts() {}

  /** Sets `to` to the number of units of an amount, which may have a sign. */
  static void units(String text, int decimals, Wide to) {
    int length = text.length();
    char first = length > 0 ? text.charAt(0) : 0;
    int start = first == '-' || first == '+' ? 1 : 0;
    int point = text.indexOf('.');
    int end = length;
    if (point >= 0) {
      while (text.charAt(end - 1) == '0') {
        end--;
      }
      if (end == point + 1) {
        end = point;
      }
    }
    int fraction = point >= 0 && point < end ? end - point - 1 : 0;
    int zeros = decimals - fraction;
    if (zeros < 0) {
      throw new Rejected("an amount with too many decimals");
    }
    int digits = read(text, start, end, to);
    if (digits + zeros > 36) {
      throw new Rejected("an amount that is too large");
    }
    while (zeros > 0) {
      int part = Math.min(zeros, DIGITS_OF_LONG);
      to.multiply(TENS[part]);
      zeros -= part;
    }
    if (first == '-') {
      to.negate();
    }
  }

  /** Reads digits, over a point, and returns how many there are without leading zeros. */
  private static int read(String text, int start, int end, Wide to) {
    if (start == end) {
      throw new Rejected("an amount without digits");
    }
    int at = start;
    while (at < end && (text.charAt(at) == '0' || text.charAt(at) == '.')) {
      at++;
    }
    int point = text.indexOf('.', at);
    int digits = end - at - (point >= 0 && point < end ? 1 : 0);
    if (digits > 2 * DIGITS_OF_LONG) {
      throw new Rejected("an amount that is too large");
    }
    long high = 0;
    long low = 0;
    for (int left = digits; left > 0; at++) {
      int digit = text.charAt(at) - '0';
      if (digit == '.' - '0') {
        continue;
      }
      if (digit < 0 || digit > 9) {
        throw new Rejected("an amount that is no decimal number");
      }
      if (left > DIGITS_OF_LONG) {
        high = high * 10 + digit;
      } else {
        low = low * 10 + digit;
      }
      left--;
    }
    to.set(0, high);
    to.multiply(TENS[DIGITS_OF_LONG]);
    to.add(low);
    return digits;
  }

  /** The product of two decimal numbers in units, which must be exact. */
  static void product(String one, String other, int decimals, Wide to) {
    BigDecimal product = new BigDecimal(one).multiply(new BigDecimal(other));
    try {
      to.set(product.setScale(decimals).unscaledValue());
    } catch (ArithmeticException inexact) {
      throw new Rejected("a product that is not exact");
    }
  }

  static BigInteger units(String text, int decimals) {
    return new BigDecimal(text).setScale(decimals).unscaledValue();
  }

  /** Appends units as a decimal number without trailing zeros. */
  static void append(StringBuilder to, BigInteger units, int decimals) {
    if (units.signum() == 0) {
      to.append('0');
      return;
    }
    if (units.signum() < 0) {
      to.append('-');
    }
    String digits = units.bitLength() < 63 ? Long.toString(Math.abs(units.longValue())) : units.abs().toString();
    int whole = digits.length() - decimals;
    int end = digits.length();
    while (end > Math.max(whole, 0) && digits.charAt(end - 1) == '0') {
      end--;
    }
    if (whole > 0) {
      to.append(digits, 0, whole);
    } else {
      to.append('0');
    }
    if (end > Math.max(whole, 0)) {
      to.append('.');
      for (int i = whole; i < 0; i++) {
        to.append('0');
      }
      to.append(digits, Math.max(whole, 0), end);
    }
  }
}
