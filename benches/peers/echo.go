// Echo in Go: a goroutine and a buffer of 16 KiB a connection; with "udp", one for all datagrams.
package main

import (
	"log"
	"net"
	"os"
)

const bufferBytes = 16 * 1024

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: echo tcp|udp PORT")
	}
	address := "127.0.0.1:" + os.Args[2]
	if os.Args[1] == "udp" {
		serveDatagrams(address)
		return
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			continue
		}
		go echo(conn)
	}
}

func echo(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, bufferBytes)
	for {
		count, err := conn.Read(buffer)
		if count > 0 {
			if _, err := conn.Write(buffer[:count]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func serveDatagrams(address string) {
	at, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		log.Fatal(err)
	}
	socket, err := net.ListenUDP("udp", at)
	if err != nil {
		log.Fatal(err)
	}
	buffer := make([]byte, 64*1024)
	for {
		count, from, err := socket.ReadFromUDPAddrPort(buffer)
		if err != nil {
			continue
		}
		socket.WriteToUDPAddrPort(buffer[:count], from)
	}
}
