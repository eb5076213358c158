package peer;

/** An event that cannot be applied. It is thrown often, so it has no stack trace. */
final class Rejected extends RuntimeException {
  private static final long serialVersionUID = 1;

  Rejected(String reason) {
    super(reason, null, false, false);
  }
}
