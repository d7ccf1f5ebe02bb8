import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.scandium.config.DtlsConfig;
import org.eclipse.leshan.client.LeshanClient;
import org.eclipse.leshan.client.LeshanClientBuilder;
import org.eclipse.leshan.client.californium.endpoint.CaliforniumClientEndpointsProvider;
import org.eclipse.leshan.client.californium.endpoint.coap.CoapClientProtocolProvider;
import org.eclipse.leshan.client.californium.endpoint.coaps.CoapsClientProtocolProvider;
import org.eclipse.leshan.client.endpoint.LwM2mClientEndpoint;
import org.eclipse.leshan.client.object.Device;
import org.eclipse.leshan.client.object.LwM2mTestObject;
import org.eclipse.leshan.client.object.Security;
import org.eclipse.leshan.client.object.Server;
import org.eclipse.leshan.client.observer.LwM2mClientObserverAdapter;
import org.eclipse.leshan.client.resource.LwM2mInstanceEnabler;
import org.eclipse.leshan.client.resource.ObjectsInitializer;
import org.eclipse.leshan.client.resource.SimpleInstanceEnabler;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.ResponseCode;
import org.eclipse.leshan.core.LwM2m;
import org.eclipse.leshan.core.model.ObjectLoader;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.model.ResourceModel;
import org.eclipse.leshan.core.model.StaticModel;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.request.RegisterRequest;
import org.eclipse.leshan.core.request.UpdateRequest;
import org.eclipse.leshan.core.request.WriteRequest;
import org.eclipse.leshan.core.response.SendResponse;
import org.eclipse.leshan.core.util.Hex;

/**
 * A device on Leshan's client library, for test_leshan.py: java LeshanDevice URI ENDPOINT [NAME=VALUE…]. It prints a line
 * for what happens, and does what the lines of its standard input say: send FORMAT PATH…, update, reconnect resume|full,
 * set VALUE (of /3442/0/110), quit.
 *
 * psk=IDENTITY:HEX, or cert=, key= and server= with files in DER (the server's certificate, for domain issued
 * certificates), choose DTLS; cid=LENGTH asks for connection IDs, with its own of so many bytes.
 */
public class LeshanDevice {
    private static final int TEST_OBJECT = 3442;

    private static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    /** The LwM2M v1.1 Test Object, as far as LwM2mTestObject has values for it. */
    private static ObjectModel testObject() {
        List<ResourceModel> resources = new ArrayList<>();
        ResourceModel.Type[] types = { ResourceModel.Type.STRING, ResourceModel.Type.INTEGER,
                ResourceModel.Type.UNSIGNED_INTEGER, ResourceModel.Type.FLOAT, ResourceModel.Type.BOOLEAN,
                ResourceModel.Type.OPAQUE, ResourceModel.Type.TIME, ResourceModel.Type.OBJLNK,
                ResourceModel.Type.CORELINK };
        int[] ids = { 110, 120, 125, 130, 140, 150, 160, 170, 180 };
        for (int i = 0; i < ids.length; i++) {
            resources.add(new ResourceModel(ids[i], "value " + ids[i], ResourceModel.Operations.RW, false, false,
                    types[i], null, null, null));
            resources.add(new ResourceModel(ids[i] + 1000, "values " + ids[i], ResourceModel.Operations.RW, true, false,
                    types[i], null, null, null));
        }
        resources.add(new ResourceModel(0, "reset", ResourceModel.Operations.E, false, false, ResourceModel.Type.NONE,
                null, null, null));
        resources.add(new ResourceModel(2, "clear", ResourceModel.Operations.E, false, false, ResourceModel.Type.NONE,
                null, null, null));
        return new ObjectModel(TEST_OBJECT, "test", null, "1.0", true, false, resources);
    }

    private static class Narrator extends LwM2mClientObserverAdapter {
        @Override
        public void onRegistrationSuccess(LwM2mServer server, RegisterRequest request, String id) {
            say("registered " + id);
        }

        @Override
        public void onRegistrationFailure(LwM2mServer server, RegisterRequest request, ResponseCode code, String message,
                Exception cause) {
            say("refused " + code);
        }

        @Override
        public void onUpdateSuccess(LwM2mServer server, UpdateRequest request) {
            say("updated");
        }

        @Override
        public void onUpdateFailure(LwM2mServer server, UpdateRequest request, ResponseCode code, String message,
                Exception cause) {
            say("update refused " + code);
        }

        @Override
        public void onUnexpectedError(Throwable error) {
            say("error " + error);
        }
    }

    private static void send(LeshanClient client, String[] words) throws InterruptedException {
        LwM2mServer server = client.getRegisteredServers().values().iterator().next();
        List<String> paths = Arrays.asList(words).subList(2, words.length);
        SendResponse response = client.getSendService().sendData(server, ContentFormat.fromName(words[1]), paths, 5000);
        say("sent " + response.getCode());
    }

    /** A new handshake, then an Update. */
    private static void reconnect(LeshanClient client, boolean resume) {
        LwM2mServer server = client.getRegisteredServers().values().iterator().next();
        LwM2mClientEndpoint endpoint = client.getEndpoint(server);
        endpoint.forceReconnection(server, resume);
        client.triggerRegistrationUpdate();
    }

    private static byte[] file(String name) throws Exception {
        return Files.readAllBytes(Paths.get(name));
    }

    private static Security security(String uri, Map<String, String> options) throws Exception {
        if (options.containsKey("psk")) {
            String[] psk = options.get("psk").split(":");
            return Security.psk(uri, 1, psk[0].getBytes(StandardCharsets.UTF_8), Hex.decodeHex(psk[1].toCharArray()));
        }
        if (options.containsKey("cert"))
            return Security.x509(uri, 1, file(options.get("cert")), file(options.get("key")), file(options.get("server")));
        return Security.noSec(uri, 1);
    }

    private static CaliforniumClientEndpointsProvider transport(Map<String, String> options) {
        CaliforniumClientEndpointsProvider.Builder builder = new CaliforniumClientEndpointsProvider.Builder(
                new CoapClientProtocolProvider(), new CoapsClientProtocolProvider());
        Configuration configuration = builder.createDefaultConfiguration();
        if (options.containsKey("cid"))
            configuration.set(DtlsConfig.DTLS_CONNECTION_ID_LENGTH, Integer.valueOf(options.get("cid")));
        return builder.setConfiguration(configuration).build();
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (String option : Arrays.asList(arguments).subList(2, arguments.length))
            options.put(option.substring(0, option.indexOf('=')), option.substring(option.indexOf('=') + 1));
        List<ObjectModel> models = new ArrayList<>(ObjectLoader.loadDefault(LwM2m.LwM2mVersion.V1_1));
        models.add(testObject());
        ObjectsInitializer objects = new ObjectsInitializer(new StaticModel(models));
        objects.setInstancesForObject(0, security(arguments[0], options));
        objects.setInstancesForObject(1, new Server(1, 300));
        objects.setInstancesForObject(3, new Device("Leshan", "interop", "1"));
        objects.setInstancesForObject(TEST_OBJECT, new LwM2mInstanceEnabler[] { new LwM2mTestObject() });
        objects.setClassForObject(TEST_OBJECT, SimpleInstanceEnabler.class);
        LeshanClientBuilder builder = new LeshanClientBuilder(arguments[1]);
        builder.setObjects(objects.create(0, 1, 3, TEST_OBJECT));
        builder.setEndpointsProviders(transport(options));
        LeshanClient client = builder.build();
        client.addObserver(new Narrator());
        client.start();
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null && !line.equals("quit"); line = input.readLine()) {
            String[] words = line.split(" ");
            if (words[0].equals("send"))
                send(client, words);
            else if (words[0].equals("update"))
                client.triggerRegistrationUpdate();
            else if (words[0].equals("set"))
                client.getObjectTree().getObjectEnabler(TEST_OBJECT).write(LwM2mServer.SYSTEM,
                        new WriteRequest(TEST_OBJECT, 0, 110, words[1]));
            else if (words[0].equals("reconnect"))
                reconnect(client, words[1].equals("resume"));
        }
        client.destroy(true);
        say("ended");
    }
}
