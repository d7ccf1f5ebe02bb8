// A device test in Go, against the Berth at $BERTH_URL, which serves devices at $BERTH_COAP.
package device

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

type object = map[string]any

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// call asks Berth, with a body in JSON unless it is nil, and decodes what it answers. Any error fails the test, with what
// Berth says about it.
func call(t *testing.T, method, path string, body any) object {
	t.Helper()
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		sent = strings.NewReader(string(text))
	}
	request, err := http.NewRequest(method, env("BERTH_URL", "http://127.0.0.1:8080")+path, sent)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 400 {
		t.Fatalf("%s %s: %s %s %v", method, path, answer.Status, text, err)
	}
	document := object{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &document); err != nil {
			t.Fatalf("%s %s: %s: %v", method, path, text, err)
		}
	}
	return document
}

func cursor(t *testing.T) any {
	return call(t, "GET", "/v1/events/last", nil)["last"]
}

// await returns the event that meets the condition, whether it has come after the cursor already or is still to come.
func await(t *testing.T, after any, condition object) object {
	t.Helper()
	body := object{"after": after, "timeout": "10s"}
	for name, value := range condition {
		body[name] = value
	}
	return call(t, "POST", "/v1/wait", body)
}

func leap(t *testing.T, duration string) {
	call(t, "POST", "/v1/clock", object{"advance": duration})
}

type device struct {
	endpoint string
	commands io.Writer
	kill     func()
}

// start runs the device under test until the test is over. Start yours here instead.
func start(t *testing.T) *device {
	t.Helper()
	endpoint := fmt.Sprintf("go-%d-%s", os.Getpid(), t.Name())
	command := exec.Command(env("BERTH_DEVICE", "berth-device"),
		"--server", env("BERTH_COAP", "coap://127.0.0.1:5683"), "--endpoint", endpoint)
	commands, err := command.StdinPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	kill := func() {
		command.Process.Kill()
		command.Wait()
	}
	t.Cleanup(kill)
	call(t, "GET", "/v1/devices/"+endpoint+"?wait=registered&timeout=10s", nil)
	return &device{endpoint, commands, kill}
}

func TestRegistersForFiveMinutes(t *testing.T) {
	d := start(t)
	if lifetime := call(t, "GET", "/v1/devices/"+d.endpoint, nil)["lifetime_s"]; lifetime != 300.0 {
		t.Errorf("a lifetime of %v", lifetime)
	}
}

func TestKeepsWhatIsWritten(t *testing.T) {
	d := start(t)
	call(t, "PUT", "/v1/devices/"+d.endpoint+"/3/0/14", "+02:00")
	if value := call(t, "GET", "/v1/devices/"+d.endpoint+"/3/0/14", nil)["value"]; value != "+02:00" {
		t.Errorf("%v was read", value)
	}
}

func TestTellsWhenItGetsWarm(t *testing.T) {
	d := start(t)
	call(t, "PUT", "/v1/devices/"+d.endpoint+"/3303/0/5700/observe", nil)
	before := cursor(t)
	fmt.Fprintln(d.commands, "set 3303/0/5700 26.5")
	warm := await(t, before, object{"type": "notification", "endpoint": d.endpoint,
		"match": object{"path": "/3303/0/5700", "value": object{"gte": 25}}})
	if warm["value"] != 26.5 {
		t.Errorf("it told %v", warm["value"])
	}
}

func TestRegistersAnewWhenTheServerHasForgottenIt(t *testing.T) {
	d := start(t)
	call(t, "GET", "/v1/devices/"+d.endpoint+"/3/0/0", nil) // it has heard that it is registered
	call(t, "DELETE", "/v1/devices/"+d.endpoint, nil)
	before := cursor(t)
	fmt.Fprintln(d.commands, "update") // which is answered with 4.04
	await(t, before, object{"type": "registered", "endpoint": d.endpoint})
}

func TestExpiresWhenItDiesAndNotBefore(t *testing.T) {
	d := start(t)
	d.kill()
	before := cursor(t)
	leap(t, "5m")
	await(t, before, object{"type": "expired", "endpoint": d.endpoint, "absent": true, "timeout": "0s"})
	leap(t, "2m")
	await(t, before, object{"type": "expired", "endpoint": d.endpoint})
}
