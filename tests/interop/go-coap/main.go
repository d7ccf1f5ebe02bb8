// A device over TCP for tests, on go-coap. It registers with the server at the address in its first argument, under the
// name in the second, prints the location, and then takes a command from each line of standard input, answered with a
// line of its own: update, deregister, ping, notify VALUE, quit.
//
// Of it can be read /3/0/9 (text, observable) and /3/0/0 (as many bytes as the third argument says); what is written
// to /3/0/15 is read back from there; everything else is 4.04.
package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/mux"
	"github.com/plgd-dev/go-coap/v3/options"
	"github.com/plgd-dev/go-coap/v3/tcp"
	"github.com/plgd-dev/go-coap/v3/tcp/client"
)

const (
	links   = "</1/0>,</3/0>"
	patient = 10 * time.Second
)

type device struct {
	mu       sync.Mutex
	value    string // /3/0/9
	written  []byte // /3/0/15
	large    []byte // /3/0/0
	observer message.Token
	sequence uint32
}

func say(format string, arguments ...any) {
	fmt.Printf(format+"\n", arguments...)
}

func die(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (d *device) read(w mux.ResponseWriter, r *mux.Message, path string) {
	observe, err := r.Options().Observe()
	switch path {
	case "/3/0/0":
		die(w.SetResponse(codes.Content, message.TextPlain, bytes.NewReader(d.large)))
	case "/3/0/15":
		die(w.SetResponse(codes.Content, message.TextPlain, bytes.NewReader(d.written)))
	case "/3/0/9":
		var more []message.Option
		if err == nil && observe == 0 {
			d.observer, d.sequence = append(message.Token{}, r.Token()...), 1
			more = append(more, message.Option{ID: message.Observe, Value: []byte{1}})
		} else if err == nil {
			d.observer = nil
		}
		die(w.SetResponse(codes.Content, message.TextPlain, strings.NewReader(d.value), more...))
	default:
		die(w.SetResponse(codes.NotFound, message.TextPlain, nil))
	}
}

func (d *device) serve(w mux.ResponseWriter, r *mux.Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	path, err := r.Options().Path()
	if err != nil {
		path = "/"
	}
	switch {
	case r.Code() == codes.GET:
		d.read(w, r, path)
	case r.Code() == codes.PUT && path == "/3/0/15":
		d.written, err = io.ReadAll(r.Body())
		die(err)
		die(w.SetResponse(codes.Changed, message.TextPlain, nil))
	case r.Code() == codes.POST:
		die(w.SetResponse(codes.Changed, message.TextPlain, nil))
	default:
		die(w.SetResponse(codes.MethodNotAllowed, message.TextPlain, nil))
	}
}

func (d *device) notify(conn *client.Conn, value string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.value = value
	d.sequence++
	notification := conn.AcquireMessage(conn.Context())
	defer conn.ReleaseMessage(notification)
	notification.SetCode(codes.Content)
	notification.SetToken(d.observer)
	notification.SetObserve(d.sequence)
	notification.SetContentFormat(message.TextPlain)
	notification.SetBody(strings.NewReader(value))
	return conn.WriteMessage(notification)
}

func register(conn *client.Conn, name string) string {
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	var query []message.Option
	for _, item := range []string{"ep=" + name, "lt=86400", "lwm2m=1.1", "b=T"} {
		query = append(query, message.Option{ID: message.URIQuery, Value: []byte(item)})
	}
	answer, err := conn.Post(ctx, "/rd", message.AppLinkFormat, strings.NewReader(links), query...)
	die(err)
	location, err := answer.Options().LocationPath()
	die(err)
	say("%v %v", answer.Code(), location)
	return location
}

func obey(conn *client.Conn, d *device, location, command string) {
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	word, rest, _ := strings.Cut(command, " ")
	switch word {
	case "update":
		answer, err := conn.Post(ctx, location, message.TextPlain, nil)
		die(err)
		say("%v", answer.Code())
	case "deregister":
		answer, err := conn.Delete(ctx, location)
		die(err)
		say("%v", answer.Code())
	case "ping":
		die(conn.Ping(ctx))
		say("pong")
	case "notify":
		die(d.notify(conn, rest))
		say("notified")
	default:
		say("what?")
	}
}

func main() {
	size, err := strconv.Atoi(os.Args[3])
	die(err)
	d := &device{value: "95", large: bytes.Repeat([]byte("x"), size)}
	conn, err := tcp.Dial(os.Args[1], options.WithMux(mux.HandlerFunc(d.serve)))
	die(err)
	location := register(conn, os.Args[2])
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() && lines.Text() != "quit" {
		obey(conn, d, location, lines.Text())
	}
	die(conn.Close())
}
