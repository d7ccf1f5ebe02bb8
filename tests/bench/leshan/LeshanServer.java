import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import org.eclipse.leshan.core.endpoint.Protocol;
import org.eclipse.leshan.server.LeshanServerBuilder;
import org.eclipse.leshan.server.californium.endpoint.CaliforniumServerEndpointsProvider;
import org.eclipse.leshan.server.californium.endpoint.coap.CoapServerProtocolProvider;

/** An LwM2M server of Leshan's library, for peers.py: CoAP over UDP at 127.0.0.1 and the port of the argument. On each line
 * of standard input it collects garbage and prints how many bytes of the heap are in use. */
public class LeshanServer {
    public static void main(String[] arguments) throws Exception {
        var endpoints = new CaliforniumServerEndpointsProvider.Builder(new CoapServerProtocolProvider());
        endpoints.addEndpoint(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])), Protocol.COAP);
        var builder = new LeshanServerBuilder();
        builder.setEndpointsProviders(endpoints.build());
        builder.build().start();
        System.out.println("ready");
        var lines = new BufferedReader(new InputStreamReader(System.in));
        while (lines.readLine() != null) {
            System.gc();
            System.gc();
            var runtime = Runtime.getRuntime();
            System.out.println(runtime.totalMemory() - runtime.freeMemory());
        }
        System.exit(0);
    }
}
