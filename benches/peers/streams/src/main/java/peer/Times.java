package peer;

import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;

/** Times of RFC 3339, in milliseconds since 1970. */
final class Times {
  private static final DateTimeFormatter FORMAT =
      DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSS'Z'").withZone(ZoneOffset.UTC);

  private Times() {}

  static String format(long millis) {
    return FORMAT.format(Instant.ofEpochMilli(millis));
  }

  /** A leap second counts as the midnight that follows: second 60 is the next minute. Digits after the third are cut off. */
  static long parse(String text) {
    int length = text.length();
    if (length < 20) {
      throw new Rejected("a time that is too short");
    }
    long days = days(number(text, 0, 4), number(text, 5, 7), number(text, 8, 10));
    long minutes = days * 1440 + number(text, 11, 13) * 60 + number(text, 14, 16);
    long millis = minutes * 60_000 + number(text, 17, 19) * 1000;
    int at = 19;
    if (text.charAt(at) == '.') {
      at++;
      for (long unit = 100; at < length && isDigit(text.charAt(at)); at++, unit /= 10) {
        millis += (text.charAt(at) - '0') * unit;
      }
    }
    char zone = at < length ? text.charAt(at) : 0;
    if (zone == 'Z' || zone == 'z') {
      return millis;
    }
    if (zone != '+' && zone != '-' || length != at + 6) {
      throw new Rejected("a time without a zone");
    }
    long offset = (number(text, at + 1, at + 3) * 60 + number(text, at + 4, at + 6)) * 60_000;
    return zone == '+' ? millis - offset : millis + offset;
  }

  private static boolean isDigit(char character) {
    return character >= '0' && character <= '9';
  }

  private static long number(String text, int from, int to) {
    long number = 0;
    for (int at = from; at < to; at++) {
      if (!isDigit(text.charAt(at))) {
        throw new Rejected("a time that is no time");
      }
      number = number * 10 + text.charAt(at) - '0';
    }
    return number;
  }

  /** Days since 1970 of a date of the Gregorian calendar. */
  private static long days(long year, long month, long day) {
    long shifted = month <= 2 ? year - 1 : year;
    long era = shifted / 400;
    long ofEra = shifted - era * 400;
    long ofYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146_097 + ofEra * 365 + ofEra / 4 - ofEra / 100 + ofYear - 719_468;
  }
}
