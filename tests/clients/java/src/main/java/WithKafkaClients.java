import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;

import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * Java's own Kafka client: requests and responses by key, then requests and replies by correlation id.
 *
 * <pre>java -cp ... WithKafkaClients 127.0.0.1:9092 embedding all-MiniLM-L6-v2 "a text" "another text"</pre>
 */
public class WithKafkaClients {
    private static final Duration WAIT = Duration.ofSeconds(60);
    private static final int REPLY_PARTITION = 3;

    private final JsonMapper json = new JsonMapper();
    private final String bootstrap;
    private final String prefix;
    private final String model;

    WithKafkaClients(String bootstrap, String prefix, String model) {
        this.bootstrap = bootstrap;
        this.prefix = prefix;
        this.model = model;
    }

    public static void main(String[] args) throws Exception {
        var client = new WithKafkaClients(args[0], args[1], args[2]);
        var texts = List.of(args).subList(3, args.length);
        System.out.println(client.json.writeValueAsString(
                Map.of("by_key", client.askByKey(texts), "by_correlation", client.askByCorrelation(texts))));
    }

    /** Bulk work: a request without id is named by its key, and its response has the same key. */
    private Map<String, Object> askByKey(List<String> texts) throws Exception {
        var keys = texts.stream().map(text -> "document-" + UUID.randomUUID()).toList();
        try (var producer = new KafkaProducer<String, String>(producerSettings())) {
            for (int n = 0; n < keys.size(); n++) {
                var request = Map.of("model", model, "input", texts.get(n));
                producer.send(new ProducerRecord<>(
                        prefix + ".requests", keys.get(n), json.writeValueAsString(request)));
            }
        }

        var vectors = new HashMap<String, float[]>();
        try (var consumer = new KafkaConsumer<String, String>(consumerSettings())) {
            consumer.subscribe(List.of(prefix + ".responses"));
            var until = Instant.now().plus(WAIT);
            while (!vectors.keySet().containsAll(keys)) {
                for (var response : poll(consumer, until)) {
                    if (keys.contains(response.key())) {
                        var numbers = json.readTree(response.value()).at("/data/0/embedding");
                        vectors.put(response.key(), json.treeToValue(numbers, float[].class));
                    }
                }
            }
        }
        return Map.of("vectors", keys.stream().map(vectors::get).toList());
    }

    /**
     * Somebody waits: replies come to a partition of our choice, and are ours by their correlation id. All requests
     * have one key, so they share a partition, and the replies come in the order of the requests.
     */
    private Map<String, Object> askByCorrelation(List<String> texts) throws Exception {
        var replies = new TopicPartition(prefix + ".replies", REPLY_PARTITION);
        var ids = new ArrayList<String>();
        var arrived = new ArrayList<String>();
        var vectors = new HashMap<String, float[]>();
        try (var consumer = new KafkaConsumer<String, String>(consumerSettings());
                var producer = new KafkaProducer<String, String>(producerSettings())) {
            // Where the replies will begin, before anything is sent. No group, no commits.
            consumer.assign(List.of(replies));
            consumer.seek(replies, consumer.endOffsets(List.of(replies)).get(replies));

            for (var text : texts) {
                var id = UUID.randomUUID().toString();
                var request = Map.of("id", id, "model", model, "input", text, "encoding_format", "base64");
                var message = new ProducerRecord<>(
                        prefix + ".requests.interactive", "one conversation", json.writeValueAsString(request));
                var deadline = String.valueOf(System.currentTimeMillis() + WAIT.toMillis());
                message.headers()
                        .add("kafka_correlationId", id.getBytes(StandardCharsets.UTF_8))
                        .add("kafka_replyTopic", replies.topic().getBytes(StandardCharsets.UTF_8))
                        .add("kafka_replyPartition", ByteBuffer.allocate(4).putInt(replies.partition()).array())
                        .add("deadline", deadline.getBytes(StandardCharsets.US_ASCII));
                producer.send(message);
                ids.add(id);
            }

            var until = Instant.now().plus(WAIT);
            while (!vectors.keySet().containsAll(ids)) {
                for (var reply : poll(consumer, until)) {
                    var correlationId = reply.headers().lastHeader("kafka_correlationId");
                    if (correlationId == null) {
                        continue;
                    }
                    var id = new String(correlationId.value(), StandardCharsets.UTF_8);
                    if (ids.contains(id)) { // others share the partition
                        arrived.add(reply.key());
                        vectors.put(id, fromBase64(json.readTree(reply.value()).at("/data/0/embedding")));
                    }
                }
            }
        }
        return Map.of("ids", ids, "arrived", arrived, "vectors", ids.stream().map(vectors::get).toList());
    }

    /** base64 of little-endian float32: about half the bytes of JSON numbers, and exactly the same vector. */
    private static float[] fromBase64(JsonNode embedding) {
        var bytes = ByteBuffer.wrap(Base64.getDecoder().decode(embedding.asString()));
        var floats = bytes.order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
        var vector = new float[floats.remaining()];
        floats.get(vector);
        return vector;
    }

    private static Iterable<ConsumerRecord<String, String>> poll(
            KafkaConsumer<String, String> consumer, Instant until) {
        if (Instant.now().isAfter(until)) {
            throw new IllegalStateException("no answer within " + WAIT + ": is a worker running?");
        }
        return consumer.poll(Duration.ofMillis(100));
    }

    private Properties producerSettings() {
        var settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("key.serializer", StringSerializer.class);
        settings.put("value.serializer", StringSerializer.class);
        return settings;
    }

    private Properties consumerSettings() {
        var settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("group.id", "with-kafka-clients-" + UUID.randomUUID());
        settings.put("group.protocol", "consumer");
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", false);
        settings.put("key.deserializer", StringDeserializer.class);
        settings.put("value.deserializer", StringDeserializer.class);
        return settings;
    }
}
