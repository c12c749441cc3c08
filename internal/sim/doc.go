// Package sim holds tests only: a deterministic simulation of a whole chatd, run
// from a seed, in one goroutine and on a clock of its own.
//
// What decides is the product's own code: the room (room.Room, room.ReadReplay,
// room.Reader), the feed (feed.Feed, whose Redis client is answered by a small
// Redis in this process, which runs append.lua), the client's Timeline and
// Outbox. What the simulation writes anew is the wiring around them, which in the
// product is goroutines and sockets (room.Hub, feed.Relay, package socket, the
// client's run): each of their waits is here a step that others come before.
//
// A plan, made from the seed, says who says what and what fails when. People
// reload, switch and move; sockets break, also half; instances are killed, frozen
// and drained; the relay drops, lags, goes deaf; commands to Redis are refused,
// cut before or behind their execution, or carried out late; Redis restarts with
// its data, without, or with older data, and fails over to a replica that is
// behind, while some instances still talk to the old master. At the end all is
// healed, and package judge says whether the promises of docs/protocol.md held.
//
// Not simulated: universe, presence, logins, queues that overflow.
package sim
