import io.cloudevents.CloudEvent;
import io.cloudevents.kafka.CloudEventDeserializer;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Reads committed events of a topic with the Java SDK of CloudEvents, and prints id and type of each, separated by a tab.
 * Arguments: --bootstrap-server ADDRESSES TOPIC COUNT. It ends after COUNT events.
 */
public class ReadEvents {
  public static void main(String[] arguments) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", arguments[1]);
    settings.put("isolation.level", "read_committed");
    settings.put("auto.offset.reset", "earliest");
    String topic = arguments[2];
    int missing = Integer.parseInt(arguments[3]);
    try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new CloudEventDeserializer())) {
      List<TopicPartition> partitions =
          consumer.partitionsFor(topic).stream().map(info -> new TopicPartition(topic, info.partition())).toList();
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      while (missing > 0) {
        for (var record : consumer.poll(Duration.ofSeconds(1))) {
          CloudEvent event = record.value();
          System.out.println(event.getId() + "\t" + event.getType());
          missing--;
        }
      }
    }
  }
}
