package client

import "chatd/internal/chat"

// An Observer is told all that happens to a client, in order, so that a checker
// can judge both what a person would have seen and what the server did.
//
// Observe is called by one goroutine at a time, without locks held. While it
// runs, the client reads no frames: it must not wait for the client.
type Observer interface {
	Observe(Fact)
}

// A Fact is one of the types below. More may be added.
type Fact interface{ fact() }

type (
	// Shown says that Event is the next of its room that the person sees.
	Shown struct {
		Event  Event
		Replay bool // came through a join, not live
	}
	// Replaced says that the person's view of Room is now Events. Had is the
	// last event before, "" for a view that was empty or is the first.
	Replaced struct {
		Room   string
		Events []Event
		Had    chat.EventID
	}
	// Joined says that Room is live on the socket to Instance. For universe it
	// comes once, after the events of all rooms.
	Joined struct {
		Room     string
		Resumed  bool
		Here     []string
		Instance string
	}
	// Gap says that the server could not, or did not, go on where the view of
	// Room ends: Have is the view's last event, Got the event that did not
	// follow, "" when the server said reset. The client joins again.
	Gap struct {
		Room      string
		Have, Got chat.EventID
	}
	// Confirmed says that the server keeps the item with this key.
	Confirmed struct {
		Key       string
		Room      string
		Event     chat.EventID
		Seq       int64
		Duplicate bool
	}
	// Refused says that an item, or with Key "" the join of a room, failed for ever.
	Refused struct {
		Key, Room     string
		Code, Message string
	}
	// Delayed says that a request has to be made again, as the server asked.
	Delayed struct {
		Key, Room, Code string
	}
	// Opened says that a socket was welcomed.
	Opened struct{ Instance string }
	// Live says that all rooms are joined on the socket to Instance, which is
	// now the one that items go out through.
	Live struct{ Instance string }
	// Draining says that Instance asked the client to move.
	Draining struct{ Instance string }
	// Closed says that a socket is gone. Code is the close code that came from
	// the server, -1 without one; Err is the client's own reason or the error.
	Closed struct {
		Instance string
		Code     int
		Err      error
	}
	// Failed says that a try to connect brought no socket. Status is the HTTP
	// status that said so, 0 without an answer.
	Failed struct {
		Status int
		Err    error
	}
	// Notice is a presence, typing, room or relist notice.
	Notice struct {
		Type, Room, User, State, With string
		Joined                        bool
	}
	// Wrong says that the server broke the contract.
	Wrong struct{ Instance, What string }
	// LoggedOut says that the login ended; Run returns ErrLoggedOut. How is
	// which clear word said so.
	LoggedOut struct{ How string }
)

func (Shown) fact()     {}
func (Replaced) fact()  {}
func (Joined) fact()    {}
func (Gap) fact()       {}
func (Confirmed) fact() {}
func (Refused) fact()   {}
func (Delayed) fact()   {}
func (Opened) fact()    {}
func (Live) fact()      {}
func (Draining) fact()  {}
func (Closed) fact()    {}
func (Failed) fact()    {}
func (Notice) fact()    {}
func (Wrong) fact()     {}
func (LoggedOut) fact() {}
