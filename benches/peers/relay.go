// Relay in Go: two goroutines a pair. io.Copy between TCP connections splices on Linux.
package main

import (
	"io"
	"log"
	"net"
	"os"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: relay PORT TARGET_PORT")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	target, err := net.ResolveTCPAddr("tcp", "127.0.0.1:"+os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			continue
		}
		go relay(conn.(*net.TCPConn), target)
	}
}

func relay(client *net.TCPConn, target *net.TCPAddr) {
	defer client.Close()
	upstream, err := net.DialTCP("tcp", nil, target)
	if err != nil {
		return
	}
	defer upstream.Close()
	back := make(chan struct{})
	go func() {
		pass(client, upstream)
		close(back)
	}()
	pass(upstream, client)
	<-back
}

// Copies until the end of file, and passes that on.
func pass(to, from *net.TCPConn) {
	io.Copy(to, from)
	to.CloseWrite()
}
