package peer;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Utils;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Named;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.processor.StreamPartitioner;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/** The job of Softstake in Kafka Streams. Arguments: brokers, folder for state, partitions of the ledger, threads. */
public final class Main {
  private static final List<String> SOURCES =
      List.of(
          "exchange.deposits", "exchange.withdrawals", "exchange.trades", "exchange.transfers", "exchange.accounts");

  private Main() {}

  public static void main(String[] arguments) throws Exception {
    String brokers = arguments[0];
    int partitions = Integer.parseInt(arguments[2]);
    Listings listings = Listings.read(brokers);
    Properties settings = settings(brokers, Path.of(arguments[1]), Integer.parseInt(arguments[3]));
    KafkaStreams streams = new KafkaStreams(topology(listings, partitions, settings), settings);
    streams.setUncaughtExceptionHandler(
        failure -> {
          failure.printStackTrace();
          return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    streams.setStateListener(
        (now, before) -> {
          if (now == KafkaStreams.State.ERROR) {
            Runtime.getRuntime().halt(1);
          }
        });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(60))));
    streams.start();
  }

  private static <K> StoreBuilder<?> store(String name, org.apache.kafka.common.serialization.Serde<K> keys) {
    var supplier = Stores.persistentKeyValueStore(name);
    return Stores.keyValueStoreBuilder(supplier, keys, Serdes.ByteArray()).withCachingEnabled();
  }

  private static Topology topology(Listings listings, int partitions, Properties settings) {
    StreamsBuilder builder = new StreamsBuilder();
    var bytes = Serdes.ByteArray();
    builder.addStateStore(store(Intake.SEEN, Serdes.Bytes()));
    builder.addStateStore(store(Ledger.ROWS, Serdes.Bytes()));
    builder.addStateStore(store(Ledger.STATUSES, Serdes.Bytes()));
    builder.addStateStore(store(Coordinator.BOOK, Serdes.String()));

    KStream<byte[], byte[]> postings =
        builder
            .stream(SOURCES, Consumed.with(bytes, bytes))
            .process(() -> new Intake(listings, SOURCES), Named.as("intake"), Intake.SEEN)
            .repartition(
                Repartitioned.with(bytes, bytes)
                    .withName("postings")
                    .withNumberOfPartitions(partitions)
                    .withStreamPartitioner(new ByOwner()));
    KStream<byte[], byte[]> orders = builder.stream("peer.orders", Consumed.with(bytes, bytes));
    KStream<byte[], byte[]> settled =
        postings
            .merge(orders)
            .process(() -> new Ledger(listings), Named.as("ledger"), Ledger.ROWS, Ledger.STATUSES);
    settled.to("peer.distributions", Produced.with(bytes, bytes).withName(Ledger.DISTRIBUTIONS));
    settled.to("peer.answers", Produced.with(bytes, bytes).withName(Ledger.ANSWERS));

    KStream<byte[], byte[]> led =
        builder
            .stream(List.of(Listings.CONTROL, "peer.answers"), Consumed.with(bytes, bytes))
            .process(() -> new Coordinator(listings, partitions), Named.as("coordinator"), Coordinator.BOOK);
    led.to(
        "peer.orders",
        Produced.with(bytes, bytes).withStreamPartitioner(new ToAll()).withName(Coordinator.ORDERS));
    led.to("peer.epochs", Produced.with(bytes, bytes).withName(Coordinator.SEALS));
    return builder.build(settings);
  }

  /** Accounts of one owner are in one partition. */
  private static final class ByOwner implements StreamPartitioner<byte[], byte[]> {
    @Override
    public Optional<Set<Integer>> partitions(String topic, byte[] account, byte[] posting, int partitions) {
      int length = account.length;
      for (int i = 1; i < length && account[0] != '/'; i++) {
        if (account[i] == '/') {
          length = i;
        }
      }
      byte[] owner = length == account.length ? account : java.util.Arrays.copyOf(account, length);
      return Optional.of(Set.of(Utils.toPositive(Utils.murmur2(owner)) % partitions));
    }
  }

  /** Orders go to every partition. */
  private static final class ToAll implements StreamPartitioner<byte[], byte[]> {
    @Override
    public Optional<Set<Integer>> partitions(String topic, byte[] key, byte[] order, int partitions) {
      return Optional.of(IntStream.range(0, partitions).boxed().collect(Collectors.toSet()));
    }
  }

  private static Properties settings(String brokers, Path state, int threads) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "peer-streams");
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, brokers);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, state.toString());
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    // A crash then needs no restore of all stores from their changelogs.
    settings.put(StreamsConfig.TRANSACTIONAL_STATE_STORES_CONFIG, true);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, threads);
    settings.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
    settings.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, Storage.class);
    // The default of 100 ms commits ten times as often.
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000);
    settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 256L << 20);
    settings.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000);
    // The order of the source topics among each other has no meaning here.
    settings.put(StreamsConfig.MAX_TASK_IDLE_MS_CONFIG, -1L);
    settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
    // A static member is let in at once after a crash, without waiting for its session to end.
    settings.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.GROUP_INSTANCE_ID_CONFIG), "peer");
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 100);
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 128L << 20);
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
    // One order pays all accounts of a partition in one transaction.
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.TRANSACTION_TIMEOUT_CONFIG), 300_000);
    // -Dstreams.NAME=VALUE sets any of them, for trials.
    for (String name : System.getProperties().stringPropertyNames()) {
      if (name.startsWith("streams.")) {
        settings.put(name.substring("streams.".length()), System.getProperty(name));
      }
    }
    return settings;
  }
}
