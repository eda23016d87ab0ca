// Keep each message in a file of its own, once.
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public class Subscriber {
  static final Set<String> MESSAGES = Set.of("C2C.CallbackAfterSendMsg", "Group.CallbackAfterSendMsg");
  static final Path EFFECTS = Path.of(System.getenv().getOrDefault("EFFECTS", "effects"));
  static final Map<String, Object> SETTINGS = Map.of(
      "bootstrap.servers", System.getenv().getOrDefault("KAFKA", "127.0.0.1:9094"),
      "group.id", System.getenv().getOrDefault("GROUP", "my-team"),
      "isolation.level", "read_committed", // the default also reads aborted transactions
      "auto.offset.reset", "earliest", "enable.auto.commit", false, "session.timeout.ms", 10_000);

  static void keep(String id, byte[] body) throws java.io.IOException {
    Path part = Files.createTempFile(EFFECTS, id, ".part");
    Files.write(part, body, StandardOpenOption.WRITE, StandardOpenOption.SYNC);
    // The name drops repeats. A Set in memory is empty after a restart, and lacks what others have kept.
    try { Files.createLink(EFFECTS.resolve(id), part); } catch (FileAlreadyExistsException repeat) { }
    Files.delete(part);
  }

  public static void main(String[] args) throws Exception {
    Files.createDirectories(EFFECTS);
    Thread main = Thread.currentThread();
    try (var consumer = new KafkaConsumer<>(SETTINGS, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      Runtime.getRuntime().addShutdownHook(new Thread(() -> { consumer.wakeup(); try { main.join(); } catch (InterruptedException e) { } }));
      consumer.subscribe(List.of("tim.callbacks.v1"));
      while (true) {
        for (var record : consumer.poll(Duration.ofMillis(500)))
          if (MESSAGES.contains(new String(record.headers().lastHeader("ce_type").value())))
            keep(new String(record.headers().lastHeader("ce_id").value()), record.value());
        try { consumer.commitSync(); } catch (CommitFailedException | RebalanceInProgressException moved) { }
      }
    } catch (WakeupException stop) { }
  }
}
