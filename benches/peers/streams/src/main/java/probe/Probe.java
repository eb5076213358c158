package probe;

import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Looks at a broker from outside, in the same way for every program. Argument: the brokers. It reads a command a line, and answers
 * each with one line: `ok` and a result, or `failed` and why.
 */
public final class Probe {
  private static final Duration POLL = Duration.ofMillis(200);
  private static final long BLINK_MS = 20;
  /** How far before the end of a partition its last record is looked for first. */
  private static final long LAST = 16;

  private final String brokers;
  private final Admin admin;

  private Probe(String brokers) {
    this.brokers = brokers;
    Properties settings = new Properties();
    settings.put("bootstrap.servers", brokers);
    // The machine may be busy.
    settings.put("request.timeout.ms", "120000");
    settings.put("default.api.timeout.ms", "600000");
    admin = Admin.create(settings);
  }

  public static void main(String[] arguments) throws IOException {
    Probe probe = new Probe(arguments[0]);
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = commands.readLine(); line != null; line = commands.readLine()) {
      String answer;
      try {
        answer = "ok " + probe.answer(line.split(" "));
      } catch (Exception failure) {
        answer = "failed " + failure.toString().replace('\n', ' ');
      }
      System.out.println(answer);
    }
  }

  private String answer(String[] command) throws Exception {
    return switch (command[0]) {
      case "up" -> String.valueOf(admin.describeCluster().nodes().get().size());
      case "reset" -> reset(command);
      case "exists" -> String.valueOf(admin.listTopics().names().get().contains(command[1]));
      case "create" -> create(command[1], Integer.parseInt(command[2]));
      case "processed" -> processed(command[1], list(command[2]), list(command[3]), seconds(command[4]));
      case "count" -> count(command[1], Long.parseLong(command[2]), seconds(command[3]));
      case "digest" -> digest(command[1], null);
      case "dump" -> digest(command[1], Path.of(command[2]));
      default -> throw new IllegalArgumentException("no such command: " + command[0]);
    };
  }

  private static List<String> list(String names) {
    return Arrays.asList(names.split(","));
  }

  private static long seconds(String text) {
    return System.nanoTime() + Long.parseLong(text) * 1_000_000_000L;
  }

  private static void blink(String what, long deadline) throws InterruptedException {
    if (System.nanoTime() > deadline) {
      throw new IllegalStateException("gave up waiting for " + what);
    }
    Thread.sleep(BLINK_MS);
  }

  /** Deletes all topics but those with the prefix, and all groups. Returns when they are gone. */
  private String reset(String[] command) throws Exception {
    String kept = command[1];
    long deadline = seconds("60");
    for (var group : admin.listGroups().all().get()) {
      // Static members stay in a group after their end.
      var everybody = new RemoveMembersFromConsumerGroupOptions();
      admin.removeMembersFromConsumerGroup(group.groupId(), everybody).all().get();
      admin.deleteConsumerGroups(List.of(group.groupId())).all().get();
    }
    ListTopicsOptions all = new ListTopicsOptions().listInternal(false);
    Set<String> doomed = new TreeSet<>(admin.listTopics(all).names().get());
    doomed.removeIf(topic -> topic.startsWith(kept));
    admin.deleteTopics(doomed).all().get();
    while (admin.listTopics(all).names().get().stream().anyMatch(topic -> !topic.startsWith(kept))) {
      blink("topics to be gone", deadline);
    }
    return String.join(",", doomed);
  }

  private String create(String topic, int partitions) throws Exception {
    admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1))).all().get();
    return topic;
  }

  private List<TopicPartition> partitions(List<String> topics) throws Exception {
    List<TopicPartition> partitions = new ArrayList<>();
    admin.describeTopics(topics).allTopicNames().get().values().stream()
        .flatMap(topic -> topic.partitions().stream().map(info -> new TopicPartition(topic.name(), info.partition())))
        .forEach(partitions::add);
    return partitions;
  }

  private Map<TopicPartition, Long> ends(List<TopicPartition> partitions, IsolationLevel level) throws Exception {
    Map<TopicPartition, OffsetSpec> wanted = new HashMap<>();
    partitions.forEach(partition -> wanted.put(partition, OffsetSpec.latest()));
    Map<TopicPartition, Long> ends = new HashMap<>();
    var options = new ListOffsetsOptions(level);
    admin.listOffsets(wanted, options).all().get().forEach((partition, found) -> ends.put(partition, found.offset()));
    return ends;
  }

  /**
   * Waits until a group has committed its offsets behind all records of the sources, and then behind all records that this left on
   * the topic between its two stages.
   */
  private String processed(String group, List<String> sources, List<String> inner, long deadline) throws Exception {
    long began = System.nanoTime();
    Map<TopicPartition, Long> wanted = ends(partitions(sources), IsolationLevel.READ_COMMITTED);
    until(group, wanted, deadline);
    long ingested = System.nanoTime();
    List<TopicPartition> between = partitions(inner);
    // The markers of a transaction reach the partitions one after the other.
    while (!ends(between, IsolationLevel.READ_COMMITTED).equals(ends(between, IsolationLevel.READ_UNCOMMITTED))) {
      blink("the end of transactions on " + inner, deadline);
    }
    until(group, lasts(between), deadline);
    return (ingested - began) / 1_000_000 + " " + (System.nanoTime() - began) / 1_000_000;
  }

  private void until(String group, Map<TopicPartition, Long> wanted, long deadline) throws Exception {
    wanted.values().removeIf(offset -> offset == 0);
    while (true) {
      try {
        var committed = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        boolean isDone = true;
        for (var want : wanted.entrySet()) {
          var at = committed.get(want.getKey());
          isDone &= at != null && at.offset() >= want.getValue();
        }
        if (isDone) {
          return;
        }
      } catch (ExecutionException notThereYet) {
        // The group is not there before its first member.
      }
      blink(group + " to process " + wanted, deadline);
    }
  }

  private KafkaConsumer<byte[], byte[]> reader() {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", brokers);
    settings.put("isolation.level", "read_committed");
    settings.put("max.poll.records", "10000");
    // What is looked for is mostly there. At the end of a partition a broker would wait half a second for more.
    settings.put("fetch.max.wait.ms", String.valueOf(BLINK_MS));
    return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }

  /** For each partition the offset after its last record, which is before its end: the ends of transactions have offsets too. */
  private Map<TopicPartition, Long> lasts(List<TopicPartition> partitions) {
    Map<TopicPartition, Long> lasts = new HashMap<>();
    try (var consumer = reader()) {
      for (TopicPartition partition : partitions) {
        List<TopicPartition> one = List.of(partition);
        long end = consumer.endOffsets(one).get(partition);
        long first = consumer.beginningOffsets(one).get(partition);
        long last = 0;
        for (long back = LAST; last == 0; back *= 8) {
          long from = Math.max(first, end - back);
          consumer.assign(one);
          consumer.seek(partition, from);
          while (consumer.position(partition) < end) {
            for (var record : consumer.poll(POLL)) {
              last = record.offset() + 1;
            }
          }
          if (from == first) {
            break;
          }
        }
        lasts.put(partition, last);
      }
    }
    return lasts;
  }

  private interface Visitor {
    /** Returns whether it wants more. */
    boolean visit(ConsumerRecord<byte[], byte[]> record) throws IOException;
  }

  /** Shows the committed records of a topic, those that come meanwhile included, until the visitor has enough. */
  private void read(String topic, boolean untilEnd, long deadline, Visitor visitor) throws Exception {
    try (var consumer = reader()) {
      List<TopicPartition> all = partitions(List.of(topic));
      consumer.assign(all);
      consumer.seekToBeginning(all);
      Map<TopicPartition, Long> ends = consumer.endOffsets(all);
      while (!untilEnd || all.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
        for (var record : consumer.poll(Duration.ofMillis(BLINK_MS))) {
          if (!visitor.visit(record)) {
            return;
          }
        }
        if (System.nanoTime() > deadline) {
          throw new IllegalStateException("gave up waiting for records of " + topic);
        }
      }
    }
  }

  /** Waits until a topic has this many committed records. */
  private String count(String topic, long wanted, long deadline) throws Exception {
    long[] seen = {0};
    read(topic, false, deadline, record -> ++seen[0] < wanted);
    return String.valueOf(seen[0]);
  }

  /** The number of records of a topic, and a digest of their values that does not depend on their order. */
  private String digest(String topic, Path file) throws Exception {
    MessageDigest hash = MessageDigest.getInstance("SHA-256");
    long[] sums = new long[5];
    try (BufferedWriter lines = file == null ? null : Files.newBufferedWriter(file)) {
      read(
          topic,
          true,
          seconds("600"),
          record -> {
            ByteBuffer words = ByteBuffer.wrap(hash.digest(record.value()));
            for (int i = 0; i < 4; i++) {
              sums[i] += words.getLong();
            }
            sums[4]++;
            if (lines != null) {
              lines.write(new String(record.value(), StandardCharsets.UTF_8));
              lines.newLine();
            }
            return true;
          });
    }
    return String.format("%d %016x%016x%016x%016x", sums[4], sums[0], sums[1], sums[2], sums[3]);
  }
}
