import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A device test in JUnit, against the Berth at $BERTH_URL, which serves devices at $BERTH_COAP. */
class DeviceTest {
    static final String BERTH = env("BERTH_URL", "http://127.0.0.1:8080");
    static final String COAP = env("BERTH_COAP", "coap://127.0.0.1:5683");
    static final HttpClient HTTP = HttpClient.newHttpClient();

    final String endpoint = "junit-" + System.nanoTime();
    Process device;

    static String env(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }

    /** The device under test. Start yours here instead. */
    @BeforeEach
    void startDevice() throws Exception {
        device = new ProcessBuilder(env("BERTH_DEVICE", "berth-device"), "--server", COAP, "--endpoint", endpoint)
                .redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
        call("GET", "/v1/devices/" + endpoint + "?wait=registered&timeout=10s", null);
    }

    @AfterEach
    void killDevice() throws Exception {
        device.destroyForcibly().waitFor();
    }

    void tellDevice(String command) throws IOException {
        device.getOutputStream().write((command + "\n").getBytes());
        device.getOutputStream().flush();
    }

    /** What Berth answers, in JSON; an error fails the test, with what Berth says about it. */
    static String call(String method, String path, String json) throws Exception {
        HttpRequest.BodyPublisher body =
                json == null ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofString(json);
        HttpRequest request = HttpRequest.newBuilder(URI.create(BERTH + path)).method(method, body)
                .header("Content-Type", "application/json").build();
        HttpResponse<String> answer = HTTP.send(request, HttpResponse.BodyHandlers.ofString());
        assertTrue(answer.statusCode() < 400, () -> method + " " + path + ": " + answer.statusCode() + " " + answer.body());
        return answer.body();
    }

    /** A member of a JSON object, as it is written there: the JDK has no parser, and this is all that we need. */
    static String member(String json, String name) {
        Matcher matcher = Pattern.compile("\"" + name + "\" *: *(\"[^\"]*\"|[^,}\\]]+)").matcher(json);
        assertTrue(matcher.find(), () -> name + " is not in " + json);
        return matcher.group(1);
    }

    static String cursor() throws Exception {
        return member(call("GET", "/v1/events/last", null), "last");
    }

    /** The device's event that meets the condition, whether it has come after the cursor already or is still to come. */
    String await(String after, String condition) throws Exception {
        String body = String.format("{\"after\":%s,\"endpoint\":\"%s\",%s}", after, endpoint, condition);
        return call("POST", "/v1/wait", body);
    }

    static void leap(String duration) throws Exception {
        call("POST", "/v1/clock", "{\"advance\":\"" + duration + "\"}");
    }

    @Test
    void registersForFiveMinutes() throws Exception {
        assertEquals("300", member(call("GET", "/v1/devices/" + endpoint, null), "lifetime_s"));
    }

    @Test
    void keepsWhatIsWritten() throws Exception {
        call("PUT", "/v1/devices/" + endpoint + "/3/0/14", "\"+02:00\"");
        assertEquals("\"+02:00\"", member(call("GET", "/v1/devices/" + endpoint + "/3/0/14", null), "value"));
    }

    @Test
    void tellsWhenItGetsWarm() throws Exception {
        call("PUT", "/v1/devices/" + endpoint + "/3303/0/5700/observe", null);
        String before = cursor();
        tellDevice("set 3303/0/5700 26.5");
        String warm = await(before, "\"type\":\"notification\",\"timeout\":\"10s\","
                + "\"match\":{\"path\":\"/3303/0/5700\",\"value\":{\"gte\":25}}");
        assertEquals(26.5, Double.parseDouble(member(warm, "value")));
    }

    @Test
    void registersAnewWhenTheServerHasForgottenIt() throws Exception {
        call("GET", "/v1/devices/" + endpoint + "/3/0/0", null); // it has heard that it is registered
        call("DELETE", "/v1/devices/" + endpoint, null);
        String before = cursor();
        tellDevice("update"); // which is answered with 4.04
        await(before, "\"type\":\"registered\",\"timeout\":\"10s\"");
    }

    @Test
    void expiresWhenItDiesAndNotBefore() throws Exception {
        killDevice();
        String before = cursor();
        leap("5m");
        await(before, "\"type\":\"expired\",\"absent\":true,\"timeout\":\"0s\"");
        leap("2m");
        await(before, "\"type\":\"expired\",\"timeout\":\"10s\"");
    }
}
