// Relay in Node: each side is piped into the other.
'use strict';
const net = require('net');

const [port, target] = process.argv.slice(2).map(Number);
const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
  const options = { port: target, host: '127.0.0.1', allowHalfOpen: true, noDelay: true };
  const upstream = net.connect(options);
  const drop = () => { client.destroy(); upstream.destroy(); };
  client.on('error', drop);
  upstream.on('error', drop);
  client.pipe(upstream);
  upstream.pipe(client);
});
server.listen({ port, host: '127.0.0.1', backlog: 4096 });
