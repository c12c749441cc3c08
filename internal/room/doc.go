// Package room holds this instance's readers of each room and brings them the
// room's feed: joining with a replay, fan-out, gaps found and filled, and
// backpressure. It knows neither HTTP nor Redis nor WebSockets.
//
// One merge per room decides what goes out; one bounded queue per connection
// (Reader) takes it. Locks, outermost first: Hub.mu, room.mu, Reader.mu. The
// relay's goroutine takes them for moments only and never waits for Redis.
package room
