// The yardstick Socket.IO: rooms, and the recovery of a connection's state through
// Redis Streams, which is all that it is asked to do here.
//
//	node server.js ADDR REDIS_URL
"use strict";

const http = require("node:http");
const { createClient } = require("redis");
const { Server } = require("socket.io");
const { createAdapter } = require("@socket.io/redis-streams-adapter");

async function main([addr, url]) {
  const redis = createClient({ url });
  redis.on("error", (err) => console.error(err));
  await redis.connect();

  const server = http.createServer((req, res) => res.end("here\n"));
  const io = new Server(server, {
    adapter: createAdapter(redis, { maxLen: 10_000, onlyPlaintext: true }),
    connectionStateRecovery: { maxDisconnectionDuration: 120_000 },
    transports: ["websocket"],
    serveClient: false,
  });
  io.on("connection", (socket) => {
    socket.on("join", (room, ack) => {
      socket.join(room);
      ack();
    });
    socket.on("send", (room, text, ack) => {
      io.to(room).emit("message", text);
      ack();
    });
  });
  const [host, port] = addr.split(":");
  server.listen({ host, port: Number(port), backlog: 4096 });
}

main(process.argv.slice(2)).catch((err) => {
  console.error(err);
  process.exit(1);
});
