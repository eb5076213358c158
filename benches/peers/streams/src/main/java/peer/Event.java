package peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;

/** One source event. The object is used again for the next one. Fields that an event does not have are null. */
final class Event {
  /** One side of a trade, or the holder of a fee. */
  static final class Party {
    String account;
    String feeAsset;
    String feeAmount;

    void clear() {
      account = null;
      feeAsset = null;
      feeAmount = null;
    }
  }

  private static final JsonFactory FACTORY = new JsonFactory();

  String id;
  String source;
  String type;
  String time;
  String account;
  String toAccount;
  String asset;
  String amount;
  String delta;
  String status;
  String baseAsset;
  String quoteAsset;
  String price;
  String quantity;
  String quoteQuantity;
  final Party own = new Party();
  final Party buyer = new Party();
  final Party seller = new Party();

  private void clear() {
    id = source = type = time = account = toAccount = asset = amount = delta = status = null;
    baseAsset = quoteAsset = price = quantity = quoteQuantity = null;
    own.clear();
    buyer.clear();
    seller.clear();
  }

  void read(byte[] json) {
    clear();
    try (JsonParser parser = FACTORY.createParser(json)) {
      if (parser.nextToken() != JsonToken.START_OBJECT) {
        throw new Rejected("no JSON object");
      }
      for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
        switch (name) {
          case "id" -> id = text(parser);
          case "source" -> source = text(parser);
          case "type" -> type = text(parser);
          case "time" -> time = text(parser);
          case "data" -> data(parser);
          default -> skip(parser);
        }
      }
    } catch (IOException malformed) {
      throw new Rejected(malformed.getMessage());
    }
    if (id == null || source == null || type == null || time == null) {
      throw new Rejected("an envelope without a field");
    }
  }

  private void data(JsonParser parser) throws IOException {
    parser.nextToken();
    for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
      switch (name) {
        case "account", "from_account" -> account = text(parser);
        case "to_account" -> toAccount = text(parser);
        case "asset" -> asset = text(parser);
        case "amount" -> amount = text(parser);
        case "delta" -> delta = text(parser);
        case "status" -> status = text(parser);
        case "base_asset" -> baseAsset = text(parser);
        case "quote_asset" -> quoteAsset = text(parser);
        case "price" -> price = text(parser);
        case "quantity" -> quantity = text(parser);
        case "quote_quantity" -> quoteQuantity = text(parser);
        case "buyer" -> party(parser, buyer);
        case "seller" -> party(parser, seller);
        case "fee" -> fee(parser, own);
        default -> skip(parser);
      }
    }
  }

  private static void party(JsonParser parser, Party party) throws IOException {
    if (parser.nextToken() != JsonToken.START_OBJECT) {
      return;
    }
    for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
      switch (name) {
        case "account" -> party.account = text(parser);
        case "fee" -> fee(parser, party);
        default -> skip(parser);
      }
    }
  }

  private static void fee(JsonParser parser, Party of) throws IOException {
    if (parser.nextToken() != JsonToken.START_OBJECT) {
      return;
    }
    for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
      switch (name) {
        case "asset" -> of.feeAsset = text(parser);
        case "amount" -> of.feeAmount = text(parser);
        default -> skip(parser);
      }
    }
  }

  private static String text(JsonParser parser) throws IOException {
    if (parser.nextToken() != JsonToken.VALUE_STRING) {
      throw new Rejected("a field that is no string");
    }
    return parser.getText();
  }

  private static void skip(JsonParser parser) throws IOException {
    parser.nextToken();
    parser.skipChildren();
  }
}
