// The least LwM2M server that can be made of go-coap, for peers.py: registrations in a map, no lifetimes, no notice of
// anything. The argument is the address to listen at.
package main

import (
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"sync"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/mux"
	"github.com/plgd-dev/go-coap/v3/net"
	"github.com/plgd-dev/go-coap/v3/options"
	"github.com/plgd-dev/go-coap/v3/udp"
)

type registration struct {
	queries []string
	links   []byte
	peer    string
}

type registrations struct {
	mu         sync.Mutex
	byLocation map[string]registration
}

func die(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (all *registrations) register(w mux.ResponseWriter, r *mux.Message) {
	queries, _ := r.Options().Queries()
	var links []byte
	if r.Body() != nil {
		links, _ = io.ReadAll(r.Body())
	}
	all.mu.Lock()
	location := strconv.FormatInt(int64(len(all.byLocation)), 16)
	all.byLocation[location] = registration{queries, links, w.Conn().RemoteAddr().String()}
	all.mu.Unlock()
	die(w.SetResponse(codes.Created, message.TextPlain, nil,
		message.Option{ID: message.LocationPath, Value: []byte("rd")},
		message.Option{ID: message.LocationPath, Value: []byte(location)}))
}

func (all *registrations) take(w mux.ResponseWriter, r *mux.Message) {
	at, err := r.Options().Path()
	if err == nil && at == "/rd" && r.Code() == codes.POST {
		all.register(w, r)
		return
	}
	all.mu.Lock()
	_, found := all.byLocation[path.Base(at)]
	if found && r.Code() == codes.DELETE {
		delete(all.byLocation, path.Base(at))
	}
	all.mu.Unlock()
	answer := codes.NotFound
	switch {
	case found && r.Code() == codes.POST:
		answer = codes.Changed
	case found && r.Code() == codes.DELETE:
		answer = codes.Deleted
	}
	die(w.SetResponse(answer, message.TextPlain, nil))
}

func main() {
	all := &registrations{byLocation: map[string]registration{}}
	router := mux.NewRouter()
	router.DefaultHandleFunc(all.take)
	listener, err := net.NewListenUDP("udp4", os.Args[1])
	die(err)
	fmt.Println("ready")
	die(udp.NewServer(options.WithMux(router)).Serve(listener))
}
