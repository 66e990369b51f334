import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.listener.ContainerProperties;
import org.springframework.kafka.listener.KafkaMessageListenerContainer;
import org.springframework.kafka.requestreply.ReplyingKafkaTemplate;
import org.springframework.kafka.requestreply.RequestReplyFuture;
import org.springframework.kafka.support.TopicPartitionOffset;
import org.springframework.kafka.support.serializer.JacksonJsonDeserializer;
import org.springframework.kafka.support.serializer.JacksonJsonSerializer;
import tools.jackson.databind.json.JsonMapper;

/**
 * Spring's ReplyingKafkaTemplate, as it comes: its header names are the ones the worker reads.
 *
 * <pre>java -cp ... WithSpring 127.0.0.1:9092 embedding all-MiniLM-L6-v2 "a text" "another text"</pre>
 */
public class WithSpring {
    private static final Duration WAIT = Duration.ofSeconds(60);
    private static final int REPLY_PARTITION = 5;

    record EmbeddingRequest(String id, String model, String input) {}

    record EmbeddingResponse(String id, List<Embedding> data, Usage usage, Failure error) {}

    record Embedding(int index, float[] embedding) {}

    record Usage(int prompt_tokens, int total_tokens) {}

    record Failure(String code, String message) {}

    public static void main(String[] args) throws Exception {
        var bootstrap = args[0];
        var requests = args[1] + ".requests.interactive";
        var replies = args[1] + ".replies";
        var model = args[2];
        var texts = List.of(args).subList(3, args.length);

        var consumers = new DefaultKafkaConsumerFactory<>(
                Map.of("bootstrap.servers", bootstrap, "enable.auto.commit", false),
                new StringDeserializer(),
                new JacksonJsonDeserializer<>(EmbeddingResponse.class, false));
        var producers = new DefaultKafkaProducerFactory<String, EmbeddingRequest>(
                Map.of("bootstrap.servers", bootstrap), new StringSerializer(), new JacksonJsonSerializer<>());

        // One partition, from the end it has now: so no reply is missed, and there is no assignment to wait for.
        // The template puts topic and partition into each request's headers.
        var partition = new TopicPartition(replies, REPLY_PARTITION);
        long end;
        try (var consumer = consumers.createConsumer("never-joined", "")) {
            end = consumer.endOffsets(List.of(partition)).get(partition);
        }
        var place = new TopicPartitionOffset(replies, REPLY_PARTITION, end);
        var container = new KafkaMessageListenerContainer<>(consumers, new ContainerProperties(place));

        var template = new ReplyingKafkaTemplate<String, EmbeddingRequest, EmbeddingResponse>(producers, container);
        template.setDefaultReplyTimeout(WAIT);
        template.setReplyErrorChecker(reply -> {
            var error = ((EmbeddingResponse) reply.value()).error();
            return error == null ? null : new IllegalArgumentException(error.code() + ": " + error.message());
        });
        template.afterPropertiesSet();
        template.start();
        try {
            System.out.println(new JsonMapper().writeValueAsString(ask(template, requests, model, texts)));
        } finally {
            template.stop(); // an application context would do these three
            template.destroy();
            producers.destroy();
        }
    }

    private static Map<String, Object> ask(
            ReplyingKafkaTemplate<String, EmbeddingRequest, EmbeddingResponse> template,
            String requests,
            String model,
            List<String> texts)
            throws Exception {
        var ids = new ArrayList<String>();
        var futures = new ArrayList<RequestReplyFuture<String, EmbeddingRequest, EmbeddingResponse>>();
        for (var text : texts) {
            var request = new EmbeddingRequest(UUID.randomUUID().toString(), model, text);
            ids.add(request.id());
            futures.add(template.sendAndReceive(new ProducerRecord<>(requests, request.id(), request)));
        }

        var keys = new ArrayList<String>();
        var vectors = new ArrayList<float[]>();
        for (var future : futures) {
            var reply = future.get(WAIT.toSeconds(), TimeUnit.SECONDS);
            keys.add(reply.key());
            vectors.add(reply.value().data().get(0).embedding());
        }

        var answer = new HashMap<String, Object>(Map.of("ids", ids, "keys", keys, "vectors", vectors));
        var tooLong = new EmbeddingRequest(UUID.randomUUID().toString(), model, "word ".repeat(1000));
        try {
            template.sendAndReceive(new ProducerRecord<>(requests, tooLong.id(), tooLong)).get();
        } catch (ExecutionException error) {
            answer.put("refused", error.getCause().getMessage());
        }
        return answer;
    }
}
