// A DTLS client for tests, on pion/dtls. It is spoken to like tests/tools/dtls_client.c, and takes of its options
// --port, --psk, --cert, --key, --suite (its number) and --cid. It can't renegotiate.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
)

// A socket that can be changed for another one under a session.
type socket struct {
	mu  sync.Mutex
	now *net.UDPConn
}

func (s *socket) open() error {
	fresh, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	s.mu.Lock()
	before := s.now
	s.now = fresh
	s.mu.Unlock()
	if before != nil {
		before.Close()
	}
	return nil
}

func (s *socket) current() *net.UDPConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *socket) ReadFrom(bytes []byte) (int, net.Addr, error) {
	for {
		conn := s.current()
		n, from, err := conn.ReadFrom(bytes)
		if err != nil && conn != s.current() {
			continue
		}
		return n, from, err
	}
}

func (s *socket) WriteTo(bytes []byte, to net.Addr) (int, error) {
	return s.current().WriteTo(bytes, to)
}
func (s *socket) LocalAddr() net.Addr                { return s.current().LocalAddr() }
func (s *socket) Close() error                       { return s.current().Close() }
func (s *socket) SetDeadline(t time.Time) error      { return s.current().SetDeadline(t) }
func (s *socket) SetReadDeadline(t time.Time) error  { return s.current().SetReadDeadline(t) }
func (s *socket) SetWriteDeadline(t time.Time) error { return s.current().SetWriteDeadline(t) }

// The last session, for the next handshake when it may be resumed.
type store struct {
	last   dtls.Session
	resume bool
}

func (s *store) Set(_ []byte, session dtls.Session) error { s.last = session; return nil }
func (s *store) Del([]byte) error                         { return nil }
func (s *store) Get([]byte) (dtls.Session, error) {
	if !s.resume {
		return dtls.Session{}, nil
	}
	return s.last, nil
}

var out = struct {
	sync.Mutex
	*bufio.Writer
}{Writer: bufio.NewWriter(os.Stdout)}

func tell(kind byte, bytes []byte) {
	out.Lock()
	defer out.Unlock()
	out.WriteByte(kind)
	binary.Write(out.Writer, binary.BigEndian, uint16(len(bytes)))
	out.Write(bytes)
	out.Flush()
}

func fail(what string, err error) {
	fmt.Fprintln(os.Stderr, "pion:", what, err)
	os.Exit(2)
}

func unhex(text string) []byte {
	bytes, err := hex.DecodeString(text)
	if err != nil {
		fail(text, err)
	}
	return bytes
}

type client struct {
	server *net.UDPAddr
	socket *socket
	config dtls.Config
	store  store
	conn   *dtls.Conn
}

func (c *client) open() {
	c.socket = &socket{}
	if err := c.socket.open(); err != nil {
		fail("socket", err)
	}
}

func (c *client) configure(options map[string]string) {
	c.config = dtls.Config{InsecureSkipVerify: true, ExtendedMasterSecret: dtls.RequireExtendedMasterSecret, SessionStore: &c.store}
	if identity, key, ok := strings.Cut(options["--psk"], ":"); ok {
		c.config.PSK = func([]byte) ([]byte, error) { return unhex(key), nil }
		c.config.PSKIdentityHint = unhex(identity)
	}
	if file, ok := options["--cert"]; ok {
		pair, err := tls.LoadX509KeyPair(file, options["--key"])
		if err != nil {
			fail(file, err)
		}
		c.config.Certificates = []tls.Certificate{pair}
	}
	if suite, ok := options["--suite"]; ok {
		number, err := strconv.ParseUint(suite, 0, 16)
		if err != nil {
			fail(suite, err)
		}
		c.config.CipherSuites = []dtls.CipherSuiteID{dtls.CipherSuiteID(number)}
	}
	switch cid := options["--cid"]; cid {
	case "none":
	case "":
		c.config.ConnectionIDGenerator = dtls.OnlySendCIDGenerator()
	default:
		c.config.ConnectionIDGenerator = func() []byte { return unhex(cid) }
	}
}

func (c *client) start(resume bool) {
	if c.conn != nil { // without a word, as a device that loses its context
		c.conn = nil
		c.socket.Close()
		c.open()
	}
	before := append([]byte{}, c.store.last.ID...)
	c.store.resume = resume
	conn, err := dtls.Client(c.socket, c.server, &c.config)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = conn.HandshakeContext(ctx)
	}
	if err != nil {
		tell('F', []byte(err.Error()))
		return
	}
	c.conn = conn
	state := conn.ConnectionState()
	resumed := 0
	if resume && len(before) > 0 && string(before) == string(state.SessionID) {
		resumed = 1
	}
	port := c.socket.LocalAddr().(*net.UDPAddr).Port
	tell('H', []byte(fmt.Sprintf("%s - %d %d", strings.ReplaceAll(state.CipherSuiteID.String(), " ", "_"), resumed, port)))
	go receive(conn)
}

func receive(conn *dtls.Conn) {
	bytes := make([]byte, 16384)
	for {
		n, err := conn.Read(bytes)
		if errors.Is(err, io.EOF) {
			tell('C', nil)
		}
		if err != nil {
			return
		}
		tell('D', bytes[:n])
	}
}

func (c *client) obey(kind byte, bytes []byte) {
	switch kind {
	case 'H', 'R':
		c.start(kind == 'R')
	case 'D':
		c.conn.Write(bytes)
	case 'B':
		if err := c.socket.open(); err != nil {
			fail("socket", err)
		}
		tell('P', []byte(strconv.Itoa(c.socket.LocalAddr().(*net.UDPAddr).Port)))
	case 'C':
		c.conn.Close()
	default:
		fail("no such command", nil)
	}
}

func main() {
	options := map[string]string{}
	for i := 1; i+1 < len(os.Args); i += 2 {
		options[os.Args[i]] = os.Args[i+1]
	}
	port, _ := strconv.Atoi(options["--port"])
	c := client{}
	c.server = &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
	c.open()
	c.configure(options)
	in := bufio.NewReader(os.Stdin)
	for {
		var head struct {
			Kind byte
			Len  uint16
		}
		if binary.Read(in, binary.BigEndian, &head) != nil {
			return
		}
		bytes := make([]byte, head.Len)
		if _, err := io.ReadFull(in, bytes); err != nil {
			return
		}
		c.obey(head.Kind, bytes)
	}
}
