// Echo in Node: a connection is piped into itself; with "udp", each datagram is sent back.
'use strict';
const net = require('net');
const dgram = require('dgram');

const [kind, port] = process.argv.slice(2);
if (kind === 'udp') {
  const socket = dgram.createSocket('udp4');
  socket.on('message', (bytes, from) => socket.send(bytes, from.port, from.address));
  socket.bind(Number(port), '127.0.0.1');
} else {
  const options = { allowHalfOpen: true, noDelay: true };
  const server = net.createServer(options, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
  server.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 });
}
