package perdure.acceptance;

import java.io.BufferedReader;
import java.io.IOException;
import java.net.BindException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** The server under test: PERDURE_ADDRESS when set, else a process of our own on free ports with a fresh store. */
final class TestServer implements AutoCloseable {
    private static final int PORT_MIN = 10_000;
    private static final int PORT_MAX = 32_000;
    private static final long READY_SECONDS_MAX = 30;
    private static final long STOP_SECONDS_MAX = 30;

    private final String address;
    private final List<String> command; // null when the server is not ours
    private final Path directory;
    private Process process;

    private TestServer(String address, List<String> command, Path directory) {
        this.address = address;
        this.command = command;
        this.directory = directory;
    }

    /** An address given means that the server belongs to somebody else, and must not be killed. */
    static String given() {
        String given = System.getenv("PERDURE_ADDRESS");
        return given == null || given.isEmpty() ? null : given;
    }

    static TestServer start() throws IOException, InterruptedException {
        if (given() != null) return new TestServer(given(), null, null);

        Path directory = Files.createTempDirectory("perdure-java-");
        List<Integer> ports = freePorts();
        String address = "127.0.0.1:" + ports.get(0);
        String http = "127.0.0.1:" + ports.get(1);
        String store = "sqlite:" + directory.resolve("perdure.db");
        List<String> command =
                List.of(
                        binary(), "server", "--grpc", address, "--http", http, "--store", store,
                        "--callback-url", "127.0.0.1:*,insecure");
        TestServer server = new TestServer(address, command, directory);
        server.launch();
        return server;
    }

    private void launch() throws IOException, InterruptedException {
        process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        awaitReady();
    }

    /** Kills the process as a power cut would, and starts it again on the same ports and the same store. */
    void restart() throws IOException, InterruptedException {
        process.destroyForcibly().waitFor(); // SIGKILL
        launch();
    }

    String address() {
        return address;
    }

    private static String binary() {
        String named = System.getenv("PERDURE_BINARY");
        if (named != null && !named.isEmpty()) return named;
        return Path.of(System.getProperty("perdure.repository"), "build", "dev", "perdure").toString();
    }

    /**
     * Two ports below those that the system gives to outgoing connections: one of those would be taken while a killed
     * server is away.
     */
    private static List<Integer> freePorts() throws IOException {
        // Both are held at once, so that they differ.
        try (ServerSocket first = anyPort();
                ServerSocket second = anyPort()) {
            return List.of(first.getLocalPort(), second.getLocalPort());
        }
    }

    private static ServerSocket anyPort() throws IOException {
        for (;;) {
            int port = ThreadLocalRandom.current().nextInt(PORT_MIN, PORT_MAX);
            try {
                return new ServerSocket(port, 1, InetAddress.getLoopbackAddress());
            } catch (BindException taken) {
                // The next one, then.
            }
        }
    }

    private void awaitReady() throws InterruptedException {
        CompletableFuture<Boolean> ready = new CompletableFuture<>();
        Thread reader = new Thread(() -> readOutput(ready), "server-output");
        reader.setDaemon(true);
        reader.start();
        boolean serves = false;
        try {
            serves = ready.get(READY_SECONDS_MAX, TimeUnit.SECONDS);
        } catch (ExecutionException | TimeoutException late) {
            throw new IllegalStateException("the server was not ready in " + READY_SECONDS_MAX + " s", late);
        } finally {
            if (!serves) process.destroyForcibly();
        }
        if (!serves) throw new IllegalStateException("the server ended before it was ready");
    }

    /** Reads to the end, so that the server never blocks on a full pipe. */
    private void readOutput(CompletableFuture<Boolean> ready) {
        try (BufferedReader lines = process.inputReader()) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                if (line.contains("ready")) ready.complete(true);
            }
            ready.complete(false);
        } catch (IOException broken) {
            ready.completeExceptionally(broken);
        }
    }

    @Override
    public void close() throws IOException, InterruptedException {
        if (process == null) return;
        process.destroy(); // SIGTERM
        if (!process.waitFor(STOP_SECONDS_MAX, TimeUnit.SECONDS)) {
            process.destroyForcibly();
            throw new IllegalStateException("the server did not end in " + STOP_SECONDS_MAX + " s after SIGTERM");
        }
        if (process.exitValue() != 0) {
            throw new IllegalStateException("the server ended with " + process.exitValue() + " after SIGTERM");
        }
        List<Path> leftovers;
        try (var found = Files.walk(directory)) {
            leftovers = found.sorted(Comparator.reverseOrder()).toList();
        }
        for (Path leftover : leftovers) Files.deleteIfExists(leftover);
    }
}
