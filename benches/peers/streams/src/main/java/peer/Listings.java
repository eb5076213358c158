package peer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** The assets that the control topic lists, with the terms that never change. They are read once, before the streams start. */
final class Listings {
  static final String CONTROL = "softstake.control";
  static final String LISTING = "softstake.asset.v1";
  static final ObjectMapper JSON = new ObjectMapper();

  /** `number` is its place in the order of the listings. Keys and postings have it in place of the name. */
  record Asset(int number, String name, int decimals, long anchor, long length) {
    int epochOf(long time) {
      return Math.toIntExact(Math.floorDiv(time - anchor, length));
    }

    long startOf(int epoch) {
      return anchor + epoch * length;
    }

    long endOf(int epoch) {
      return startOf(epoch + 1);
    }
  }

  private final List<Asset> assets = new ArrayList<>();
  private final Map<String, Asset> byName = new HashMap<>();

  Asset get(String name) {
    return byName.get(name);
  }

  Asset get(int number) {
    return assets.get(number);
  }

  private void add(JsonNode data) {
    String name = data.get("asset").asText();
    if (byName.containsKey(name)) {
      return;
    }
    for (String absent : List.of("reward_asset", "first_epoch")) {
      if (data.has(absent) && !data.get(absent).asText().equals("0")) {
        throw new IllegalArgumentException(name + " has " + absent + ", which this job leaves out");
      }
    }
    Asset asset =
        new Asset(
            assets.size(),
            name,
            data.get("decimals").asInt(),
            Times.parse(data.get("anchor").asText()),
            data.get("epoch_seconds").asLong() * 1000);
    assets.add(asset);
    byName.put(name, asset);
  }

  /** Reads the control topic to its end. */
  static Listings read(String brokers) throws IOException {
    Listings listings = new Listings();
    Properties settings = new Properties();
    settings.put("bootstrap.servers", brokers);
    TopicPartition control = new TopicPartition(CONTROL, 0);
    try (var consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      consumer.assign(List.of(control));
      consumer.seekToBeginning(List.of(control));
      long end = consumer.endOffsets(List.of(control)).get(control);
      while (consumer.position(control) < end) {
        for (var record : consumer.poll(Duration.ofMillis(100))) {
          JsonNode event = JSON.readTree(record.value());
          if (event.path("type").asText().equals(LISTING)) {
            listings.add(event.get("data"));
          }
        }
      }
    }
    if (listings.assets.isEmpty()) {
      throw new IllegalStateException("no asset is listed on " + CONTROL);
    }
    return listings;
  }
}
