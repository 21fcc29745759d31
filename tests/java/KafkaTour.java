import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.*;

/** The Kafka door with Apache's own client: prints a line per step that went well, else a stack trace. */
public class KafkaTour {
  static final int PARTITIONS = 4;
  static final int PER_CODEC = 2_000;
  static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");
  static String servers;

  public static void main(String[] arguments) throws Exception {
    servers = arguments[0];
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", servers))) {
      topics(admin);
      produce();
      consume(admin);
      offsets(admin);
      groupsOf("range", RangeAssignor.class);
      groupsOf("cooperative", CooperativeStickyAssignor.class);
      groupAdministration(admin);
      deleteRecords(admin);
      refusals(admin);
      admin.deleteTopics(List.of("java")).all().get();
      check(!admin.listTopics().names().get().contains("java"), "the topic is still there");
      System.out.println("ok delete topic");
    }
  }

  static void check(boolean condition, String what) {
    if (!condition) throw new AssertionError(what);
  }

  static <E extends Throwable> void refused(Class<E> error, ThrowingCall call) throws Exception {
    try {
      call.run();
    } catch (ExecutionException thrown) {
      check(error.isInstance(thrown.getCause()), "not " + error.getSimpleName() + " but " + thrown.getCause());
      return;
    } catch (KafkaException thrown) {
      check(error.isInstance(thrown), "not " + error.getSimpleName() + " but " + thrown);
      return;
    }
    throw new AssertionError("not refused with " + error.getSimpleName());
  }

  interface ThrowingCall {
    void run() throws Exception;
  }

  static Properties settings(Object... pairs) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", servers);
    for (int i = 0; i < pairs.length; i += 2) settings.put(pairs[i], pairs[i + 1]);
    return settings;
  }

  static KafkaConsumer<String, String> consumer(String group, Object... pairs) {
    Properties settings = settings(pairs);
    settings.put("group.id", group);
    settings.putIfAbsent("auto.offset.reset", "earliest");
    settings.put("enable.auto.commit", "false");
    settings.put("heartbeat.interval.ms", "300");
    settings.put("session.timeout.ms", "6000");
    return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
  }

  static void topics(Admin admin) throws Exception {
    admin.createTopics(List.of(new NewTopic("java", PARTITIONS, (short) 1).configs(Map.of("retention.ms", "-1"))))
        .all().get();
    refused(TopicExistsException.class,
        () -> admin.createTopics(List.of(new NewTopic("java", 1, (short) 1))).all().get());
    TopicDescription described = admin.describeTopics(List.of("java")).allTopicNames().get().get("java");
    check(described.partitions().size() == PARTITIONS, "partitions " + described.partitions().size());
    check(described.topicId() != null, "no topic id");
    check(admin.describeCluster().nodes().get().size() == 1, "not one node");
    var resource = new org.apache.kafka.common.config.ConfigResource(
        org.apache.kafka.common.config.ConfigResource.Type.TOPIC, "java");
    check(admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value().equals("-1"),
        "retention.ms");
    System.out.println("ok topics");
  }

  static void produce() throws Exception {
    for (String codec : CODECS) {
      // The defaults of the client are acks=all and an idempotent producer.
      try (var producer = new KafkaProducer<>(settings("compression.type", codec, "linger.ms", "5"),
               new StringSerializer(), new StringSerializer())) {
        List<java.util.concurrent.Future<RecordMetadata>> sent = new ArrayList<>();
        for (int i = 0; i < PER_CODEC; ++i) {
          var record = new ProducerRecord<>("java", null, 1_000_000L + i, "key" + i % 17, codec + " " + i);
          record.headers().add(new RecordHeader("n", Integer.toString(i).getBytes(StandardCharsets.UTF_8)));
          sent.add(producer.send(record));
        }
        for (var future : sent) check(future.get().hasOffset(), "no offset");
      }
    }
    System.out.println("ok produce");
  }

  static void consume(Admin admin) throws Exception {
    int wanted = CODECS.size() * PER_CODEC;
    Map<String, Integer> last = new HashMap<>();
    Set<String> seen = new HashSet<>();
    try (var consumer = consumer("java-all", "isolation.level", "read_committed")) {
      consumer.subscribe(List.of("java"));
      long end = System.nanoTime() + 60_000_000_000L;
      while (seen.size() < wanted) {
        check(System.nanoTime() < end, "only " + seen.size() + " of " + wanted);
        for (var record : consumer.poll(Duration.ofMillis(500))) {
          check(seen.add(record.value()), "twice: " + record.value());
          String[] parts = record.value().split(" ");
          int number = Integer.parseInt(parts[1]);
          check(record.key().equals("key" + number % 17), "key of " + record.value());
          check(record.timestamp() == 1_000_000L + number, "time of " + record.value());
          check(new String(record.headers().lastHeader("n").value(), StandardCharsets.UTF_8).equals(parts[1]), "header");
          Integer before = last.put(parts[0] + "/" + record.key(), number);
          check(before == null || before < number, "order of " + record.value());
        }
      }
      consumer.commitSync();
    }
    long committed = 0;
    var offsets = admin.listConsumerGroupOffsets("java-all").partitionsToOffsetAndMetadata().get();
    for (var offset : offsets.values()) committed += offset.offset();
    check(committed == wanted, "committed " + committed);
    try (var consumer = consumer("java-all")) {
      consumer.subscribe(List.of("java"));
      for (int i = 0; i < 5; ++i) check(consumer.poll(Duration.ofMillis(200)).isEmpty(), "read again after the commit");
    }
    System.out.println("ok consume");
  }

  static void offsets(Admin admin) throws Exception {
    try (var consumer = consumer("java-offsets")) {
      List<TopicPartition> all = new ArrayList<>();
      for (int i = 0; i < PARTITIONS; ++i) all.add(new TopicPartition("java", i));
      consumer.assign(all);
      long total = 0;
      for (long end : consumer.endOffsets(all).values()) total += end;
      check(total == (long) CODECS.size() * PER_CODEC, "end offsets " + total);
      for (long begin : consumer.beginningOffsets(all).values()) check(begin == 0, "begin " + begin);
      Map<TopicPartition, Long> times = new HashMap<>();
      for (var partition : all) times.put(partition, 1_000_000L + PER_CODEC / 2);
      for (var found : consumer.offsetsForTimes(times).entrySet()) {
        if (consumer.endOffsets(List.of(found.getKey())).get(found.getKey()) == 0) continue;
        check(found.getValue().timestamp() >= 1_000_000L + PER_CODEC / 2, "time " + found.getValue());
        consumer.assign(List.of(found.getKey()));
        consumer.seek(found.getKey(), found.getValue().offset());
        var first = consumer.poll(Duration.ofSeconds(10)).iterator().next();
        check(first.offset() == found.getValue().offset() && first.timestamp() == found.getValue().timestamp(), "seek");
      }
      var latest = admin.listOffsets(Map.of(all.get(0), OffsetSpec.maxTimestamp())).all().get().get(all.get(0));
      check(latest.offset() >= 0, "maxTimestamp " + latest);
    }
    System.out.println("ok offsets");
  }

  /** Two members share the partitions; when one leaves, the other has them all. */
  static void groupsOf(String name, Class<?> assignor) {
    Object[] pairs = {"partition.assignment.strategy", assignor.getName()};
    try (var first = consumer("java-" + name, pairs)) {
      first.subscribe(List.of("java"));
      poll(first, PARTITIONS);
      try (var second = consumer("java-" + name, pairs)) {
        second.subscribe(List.of("java"));
        long end = System.nanoTime() + 60_000_000_000L;
        while (first.assignment().size() != PARTITIONS / 2 || second.assignment().size() != PARTITIONS / 2) {
          check(System.nanoTime() < end, name + ": " + first.assignment() + " and " + second.assignment());
          first.poll(Duration.ofMillis(100));
          second.poll(Duration.ofMillis(100));
        }
        Set<TopicPartition> both = new HashSet<>(first.assignment());
        both.addAll(second.assignment());
        check(both.size() == PARTITIONS, name + " shares a partition");
      }
      poll(first, PARTITIONS);
    }
    System.out.println("ok group " + name);
  }

  static void poll(Consumer<?, ?> consumer, int partitions) {
    long end = System.nanoTime() + 60_000_000_000L;
    while (consumer.assignment().size() != partitions) {
      check(System.nanoTime() < end, "assigned " + consumer.assignment());
      consumer.poll(Duration.ofMillis(100));
    }
  }

  static void groupAdministration(Admin admin) throws Exception {
    Set<String> groups = new HashSet<>();
    for (var group : admin.listGroups().all().get()) groups.add(group.groupId());
    check(groups.contains("java-all") && groups.contains("java-range"), "groups " + groups);
    var described = admin.describeConsumerGroups(List.of("java-all")).all().get().get("java-all");
    check(described.members().isEmpty(), "members " + described.members());
    admin.alterConsumerGroupOffsets("java-all",
        Map.of(new TopicPartition("java", 0), new OffsetAndMetadata(1, "by hand"))).all().get();
    var offset = admin.listConsumerGroupOffsets("java-all").partitionsToOffsetAndMetadata().get()
                     .get(new TopicPartition("java", 0));
    check(offset.offset() == 1 && offset.metadata().equals("by hand"), "altered " + offset);
    admin.deleteConsumerGroups(List.of("java-all")).all().get();
    refused(GroupIdNotFoundException.class, () -> admin.deleteConsumerGroups(List.of("java-all")).all().get());
    System.out.println("ok group administration");
  }

  static void deleteRecords(Admin admin) throws Exception {
    for (int i = 0; i < PARTITIONS; ++i) {
      var partition = new TopicPartition("java", i);
      var end = admin.listOffsets(Map.of(partition, OffsetSpec.latest())).all().get().get(partition).offset();
      var low = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(-1))).all();
      low.get();
      var begin = admin.listOffsets(Map.of(partition, OffsetSpec.earliest())).all().get().get(partition).offset();
      check(begin == end, "begin " + begin + " of " + end);
    }
    System.out.println("ok delete records");
  }

  static void refusals(Admin admin) throws Exception {
    refused(UnknownTopicOrPartitionException.class,
        () -> admin.describeTopics(List.of("nowhere")).allTopicNames().get());
    refused(InvalidReplicationFactorException.class,
        () -> admin.createTopics(List.of(new NewTopic("three", 1, (short) 3))).all().get());
    try (var producer = new KafkaProducer<>(settings("transactional.id", "t"), new StringSerializer(),
             new StringSerializer())) {
      refused(TransactionalIdAuthorizationException.class, producer::initTransactions);
    }
    try (var consumer = consumer("java-new", "group.protocol", "consumer")) {
      throw new AssertionError("heartbeat.interval.ms is not for group.protocol=consumer");
    } catch (KafkaException expected) {
      // The client itself refuses the settings of the classic protocol.
    }
    Properties newer = settings("group.id", "java-new", "group.protocol", "consumer");
    try (var consumer = new KafkaConsumer<>(newer, new StringDeserializer(), new StringDeserializer())) {
      consumer.subscribe(List.of("java"));
      refused(UnsupportedVersionException.class, () -> {
        for (int i = 0; i < 50; ++i) consumer.poll(Duration.ofMillis(200));
      });
    }
    System.out.println("ok refusals");
  }
}
