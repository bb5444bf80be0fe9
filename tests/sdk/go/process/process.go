// Package process starts, stops and kills the server under test.
package process

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	readyWait = 30 * time.Second
	stopWait  = 30 * time.Second
)

// Server is one server process on a store of its own, in a temporary directory.
type Server struct {
	Address string
	HTTP    string
	Dir     string
	command *exec.Cmd
}

// Start makes a store and starts a server on it.
func Start() (*Server, error) {
	dir, err := os.MkdirTemp("", "perdure-test-")
	if err != nil {
		return nil, err
	}
	s := &Server{Address: freeAddress(), HTTP: freeAddress(), Dir: dir}
	return s, s.Launch()
}

// Launch starts the process, and may do so again after a kill: on the same ports and the same store.
func (s *Server) Launch() error {
	logFile, err := os.OpenFile(filepath.Join(s.Dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	s.command = exec.Command(Binary(), "server", "--grpc", s.Address, "--http", s.HTTP, "--store", "sqlite:"+filepath.Join(s.Dir, "perdure.db"),
		"--callback-url", "127.0.0.1:*,insecure")
	s.command.Stderr = logFile
	out, err := s.command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.command.Start(); err != nil {
		return fmt.Errorf("start %s: %w", Binary(), err)
	}
	ready := make(chan error, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "ready") {
				ready <- nil
				_, _ = io.Copy(io.Discard, out)
				return
			}
		}
		ready <- errors.New("the server ended before it was ready")
	}()
	select {
	case err = <-ready:
	case <-time.After(readyWait):
		err = errors.New("the server did not get ready")
	}
	if err != nil {
		s.Kill()
		return fmt.Errorf("%w\n%s", err, s.LogText())
	}
	return nil
}

// Kill ends the process as a power cut would: no drain, no flush.
func (s *Server) Kill() {
	_ = s.command.Process.Kill()
	_ = s.command.Wait()
}

// Stop ends the process in order; a server that does not exit 0 after SIGTERM is an error.
func (s *Server) Stop() error {
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.AfterFunc(stopWait, func() { _ = s.command.Process.Kill() })
	defer timer.Stop()
	if err := s.command.Wait(); err != nil {
		return fmt.Errorf("the server did not stop cleanly: %w\n%s", err, s.LogText())
	}
	return os.RemoveAll(s.Dir)
}

// LogText is the end of what the server has logged.
func (s *Server) LogText() string {
	text, _ := os.ReadFile(filepath.Join(s.Dir, "server.log"))
	if len(text) > 8000 {
		text = text[len(text)-8000:]
	}
	return string(text)
}

// Binary is the server under test.
func Binary() string {
	if named := os.Getenv("PERDURE_BINARY"); named != "" {
		return named
	}
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "../../../../build/dev/perdure")
}

// freeAddress has a port below those that the system gives to outgoing connections: one of those would take it while a
// killed server is away.
func freeAddress() string {
	for {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.Intn(22000)))
		if err != nil {
			continue // somebody has it
		}
		defer listener.Close()
		return listener.Addr().String()
	}
}
