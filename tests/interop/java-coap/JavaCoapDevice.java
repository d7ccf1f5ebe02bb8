import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;

import javax.net.SocketFactory;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

import com.mbed.coap.client.RegistrationManager;
import com.mbed.coap.packet.BlockSize;
import com.mbed.coap.packet.CoapRequest;
import com.mbed.coap.packet.CoapResponse;
import com.mbed.coap.packet.Code;
import com.mbed.coap.packet.MediaTypes;
import com.mbed.coap.packet.Opaque;
import com.mbed.coap.server.CoapServer;
import com.mbed.coap.server.RouterService;
import com.mbed.coap.server.TcpCoapServer;
import com.mbed.coap.server.observe.ObserversManager;
import com.mbed.coap.transport.TransportContext;
import com.mbed.coap.transport.javassl.SocketClientTransport;
import com.mbed.coap.transport.udp.DatagramSocketTransport;
import com.mbed.coap.utils.Service;

/**
 * A device on the java-coap library, for test_java_coap.py: java JavaCoapDevice URI [CA DEVICE.p12], over UDP, TCP or TLS
 * as the scheme says. It registers, prints a line for what happens, and does what the lines of its standard input say: set
 * VALUE (of /3303/0/5700), send TEXT, ping, quit.
 */
public class JavaCoapDevice {
    private static final short OCTETS = MediaTypes.CT_APPLICATION_OCTET__STREAM;
    private static volatile String temperature = "20.5";
    private static volatile Opaque large = pattern(5000);

    private static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    private static Opaque pattern(int length) {
        byte[] bytes = new byte[length];
        for (int i = 0; i < length; i++)
            bytes[i] = (byte) i;
        return new Opaque(bytes);
    }

    private static SocketFactory tls(String authority, String device) throws Exception {
        char[] password = "berth".toCharArray();
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        try (FileInputStream file = new FileInputStream(authority)) {
            Certificate certificate = CertificateFactory.getInstance("X.509").generateCertificate(file);
            trusted.setCertificateEntry("server", certificate);
        }
        KeyStore own = KeyStore.getInstance("PKCS12");
        try (FileInputStream file = new FileInputStream(device)) {
            own.load(file, password);
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(trusted);
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(own, password);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        return context.getSocketFactory();
    }

    private static CoapServer server(URI uri, String[] arguments, RouterService.RouteBuilder routes) throws Exception {
        InetSocketAddress address = new InetSocketAddress(uri.getHost(), uri.getPort());
        switch (uri.getScheme()) {
        case "coap":
            return CoapServer.builder().transport(DatagramSocketTransport.udp()).blockSize(BlockSize.S_512).route(routes)
                    .build();
        case "coap+tcp":
            return TcpCoapServer.builder().transport(new SocketClientTransport(address, SocketFactory.getDefault(), true))
                    .blockSize(BlockSize.S_1024_BERT).maxMessageSize(4096).route(routes).build();
        default:
            // SSLSocketClientTransport tells of its handshake before it has a socket to tell of, now and then
            return TcpCoapServer.builder()
                    .transport(new SocketClientTransport(address, tls(arguments[1], arguments[2]), true))
                    .blockSize(BlockSize.S_1024_BERT).maxMessageSize(4096).route(routes).build();
        }
    }

    public static void main(String[] arguments) throws Exception {
        URI uri = URI.create(arguments[0]);
        ObserversManager observers = new ObserversManager();
        Service<CoapRequest, CoapResponse> reading = request -> CoapResponse.ok(temperature, MediaTypes.CT_TEXT_PLAIN)
                .toFuture();
        RouterService.RouteBuilder routes = RouterService.builder()
                .get("/3/0/0", request -> CoapResponse.ok("java-coap", MediaTypes.CT_TEXT_PLAIN).toFuture())
                .post("/3/0/4", request -> {
                    say("reboot");
                    return CoapResponse.coapResponse(Code.C204_CHANGED).toFuture();
                })
                .get("/3303/0/5700", observers.then(reading))
                .get("/42/0/1", request -> CoapResponse.ok(large).contentFormat(OCTETS).toFuture())
                .put("/42/0/1", request -> {
                    large = request.getPayload();
                    say("written " + large.size());
                    return CoapResponse.coapResponse(Code.C204_CHANGED).toFuture();
                });
        CoapServer server = server(uri, arguments, routes);
        observers.init(server);
        server.start();
        ScheduledExecutorService executor = Executors.newSingleThreadScheduledExecutor(work -> {
            Thread thread = new Thread(work);
            thread.setDaemon(true);
            return thread;
        });
        RegistrationManager registration = new RegistrationManager(server, uri, "</1/0>,</3/0>,</3303/0>,</42/0>", executor);
        registration.register().join();
        say("registered " + registration.isRegistered());
        InetSocketAddress address = new InetSocketAddress(uri.getHost(), uri.getPort());
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null && !line.equals("quit"); line = input.readLine()) {
            String[] words = line.split(" ", 2);
            if (words[0].equals("set")) {
                temperature = words[1];
                observers.sendObservation("/3303/0/5700", reading);
            } else if (words[0].equals("send")) {
                CoapRequest request = CoapRequest.post("/dp").payload(words[1], (short) 110).to(address);
                say("sent " + server.clientService().apply(request).join().getCode());
            } else if (words[0].equals("ping")) {
                CoapRequest ping = CoapRequest.ping(address, TransportContext.EMPTY);
                say("pong " + server.clientService().apply(ping).join().getCode());
            }
        }
        registration.removeRegistration();
        say("ended");
        Thread.sleep(500); // the library does not tell when that has been answered
        server.stop();
        System.exit(0);
    }
}
